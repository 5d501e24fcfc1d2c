"""AnnData files read in pieces, and answers: AnnData files of the same locations that say one thing about them."""
