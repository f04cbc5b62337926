"""Refunds: what crosses a Temporal boundary, and what follows from where they stand.

Pure, as all of the domain: the database reads the rows, asks here what is due, and
writes it. Annotations are evaluated, not postponed; see `domain.messages`.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from domain.deadlines import rung
from domain.money import Money
from domain.payments import ListMade
from domain.states import (
    ACCEPTED_REFUNDS,
    LIVE_REFUNDS,
    AccessState,
    MoneyState,
    RefundPurpose,
    RefundState,
)

#: A refund that a person asked for may be taken back for this long: the second pair of
#: eyes may sleep.
CANCEL_WITHIN = timedelta(minutes=10)

#: A refund of unknown outcome is shown to a person after this. From then on it is sent
#: under a new key, because a processor replays a stored 500 under the old one for a
#: day, and long before it may forget the old one (24 hours).
#: https://docs.stripe.com/api/idempotent_requests
KEY_FOR = timedelta(hours=1)

#: A new key is used only when nothing was sent for this long: what was sent before has
#: then arrived, and the look that precedes every sending has shown it, or has not.
QUIET_FOR = timedelta(minutes=5)

#: Between looks while it is not known whether the processor has the refund.
UNKNOWN_REFUND_LADDER = (
    timedelta(seconds=2),
    timedelta(seconds=5),
    timedelta(seconds=15),
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=15),
)

#: Between looks while the processor has it and the bank has not: seconds to days.
#: Webhooks bring the news; these looks are for the case that they were lost.
PENDING_REFUND_LADDER = (
    timedelta(seconds=15),
    timedelta(minutes=1),
    timedelta(minutes=10),
    timedelta(hours=1),
    timedelta(hours=6),
)


#: Asked for, and not taken on by the processor so far.
_UNANSWERED = LIVE_REFUNDS - ACCEPTED_REFUNDS


class RefundStatus(StrEnum):
    """The processor's own words.

    https://docs.stripe.com/api/refunds/object
    """

    PENDING = "pending"
    REQUIRES_ACTION = "requires_action"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


#: What each of the processor's words means for a row of ours.
STATE_OF_STATUS: dict[RefundStatus, RefundState] = {
    RefundStatus.PENDING: RefundState.PENDING,
    RefundStatus.REQUIRES_ACTION: RefundState.PENDING,
    RefundStatus.SUCCEEDED: RefundState.SUCCEEDED,
    RefundStatus.FAILED: RefundState.FAILED,
    RefundStatus.CANCELED: RefundState.CANCELED,
}

#: Dispute words after which the bank decides no more.
#: https://docs.stripe.com/api/disputes/object
DISPUTE_IS_OVER = frozenset({"won", "lost", "warning_closed", "prevented"})


#: By which the bank has kept the buyer's money.
DISPUTE_IS_LOST = "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundRequest:
    """A person's wish, or the machine's duty, to give money back.

    The row is written before; as a signal it is only a knock.

    Attributes:
        refund_id: Names the request; the same id twice is one refund.
        amount: How much goes back.
        actor: Who asked: a staff account's name, or `holdfast` for a second charge.
        reason: Why, in the actor's words.
        ends_access: Whether access ends when the whole price has gone back.
    """

    refund_id: UUID
    amount: Money
    actor: str
    reason: str
    ends_access: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundPaymentIntent:
    """Ask the processor to give money back.

    Attributes:
        submission: 0 for the first key; see `refund_key`.
    """

    refund_id: UUID
    checkout_id: UUID
    payment_intent_id: str
    amount: Money
    purpose: RefundPurpose
    submission: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """A refund as the processor showed it at one moment.

    Attributes:
        processor_refund_id: The processor's id, as `re_...`.
        refund_id: Ours, from its metadata; None when it was made past us.
        failure: The processor's word for why it failed.
        bank_reference: The bank's number (ARN), once there is one.
    """

    processor_refund_id: str
    payment_intent_id: str
    amount: Money
    status: RefundStatus
    created_at: datetime
    refund_id: UUID | None = None
    failure: str | None = None
    bank_reference: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """What went back of one charge, or of all second ones, in one part or several.

    Attributes:
        amount: The sum, as far as the processor has taken it.
        at: When the last part of it was taken.
        reference: What the bank finds it by; None for several parts.
    """

    amount: Money
    at: datetime
    reference: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    """A dispute as the processor showed it: the buyer's bank takes the money back.

    Attributes:
        status: The processor's word.
        due_by: Until when we can answer.
    """

    dispute_id: str
    payment_intent_id: str
    amount: Money
    reason: str
    status: str
    opened_at: datetime
    due_by: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether the bank has still to decide; a word that we do not know is open."""
        return self.status not in DISPUTE_IS_OVER


