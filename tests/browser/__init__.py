"""What a person with a browser lives through: every page, with and without scripts."""
