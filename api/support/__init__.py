"""The console: what is open, one case at a time, and what can be done about it."""