@dataclass(frozen=True, slots=True, kw_only=True)
class ListRefundsMade(ListMade):
    """Ask for refunds, whoever made them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListDisputesMade(ListMade):
    """Ask for disputes, open and decided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundRow:
    """A refund as our database has it; see the table for what the columns mean."""

    refund_id: UUID
    payment_intent_id: str
    amount: Money
    purpose: RefundPurpose
    state: RefundState
    ends_access: bool
    requested_at: datetime
    not_before: datetime
    submitted_at: datetime | None = None
    posted_at: datetime | None = None
    submission: int = 0
    looked_at: datetime | None = None
    looks: int = 0
    next_look_at: datetime | None = None
    actor: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondCharge:
    """A charge on a checkout that another PaymentIntent paid for."""

    payment_intent_id: str
    next_look_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Aftermath:
    """All that is known of what came after a checkout's charge.

    Attributes:
        payment_intent_id: The charge that the order stands for.
        price: What it took.
        access: Where access stands.
        refunds: Of all its PaymentIntents, oldest first.
        unproven: Second charges that the processor has to be asked about.
        unreturned: How much of proven second charges, by PaymentIntent, we owe. Not
            while a bank decides a dispute of one, nor when it kept the money.
        second_charges: All whose refunds and disputes may be news, proven or not.
        entitlement_id: None until the order is written.
        is_disputed: A dispute is open.
        is_over: The bought time has run out.
        is_changed: A person changed the purchase, and the application does not know.
    """

    payment_intent_id: str
    price: Money
    access: AccessState
    refunds: tuple[RefundRow, ...] = ()
    unproven: tuple[SecondCharge, ...] = ()
    unreturned: tuple[tuple[str, int], ...] = ()
    second_charges: tuple[str, ...] = ()
    entitlement_id: UUID | None = None
    is_disputed: bool = False
    is_over: bool = False
    is_changed: bool = False


