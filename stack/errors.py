"""The one error of the embedded stack: a sentence a person can act on."""


class StackError(Exception):
    """The stack cannot go on. The message says what is wrong and what to do."""
