"""AnnData files read in blocks, and analysis results: AnnData files of the same locations."""