class RefundStepKind(StrEnum):
    """What a checkout's workflow has to do next about what comes after the charge."""

    #: Ask the processor about a second charge.
    PROVE = "prove"
    #: Ask the processor which refunds it has.
    LOOK = "look"
    #: Ask the processor for the refund.
    SUBMIT = "submit"
    #: Tell the application that access is over.
    END_ACCESS = "end_access"
    #: Tell the application how access stands, since a person changed it.
    TELL_CHANGE = "tell_change"
    WAIT = "wait"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundStep:
    """The next step, and where money and access stand before it.

    Attributes:
        kind: What to do.
        money: What happened to the money.
        access: What happened to the access.
        payment_intent_id: To look at, or to prove.
        submit: What to ask the processor for.
        entitlement_id: Whose access ends, or was changed.
        until: When the next thing is due; when telling a change has to stand back.
        holds_access: Access that is not open must stay so: the whole price goes back.
        is_late: An outcome has been unknown for too long; a person should know.
        needs_person: A refund failed for good, or a dispute is open.
        payment_intent_ids: All whose money went, or may have gone, to us under this
            checkout; first the one that its order stands for.
        is_over: Access ends because the bought time ran out, not with the money.
    """

    kind: RefundStepKind
    money: MoneyState
    access: AccessState
    payment_intent_id: str | None = None
    submit: RefundPaymentIntent | None = None
    entitlement_id: UUID | None = None
    until: datetime | None = None
    holds_access: bool = False
    is_late: bool = False
    needs_person: bool = False
    payment_intent_ids: tuple[str, ...] = ()
    is_over: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AskNextRefundStep:
    """Ask the database what is due.

    Attributes:
        now: By the workflow's clock, which its timers follow.
    """

    checkout_id: UUID
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordRefunds:
    """Write down what the processor shows of one PaymentIntent.

    Attributes:
        now: By the workflow's clock.
        refunds: What it showed; None when it could not be asked.
        is_complete: `refunds` is all that it has of this PaymentIntent.
        refused_refund_id: The refund that it refused for good, unless it shows it.
        refusal: In what words.
        disputes: Those that it showed.
    """

    checkout_id: UUID
    payment_intent_id: str
    now: datetime
    refunds: tuple[Refund, ...] | None = None
    is_complete: bool = False
    refused_refund_id: UUID | None = None
    refusal: str = ""
    disputes: tuple[Dispute, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundsRecorded:
    """What of it was news; for the record of a repair."""

    returned: int = 0
    failed: int = 0
    outside: int = 0
    disputes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordSecondCharge:
    """Write down what the processor's look-up of a second charge showed.

    Attributes:
        taken: What it took; None when it could not be asked.
        is_proven: Both PaymentIntents succeeded and name this checkout.
        is_refuted: The processor's answer excludes it.
        now: By the workflow's clock.
    """

    checkout_id: UUID
    payment_intent_id: str
    now: datetime
    taken: Money | None = None
    is_proven: bool = False
    is_refuted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EndEntitlement:
    """Tell the company's application that access is over, and write that it knows.

    Attributes:
        is_over: The bought time ran out; otherwise access went with the money.
    """

    checkout_id: UUID
    entitlement_id: UUID
    is_over: bool = False


def money_after(aftermath: Aftermath) -> MoneyState:
    """Say where the money stands after a charge.

    A refund counts once the processor accepted it: until then nothing is on its way. A
    part that went back leaves the rest charged.
    """
    if any(owed > 0 for _, owed in aftermath.unreturned):
        return MoneyState.DUPLICATE
    own = _own(aftermath)
    price = aftermath.price.amount_minor
    if _sum(own, {RefundState.SUCCEEDED}) >= price:
        return MoneyState.REFUNDED
    if _sum(own, ACCEPTED_REFUNDS) >= price:
        return MoneyState.REFUNDING
    return MoneyState.CHARGED


def takes_access(aftermath: Aftermath, among: Collection[RefundState]) -> bool:
    """Say whether the whole price goes back by these refunds, and access with it.

    The newest of them has the last word: it is the one that makes the sum whole.
    """
    own = [refund for refund in _own(aftermath) if refund.state in among]
    is_whole = _sum(own, among) >= aftermath.price.amount_minor
    return is_whole and own[-1].ends_access


def runs_out(aftermath: Aftermath) -> bool:
    """Say whether access ends by the calendar; money that has gone back ends it too."""
    return aftermath.is_over and not takes_access(aftermath, {RefundState.SUCCEEDED})


def needs_person(aftermath: Aftermath) -> bool:
    """Say whether only a person can go on: a dispute, or a refund that failed.

    A failed one is mended by another that somebody asked for later, or when nothing is
    left to give back.
    """
    return aftermath.is_disputed or any(
        refund.state is RefundState.FAILED and not is_mended(refund, aftermath)
        for refund in aftermath.refunds
    )


def is_mended(failed: RefundRow, aftermath: Aftermath) -> bool:
    """Say whether a failed refund needs nobody any more; see `needs_person`."""
    live = [
        refund
        for refund in aftermath.refunds
        if refund.payment_intent_id == failed.payment_intent_id
        and refund.state in LIVE_REFUNDS
    ]
    is_own = failed.payment_intent_id == aftermath.payment_intent_id
    owed = aftermath.price if is_own else failed.amount
    return _sum(live, LIVE_REFUNDS) >= owed.amount_minor or any(
        refund.requested_at > failed.requested_at
        and refund.purpose is not RefundPurpose.OUTSIDE
        for refund in live
    )


def is_made_again(failed: RefundRow, aftermath: Aftermath) -> bool:
    """Say whether money of the same charge is going back by a later refund."""
    return any(
        refund.payment_intent_id == failed.payment_intent_id
        and refund.state in LIVE_REFUNDS
        and refund.requested_at > failed.requested_at
        for refund in aftermath.refunds
    )


def still_owed(aftermath: Aftermath) -> tuple[tuple[str, int], ...]:
    """Say what of second charges the machine has yet to ask for, by PaymentIntent.

    What was refused, came back or was stopped at the processor is a person's.
    """
    owed = []
    for payment_intent_id, unreturned in aftermath.unreturned:
        refunds = [
            refund
            for refund in aftermath.refunds
            if refund.payment_intent_id == payment_intent_id
        ]
        rest = unreturned - _sum(refunds, _UNANSWERED)
        is_stopped = any(
            refund.state is RefundState.FAILED
            or (refund.state is RefundState.CANCELED and refund.posted_at is not None)
            for refund in refunds
        )
        if rest > 0 and not is_stopped:
            owed.append((payment_intent_id, rest))
    return tuple(owed)


def next_submission(refund: RefundRow, now: datetime) -> int:
    """Say under which of its keys a refund goes out, after a look has not shown it."""
    if refund.posted_at is None or refund.submitted_at is None:
        return refund.submission
    keys = (now - refund.submitted_at) // KEY_FOR
    is_quiet = now - refund.posted_at >= QUIET_FOR
    return max(keys, refund.submission) if is_quiet else refund.submission


def due_step(
    aftermath: Aftermath, now: datetime
) -> tuple[RefundStepKind, RefundRow | str | datetime | None]:
    """Say what is due, and about what: a refund, a PaymentIntent, or an instant.

    A requested refund whose time has come is looked for first: after a restore from an
    older backup the processor may have it already. A change is told after what moves
    money, and only while access is open: until then the call that opens it tells all,
    and of what has ended there is nothing more to tell.
    """
    for charge in aftermath.unproven:
        if charge.next_look_at <= now:
            return RefundStepKind.PROVE, charge.payment_intent_id
    for refund in aftermath.refunds:
        kind = _due(refund, now)
        if kind is not None:
            return kind, refund
    if aftermath.access is not AccessState.ENDED and (
        aftermath.is_over or takes_access(aftermath, {RefundState.SUCCEEDED})
    ):
        return RefundStepKind.END_ACCESS, None
    times = [charge.next_look_at for charge in aftermath.unproven]
    times += [time for refund in aftermath.refunds if (time := _next_time(refund))]
    if aftermath.is_changed and aftermath.access is AccessState.ACTIVE:
        return RefundStepKind.TELL_CHANGE, min(times, default=None)
    if times:
        return RefundStepKind.WAIT, min(times)
    return RefundStepKind.NOTHING, None


def is_late(refunds: Iterable[RefundRow], now: datetime) -> bool:
    """Say whether an outcome has been unknown for longer than a person may sleep on."""
    return any(
        refund.state is RefundState.SUBMITTING
        and refund.submitted_at is not None
        and now - refund.submitted_at >= KEY_FOR
        for refund in refunds
    )


def look_after(state: RefundState, looks: int) -> timedelta:
    """Return how long to wait before the next look; the last rung repeats."""
    ladder = (
        PENDING_REFUND_LADDER if state is RefundState.PENDING else UNKNOWN_REFUND_LADDER
    )
    return rung(ladder, looks)


def _due(refund: RefundRow, now: datetime) -> RefundStepKind | None:
    time = _next_time(refund)
    if time is None or time > now:
        return None
    is_missing = refund.state is RefundState.SUBMITTING and refund.looked_at is not None
    return RefundStepKind.SUBMIT if is_missing else RefundStepKind.LOOK


def _next_time(refund: RefundRow) -> datetime | None:
    match refund.state:
        case RefundState.REQUESTED:
            return refund.not_before
        case RefundState.SUBMITTING | RefundState.PENDING:
            return refund.next_look_at
        case _:
            return None


def _own(aftermath: Aftermath) -> list[RefundRow]:
    """Return the refunds of the charge that the order stands for."""
    return [
        refund
        for refund in aftermath.refunds
        if refund.payment_intent_id == aftermath.payment_intent_id
    ]


def _sum(refunds: Iterable[RefundRow], among: Collection[RefundState]) -> int:
    return sum(
        refund.amount.amount_minor for refund in refunds if refund.state in among
    )


def holds_access(aftermath: Aftermath) -> bool:
    """Say whether access that is not open yet must stay closed."""
    return takes_access(aftermath, LIVE_REFUNDS)
