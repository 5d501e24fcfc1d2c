"""Which genes depend on the place, and which surroundings there are."""
