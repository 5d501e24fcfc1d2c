"""What heads on frozen representations share: embeddings, the user's tables, folders, out-of-distribution scores."""
