"""Analysis results in a report: which sample each speaks of, and what is shown of it, one module per kind."""
