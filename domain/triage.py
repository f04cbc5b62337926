"""In which order people look at what is open, and what is wrong in plain words.

The order is the harm to the customer: charged twice, not knowing, paid without access.
Inside a class: who wrote to us, what was promised soonest, what is oldest, what costs
most. Nobody has to think about it at three in the morning.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum

from domain.causes import Cause
from domain.changes import TELL_STEP
from domain.money import Money
from domain.states import AccessState, CaseState, MoneyState

#: Past every promise that was made.
_NEVER = timedelta(days=36500)


class Urgency(IntEnum):
    """How much harm lasts while nobody looks; 1 is the most."""

    CHARGED_TWICE = 1
    UNKNOWN = 2
    PAID_WITHOUT_ACCESS = 3
    WITHOUT_WORD = 4
    REFUND = 5
    BOOKS = 6
    OTHER = 7


class Lane(StrEnum):
    """In which list something stands."""

    #: A person is needed now.
    NEEDS_YOU = "needs-you"
    #: The machine is at it; nobody is needed so far.
    HEALING = "healing"
    #: A person said until when nobody needs to look.
    HELD = "held"
    #: Closed today.
    DONE = "done"


#: What a cause means, to somebody who did not write the code.
_CAUSES: dict[str, str] = {
    Cause.ADDRESS_DISPUTED: "whoever had the address before says it was not they",
    "ApplicationAway": "the application does not answer, so access stays closed",
    "ApplicationRefused": "the application refuses to open access",
    "AddressKeyMissing": "the secret that made its address left the settings",
    Cause.AMOUNT_MISMATCH: "the processor took another amount than we asked for",
    "ChargeDisagrees": "another charge or another amount stands in our row",
    Cause.CHARGE_WITHOUT_CHECKOUT: "a charge whose checkout our records have lost",
    Cause.CHARGE_WITHOUT_ORDER: "charged at the processor, and no order here",
    Cause.CUSTOMER_WROTE: "the customer wrote to us",
    "DatabaseAway": "our database did not take it",
    Cause.DISPUTE_OPENED: "the customer's bank disputes the payment",
    Cause.DUPLICATE_CHARGE: "charged twice",
    Cause.FOREIGN_CHARGE: "a charge that names no checkout of ours",
    Cause.LETTER_REFUSED: "the mail server refused a colleague's letter for good",
    Cause.MAIL_BOUNCED: "our mail came back",
    "MailDeferred": "the mail server does not take our mail",
    Cause.MAIL_REFUSED: "the mail server refused our mail for good",
    "MessageRefused": "a mail cannot be written",
    Cause.ORDER_WITHOUT_ACCESS: "an order without access",
    Cause.ORDER_WITHOUT_CHARGE: "an order, and no charge at the processor",
    Cause.ORDER_WITHOUT_RECEIPT: "an order without a receipt",
    Cause.OUTCOME_STILL_UNKNOWN: "the processor still cannot say whether it was paid",
    "OutcomeUnknown": "the processor's answer was lost",
    Cause.PROMISE_OVERDUE: "we promised a word and did not send it",
    Cause.REFUND_FAILED: "a refund came back, and the money is with us",
    Cause.REFUND_NOT_RECORDED: "a refund at the processor that we did not know",
    Cause.REFUND_STILL_UNKNOWN: "the processor cannot say whether it has the refund",
    "RefusedByOurFault": "the processor refuses our request or our key",
    "RowMissing": "a row that should be there is not",
    "RuleBroken": "our own rules refused to write it",
    Cause.SECOND_CHARGE: "charged a second time",
    Cause.STAFF_OPENED: "opened by a colleague",
    Cause.STUCK_CHECKOUT: "nothing has moved for long",
    "Throttled": "the processor asks us to slow down",
}

_TWICE = frozenset({Cause.DUPLICATE_CHARGE, Cause.SECOND_CHARGE})
_REFUND = frozenset(
    {Cause.REFUND_FAILED, Cause.REFUND_STILL_UNKNOWN, Cause.DISPUTE_OPENED}
)
_NO_WORD = frozenset(
    {
        Cause.LETTER_REFUSED,
        Cause.MAIL_BOUNCED,
        "MailDeferred",
        Cause.MAIL_REFUSED,
        "MessageRefused",
        Cause.ORDER_WITHOUT_RECEIPT,
        Cause.PROMISE_OVERDUE,
    }
)
_BOOKS = frozenset(
    {Cause.ORDER_WITHOUT_CHARGE, Cause.AMOUNT_MISMATCH, Cause.REFUND_NOT_RECORDED}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What decides where something stands in the list.

    Attributes:
        cause: Why a case is open; None without a case.
        step: What does not get on; empty without a case.
        money: None for a payment that no checkout knows.
        access: Likewise.
        amount: What the customer paid, or would; None when it is not known.
        since: When the trouble began.
        promise_due_at: The earliest word that we owe; None without a promise.
        held_until: Until when nobody needs to look.
        held_at: Since when.
        heard_at: When the customer last wrote to us or signed in.
        now: The moment of the look.
    """

    cause: str | None
    step: str
    state: CaseState | None
    money: MoneyState | None
    access: AccessState | None
    amount: Money | None
    since: datetime
    now: datetime
    promise_due_at: datetime | None = None
    held_until: datetime | None = None
    held_at: datetime | None = None
    heard_at: datetime | None = None


