"""Specimens: realistic examples of everything that a customer may be shown."""
