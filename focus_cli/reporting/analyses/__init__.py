"""Analysis results in a report: the sample that each belongs to, and what is shown of it, one module per kind."""
