"""A set of names, written as a sentence of them."""


def names(text: str) -> frozenset[str]:
    """Split a text of names; a screenful of quotes and commas hides them."""
    return frozenset(text.split())
