"""Has a list of entry points that cannot be read."""