def urgency(standing: Standing) -> Urgency:
    """Say how much harm lasts."""
    cause = standing.cause or ""
    if standing.money is MoneyState.DUPLICATE or cause in _TWICE:
        return Urgency.CHARGED_TWICE
    if standing.money is MoneyState.UNKNOWN:
        return Urgency.UNKNOWN
    if _is_paid_without_access(standing):
        return Urgency.PAID_WITHOUT_ACCESS
    for causes, found in (
        (_REFUND, Urgency.REFUND),
        (_NO_WORD, Urgency.WITHOUT_WORD),
        (_BOOKS, Urgency.BOOKS),
    ):
        if cause in causes:
            return found
    return Urgency.WITHOUT_WORD if cause == Cause.CUSTOMER_WROTE else Urgency.OTHER


def order_of(standing: Standing) -> tuple[int, bool, float, float, int]:
    """Return what lists are sorted by, the first to look at first."""
    due = standing.promise_due_at or standing.now + _NEVER
    amount = standing.amount.amount_minor if standing.amount else 0
    return (
        urgency(standing),
        standing.cause != Cause.CUSTOMER_WROTE,
        due.timestamp(),
        standing.since.timestamp(),
        -amount,
    )


def lane_of(standing: Standing) -> Lane:
    """Say in which list it stands."""
    if standing.state is CaseState.RESOLVED:
        return Lane.DONE
    if standing.state is None:
        return Lane.HEALING
    return Lane.HELD if _is_held(standing) else Lane.NEEDS_YOU


def trouble_in_words(standing: Standing) -> str:
    """Say in a few words what the customer lacks: `paid, no access`."""
    if standing.money is None:
        return "paid, no order"
    if urgency(standing) is Urgency.CHARGED_TWICE:
        return "charged twice"
    # Where money and access are as they should be, the cause says what is missing.
    if urgency(standing) > Urgency.PAID_WITHOUT_ACCESS:
        lack = _LACKS.get(standing.cause or "")
        if lack is not None:
            return lack
    said = _MONEY.get(standing.money)
    return said or _ACCESS[standing.access or AccessState.NONE]


def cause_in_words(cause: str | None, step: str) -> str:
    """Say why a case is open."""
    if cause is None:
        return "the machine is at it"
    if step == TELL_STEP:
        # Access is open: what the other steps' words say of it would not be true.
        return "the application does not know yet what was changed"
    known = _CAUSES.get(cause)
    return known or f"it does not get on at: {step} ({cause})"


def age_in_words(age: timedelta) -> str:
    """Write an age in its largest unit: `12 min`, `3 h`, `2 days`."""
    minutes = max(0, int(age.total_seconds())) // 60
    if minutes < 1:
        return "just now"
    if minutes < 90:  # noqa: PLR2004  # Beyond it, hours read better.
        return f"{minutes} min"
    hours = minutes // 60
    if hours < 48:  # noqa: PLR2004  # Likewise days.
        return f"{hours} h"
    return f"{hours // 24} days"


_LACKS: dict[str, str] = {
    Cause.ADDRESS_DISPUTED: "somebody may have taken their purchase",
    Cause.CUSTOMER_WROTE: "waits for an answer",
    Cause.DISPUTE_OPENED: "disputed at the bank",
    Cause.LETTER_REFUSED: "our letter does not reach them",
    Cause.MAIL_BOUNCED: "our mail does not reach them",
    Cause.MAIL_REFUSED: "our mail does not reach them",
    Cause.PROMISE_OVERDUE: "was promised a word",
    Cause.REFUND_FAILED: "has not got the refund",
    Cause.REFUND_STILL_UNKNOWN: "refund sent or not: unknown",
}

_MONEY = {
    MoneyState.UNKNOWN: "paid or not: unknown",
    MoneyState.ACTION_NEEDED: "waits for the bank",
    MoneyState.NOT_CHARGED: "not charged",
    MoneyState.REFUNDING: "money on its way back",
    MoneyState.REFUNDED: "money returned",
}

_ACCESS = {
    AccessState.NONE: "paid, no access",
    AccessState.PENDING: "paid, no access",
    AccessState.ACTIVE: "paid, access open",
    AccessState.ENDED: "paid, access ended",
}


def _is_held(standing: Standing) -> bool:
    """Whoever writes to us after it was held is not kept waiting by that."""
    if standing.held_until is None or standing.held_until <= standing.now:
        return False
    heard, held = standing.heard_at, standing.held_at
    return heard is None or held is None or heard <= held


def _is_paid_without_access(standing: Standing) -> bool:
    if standing.money is None:
        return True
    lacks = standing.access in {AccessState.NONE, AccessState.PENDING}
    return standing.money is MoneyState.CHARGED and lacks
