"""What somebody does at the command line, as the audit of staff keeps it."""

from __future__ import annotations

from uuid import UUID

from database.audit import Fact, Outcome, StaffAction


def did(
    actor: str,
    action: str,
    *,
    outcome: Outcome = Outcome.DONE,
    checkout_id: UUID | None = None,
    **about: Fact,
) -> StaffAction:
    """Return the row that says they did this; it belongs into the deed's transaction.

    Args:
        actor: As they named themselves: the command line knows no account and no role.
        action: As the console calls the same deed.
        outcome: What became of it.
        checkout_id: Whom it was about.
        about: Ids, states and digests: rows are never erased.
    """
    return StaffAction(
        actor=actor,
        role=None,
        action=action,
        outcome=outcome,
        checkout_id=checkout_id,
        about={"by": "command line", **about},
    )
