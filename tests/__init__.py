"""Tests: the file mirrors the source, the name is the promise."""
