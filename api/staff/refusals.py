"""What keeps somebody out of the console; `api.staff.answers` answers each."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID


class SignedOut(Exception):
    """Nobody is signed in, or not any more.

    Attributes:
        case_id: The case whose page was asked for, to come back to.
    """

    def __init__(self, case_id: UUID | None = None) -> None:
        super().__init__()
        self.case_id = case_id


class NotAllowed(Exception):
    """The account's role does not go that far, or the route says nobody's does."""


class FormNotOurs(Exception):
    """The form's token is not the one that this session's pages carry."""


class SetupUnusable(Exception):
    """The one-time link was used, is too old, or never was."""


class CodeNeeded(Exception):
    """Money or an address takes a fresh code; the form waits, nothing was done.

    Attributes:
        fields: What the form said, to send it again with the code.
        problem: What was wrong with the code that came; empty when none did.
    """

    def __init__(self, fields: Mapping[str, str], problem: str = "") -> None:
        super().__init__()
        self.fields = fields
        self.problem = problem
