"""Changes of a purchase that a person makes: days added, the address put right.

Pure, as all of the domain. A change is a row that is only added to; what it does to the
purchase is written beside it, in the same transaction, and the company's application is
told by the checkout's own workflow.

Annotations are evaluated, not postponed; see `domain.messages`.
"""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID, uuid5

from domain.staff import Role
from domain.states import AccessState

#: Makes a change's id from its checkout and its turn.
_CHANGES = UUID("1f0a6f3e-2f7c-4b0d-9a57-3c1d5b7e9a42")

#: How many days one press may give, by role. Two weeks need nobody's consent; a quarter
#: is a decision about money.
MOST_DAYS: dict[Role, int] = {Role.READ: 0, Role.SUPPORT: 14, Role.OWNER: 90}


#: What the step is called that tells the application; also in cases about it.
TELL_STEP = "tell the application what was changed"


class ChangeKind(StrEnum):
    """What was changed."""

    #: The bought time got longer.
    DAYS = "days"
    #: Our mail goes to another address.
    ADDRESS = "address"


#: What a repair that follows from a change is asked for with. Histories keep these
#: words, so they are ours: a person's own reason stays in the row.
WHY: dict[ChangeKind, str] = {
    ChangeKind.DAYS: "days were added to the plan",
    ChangeKind.ADDRESS: "the address was corrected",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeEntitlement:
    """Tell the company's application how an open entitlement stands now.

    What it is told is read by the activity: the buyer's address must not travel through
    workflow histories.
    """

    checkout_id: UUID
    entitlement_id: UUID


def change_id_of(checkout_id: UUID, turn: int) -> UUID:
    """Return the id of the change that follows after so many.

    A page knows how many there were when it was made: pressing twice, or two people
    pressing, name the same one.
    """
    return uuid5(_CHANGES, f"{checkout_id}:{turn}")


def days_problem(role: Role, days: int) -> str:
    """Say why somebody may not add so many days; empty when they may."""
    most = MOST_DAYS[role]
    if 1 <= days <= most:
        return ""
    if role is not Role.OWNER and 1 <= days <= MOST_DAYS[Role.OWNER]:
        return f"Your account adds {most} days at the most. Ask an owner for {days}."
    return f"It is 1 to {most} days."


def why_no_days(access: AccessState, *, is_over: bool) -> str:
    """Say why nobody can add days to a plan now; empty when they can.

    Args:
        access: Where access stands.
        is_over: The bought time has run out, though its end may not be written yet.
    """
    if access is AccessState.ACTIVE and not is_over:
        return ""
    if access is AccessState.PENDING:
        return "Access is not open yet, so there is nothing to make longer."
    if access is AccessState.NONE:
        return "Nothing is bought yet, so there is nothing to make longer."
    return "Access has ended and never opens again, so no days can be added."


def why_no_correction(*, is_charged: bool) -> str:
    """Say why nobody can correct a purchase's address now; empty when they can.

    Before the charge the buyer orders anew with the right address and loses nothing.
    The processor has been told the address under an idempotency key by then, and would
    refuse the same request with another one.
    """
    if is_charged:
        return ""
    return (
        "No payment is proven. Who has not paid orders anew with the right address; "
        "while it is unknown, wait for the processor's word."
    )
