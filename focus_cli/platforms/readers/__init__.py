"""One file for each platform: how its files are told, and read."""
