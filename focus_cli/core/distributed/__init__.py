"""Several processes as one run: who they are, how they share a network's steps, how they start, stop and fail."""
