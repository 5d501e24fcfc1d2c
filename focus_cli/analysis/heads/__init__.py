"""What heads on frozen representations share: embeddings of one space, the user's tables, folders, familiarity."""
