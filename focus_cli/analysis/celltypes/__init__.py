"""Which cell types lie at a location, and how sure that is."""
