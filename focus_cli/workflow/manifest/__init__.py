"""The manifest of a run: jobs, files, events."""
