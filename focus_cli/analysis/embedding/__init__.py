"""What a location, its neighbourhood and a whole section are, as vectors of one space per model."""
