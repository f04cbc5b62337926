"""One class per outside system; each method is one effect that is safe to repeat."""
