"""Activities against real outside systems."""
