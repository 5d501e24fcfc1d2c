"""One module for each platform: how its files are recognised and read."""
