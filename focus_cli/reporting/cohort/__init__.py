"""The page of a cohort, and what it collects from the files of a run."""
