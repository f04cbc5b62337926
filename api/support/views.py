"""Facts as the console's pages write them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import UUID

from api.pages import view_of
from api.support.asking import Shown
from api.support.timeline import (
    Told,
    actor_in_words,
    mail_in_words,
    refund_in_words,
    tell,
)
from database.checkouts import CheckoutRow
from database.console import (
    Asked,
    CaseRow,
    Line,
    Record,
    Returned,
    returned_minor,
)
from domain.case_view import (
    CaseFacts,
    Proposal,
    ToldMail,
    differences,
    propose,
    status_in_words,
)
from domain.causes import Cause
from domain.changes import why_no_days
from domain.customer_view import CATALOGUE
from domain.emails import EmailKind
from domain.identifiers import workflow_id_of
from domain.money import Money
from domain.refunds import STATE_OF_STATUS
from domain.states import (
    ACCEPTED_REFUNDS,
    AccessState,
    CaseState,
    EmailState,
    RefundState,
)
from domain.triage import (
    age_in_words,
    cause_in_words,
    trouble_in_words,
    urgency,
)
from domain.words import (
    at_in_words,
    by_in_words,
    card_in_words,
    day_in_words,
    masked,
    moment_in_words,
)
from settings import Settings

#: The newest lines are read first; the rest is folded.
LINES_SHOWN = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLine:
    """One line of a list.

    Attributes:
        path: Of its page.
        trouble: What the customer lacks.
        rank: 1 for the most harm.
        is_overdue: The promised word is late.
    """

    path: str
    name: str
    reference: str
    trouble: str
    cause: str
    amount: str
    age: str
    since: str
    owner: str
    due: str
    is_overdue: bool
    rank: int
    held: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A line of one of the three columns."""

    name: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundLine:
    """Money on its way back, as a case page writes it."""

    refund_id: UUID
    words: str
    may_be_taken_back: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CasePage:
    """Everything that a case's page shows.

    Attributes:
        case_id: None for a checkout without a case.
        owner: None while nobody holds it.
        why_not: Why the processor's column is empty.
        page_says: The headline of the customer's own page.
        feeling: What the person in front of it feels.
        payment_url: At the processor; None without a payment.
        workflow_url: In the Temporal UI; None where there is none.
        refund_turn: How many refunds there were: two who press at once mean the same.
        left: What can still be given back; None when nothing was charged.
        change_turn: How many changes there were, likewise.
        is_charged: Money is here, so the purchase may be changed.
        why_no_days: Why no days can be added now; empty when they can.
        runs_until: When the plan ends; empty when there is none.
        wrote: What the customer wrote last on their page; empty when nothing.
        wrote_when: When that was.
        is_second_charge: The payment calls itself a second one of a checkout.
        seen: What the case was open for when the page was made; see `seen_of`.
    """

    title: str
    reference: str
    email: str
    case_id: UUID | None
    checkout_id: UUID | None
    is_open: bool
    owner: str | None
    since: str
    cause: str
    detail: str
    held: str
    differences: tuple[str, ...]
    processor: tuple[Fact, ...]
    why_not: str
    ours: tuple[Fact, ...]
    page_says: str
    feeling: str
    told: tuple[Fact, ...]
    mails: tuple[str, ...]
    proposal: Proposal | None
    repairs: tuple[str, ...]
    is_repairing: bool
    refunds: tuple[RefundLine, ...]
    refund_turn: int
    left: str | None
    newest: tuple[Told, ...]
    older: tuple[Told, ...]
    payment_url: str | None
    workflow_url: str | None
    change_turn: int = 0
    is_charged: bool = False
    why_no_days: str = ""
    runs_until: str = ""
    wrote: str = ""
    wrote_when: str = ""
    is_second_charge: bool = False
    seen: str = ""


def seen_of(case: CaseRow) -> str:
    """Name what somebody knows who reads a case now: its cause, and who wrote when.

    A case that is named otherwise has become another since.
    """
    heard_at = case.standing.heard_at
    heard = "" if heard_at is None else heard_at.astimezone(UTC).isoformat()
    return f"{case.standing.cause} {heard}".strip()


def queue_line(row: CaseRow, reader: str = "") -> QueueLine:
    """Write one line of a list; the address stays masked.

    Args:
        row: What stands there.
        reader: Who reads it, and need not be told that it is theirs.
    """
    stands = row.standing
    trouble = trouble_in_words(stands)
    cause = cause_in_words(stands.cause, stands.step)
    due = stands.promise_due_at
    path = (
        f"/support/cases/{row.case_id}"
        if row.case_id
        else f"/support/checkouts/{row.checkout_id}"
    )
    return QueueLine(
        path=path,
        name=masked(row.email) if row.email else "Nobody we know",
        reference=row.reference_code or row.payment_intent_id or "",
        trouble=trouble,
        cause="" if cause == trouble else cause,
        amount=str(stands.amount) if stands.amount else "",
        age=age_in_words(stands.now - stands.since),
        since=moment_in_words(stands.since),
        owner="" if row.owner in {None, reader} else str(row.owner),
        due="" if due is None else by_in_words(due, now=stands.now),
        is_overdue=due is not None and due < stands.now,
        rank=urgency(stands),
        held=_held(row),
    )


def facts_of(row: CheckoutRow, record: Record, shown: Shown) -> CaseFacts:
    """Bring together what three sides say of a checkout."""
    owed = [one.due_at for one in record.promised if one.kept_at is None]
    return replace(
        repair_facts(row, record.mails, record.repairs),
        intent=shown.intent,
        refunded_there=_refunded_there(shown),
        refunded_here=returned_minor(record),
        promise_due_at=min(owed, default=None),
    )


def repair_facts(
    row: CheckoutRow, mails: Sequence[ToldMail], repairs: Sequence[Asked]
) -> CaseFacts:
    """Bring together what decides the repair of a checkout, all of it our own rows."""
    receipt = [mail for mail in mails if mail.kind is EmailKind.RECEIPT]
    return CaseFacts(
        checkout_id=row.checkout_id,
        stage=row.stage,
        money=row.money_state,
        access=row.access_state,
        buyer_attempt=row.buyer_attempt,
        price=row.price,
        customer_email=masked(row.email),
        now=row.now,
        charged_at=row.charged_at,
        mails=tuple(mails),
        is_receipt_owed=row.mail_held_at is None
        and any(mail.state is not EmailState.SENT for mail in receipt),
        repairs_done=sum(one.outcome is not None for one in repairs),
    )


def case_page(
    case: CaseRow | None,
    row: CheckoutRow,
    record: Record,
    shown: Shown,
    settings: Settings,
) -> CasePage:
    """Write the page of a checkout, with its case if there is one."""
    facts = facts_of(row, record, shown)
    lines = tuple(tell(line) for line in reversed(record.lines))
    stands = None if case is None else case.standing
    left = _left(row, record)
    wrote = record.messages[-1] if record.messages else None
    return CasePage(
        title=_title(case, row),
        reference=row.reference_code,
        email=row.email,
        case_id=None if case is None else case.case_id,
        checkout_id=row.checkout_id,
        is_open=stands is not None and stands.state is not CaseState.RESOLVED,
        owner=None if case is None else case.owner,
        since="" if stands is None else age_in_words(stands.now - stands.since),
        cause=("" if stands is None else cause_in_words(stands.cause, stands.step)),
        detail="" if case is None else case.detail,
        held="" if case is None else _held(case),
        differences=differences(facts),
        processor=_processor_says(shown, row.now),
        why_not=shown.why_not,
        ours=_we_say(row),
        page_says=view_of(row).headline,
        feeling=CATALOGUE[view_of(row).state].feeling,
        told=_customer_was_told(row, record),
        mails=_mails(row, record),
        proposal=propose(facts),
        repairs=_repairs(record, row.now),
        is_repairing=any(one.outcome is None for one in record.repairs),
        refunds=tuple(_refund_line(one, row.now) for one in record.returned),
        refund_turn=len(record.returned),
        left=None if left is None or left.amount_minor <= 0 else str(left),
        newest=lines[:LINES_SHOWN],
        older=lines[LINES_SHOWN:],
        payment_url=payment_url(settings, payment_of(row, record)),
        workflow_url=_workflow_url(settings, row.checkout_id),
        change_turn=len(record.changes),
        is_charged=row.charged_at is not None,
        why_no_days=why_no_days(row.access_state, is_over=_is_over(row)),
        runs_until="" if row.access_until is None else day_in_words(row.access_until),
        wrote="" if wrote is None else wrote.text,
        wrote_when="" if wrote is None else at_in_words(wrote.written_at, now=row.now),
        seen="" if case is None else seen_of(case),
    )


def _mails(row: CheckoutRow, record: Record) -> tuple[str, ...]:
    told = [
        f"{mail_in_words(mail)} {at_in_words(mail.at, now=row.now)}"
        for mail in reversed(record.mails)
    ]
    if row.mail_held_at is not None:
        told.insert(0, "Their mail is held since a repair of many: see Books")
    return tuple(told)


def orphan_page(
    case: CaseRow, notes: Sequence[Line], shown: Shown, settings: Settings
) -> CasePage:
    """Write the page of a payment that no checkout of ours stands for."""
    stands = case.standing
    lines = tuple(tell(line) for line in notes)
    is_second = stands.cause == Cause.SECOND_CHARGE
    return CasePage(
        title="Perhaps charged twice" if is_second else "Paid, no order",
        reference=case.payment_intent_id or "",
        email="",
        case_id=case.case_id,
        checkout_id=None,
        is_open=stands.state is not CaseState.RESOLVED,
        owner=case.owner,
        since=age_in_words(stands.now - stands.since),
        cause=cause_in_words(stands.cause, stands.step),
        detail=case.detail,
        held=_held(case),
        differences=(
            case.detail
            if is_second
            else "The processor knows this payment, and no checkout of ours does.",
        ),
        processor=_processor_says(shown, stands.now),
        why_not=shown.why_not,
        ours=(),
        page_says="",
        feeling="",
        told=(),
        mails=(),
        proposal=None,
        repairs=(),
        is_repairing=False,
        refunds=(),
        refund_turn=0,
        left=None,
        newest=lines[:LINES_SHOWN],
        older=lines[LINES_SHOWN:],
        payment_url=payment_url(settings, case.payment_intent_id),
        workflow_url=None,
        is_second_charge=is_second,
        seen=seen_of(case),
    )


def processor_facts(shown: Shown, now: datetime) -> tuple[Fact, ...]:
    """Write what the processor shows, for a payment without a page."""
    return _processor_says(shown, now)


def payment_url(settings: Settings, payment_intent_id: str | None) -> str | None:
    """Return where the processor's own pages show a payment."""
    if payment_intent_id is None:
        return None
    place = settings.console_processor_url.rstrip("/")
    world = "" if settings.is_live else "/test"
    return f"{place}{world}/payments/{payment_intent_id}"


def _title(case: CaseRow | None, row: CheckoutRow) -> str:
    if case is None or case.standing.state is CaseState.RESOLVED:
        # Nothing is lacking any more: it is called as its customer sees it.
        return view_of(row).title
    words = trouble_in_words(case.standing)
    return words[0].upper() + words[1:]


def _held(row: CaseRow) -> str:
    until, now = row.standing.held_until, row.standing.now
    if until is None or until <= now:
        return ""
    return f"held until {by_in_words(until, now=now)}: {row.hold_reason}"


def _processor_says(shown: Shown, now: datetime) -> tuple[Fact, ...]:
    intent = shown.intent
    if intent is None:
        return ()
    said = [
        Fact(name="Payment", value=status_in_words(intent.status)),
        Fact(name="Amount", value=str(intent.price)),
        Fact(
            name="Card",
            value=card_in_words(intent.card_brand, intent.card_last4) or "none yet",
        ),
    ]
    if intent.charged_at is not None:
        said.append(Fact(name="Taken", value=at_in_words(intent.charged_at, now=now)))
    for refund in shown.refunds:
        state = refund_in_words(STATE_OF_STATUS[refund.status])
        said.append(Fact(name="Refund", value=f"{refund.amount}: {state}"))
    if not shown.refunds:
        said.append(Fact(name="Refunds", value="none"))
    said.append(Fact(name="Asked", value="this moment"))
    return tuple(said)


def _we_say(row: CheckoutRow) -> tuple[Fact, ...]:
    access = row.access_state.value.lower()
    until = ""
    if row.access_state is AccessState.ACTIVE and row.access_until is not None:
        until = f" until {day_in_words(row.access_until)}"
    order = "written" if row.order_id else "none"
    card = card_in_words(row.card_brand, row.card_last4)
    said = [
        Fact(name="Money", value=row.money_state.value.replace("_", " ").lower()),
        Fact(name="Price", value=f"{row.price}, {row.plan_name}"),
        Fact(name="Order", value=order),
        Fact(name="Access", value=f"{access}{until}"),
        Fact(name="Tries to pay", value=str(row.buyer_attempt)),
    ]
    if card:
        said.append(Fact(name="Card", value=card))
    if row.charged_at:
        said.append(
            Fact(name="Charged", value=at_in_words(row.charged_at, now=row.now))
        )
    return tuple(said)


def _customer_was_told(row: CheckoutRow, record: Record) -> tuple[Fact, ...]:
    said = []
    for one in record.promised:
        if one.kept_at is not None:
            continue
        due = by_in_words(one.due_at, now=row.now)
        who = "a person writes" if one.by_person else "the next word"
        late = ", overdue" if one.due_at < row.now else ""
        said.append(Fact(name="Promised", value=f"{who} by {due}{late}"))
    if row.next_message_at is not None and row.next_message_at > row.now:
        said.append(
            Fact(
                name="Next mail",
                value=f"by {by_in_words(row.next_message_at, now=row.now)}",
            )
        )
    return tuple(said)


def _repairs(record: Record, now: datetime) -> tuple[str, ...]:
    said = []
    for one in reversed(record.repairs):
        age = age_in_words(now - one.requested_at)
        when = age if age == "just now" else f"{age} ago"
        who = actor_in_words(one.actor)
        said.append(f"{who}, {when}: {one.outcome or 'under way'}")
    return tuple(said)


def _refund_line(one: Returned, now: datetime) -> RefundLine:
    words = f"{one.amount}, asked for by {one.actor}: {refund_in_words(one.state)}"
    may = one.state is RefundState.REQUESTED and one.not_before > now
    if may:
        words += f" until {by_in_words(one.not_before, now=now)}"
    return RefundLine(refund_id=one.refund_id, words=words, may_be_taken_back=may)


def _left(row: CheckoutRow, record: Record) -> Money | None:
    if row.charged_at is None:
        return None
    live = {RefundState.REQUESTED, RefundState.SUBMITTING, *ACCEPTED_REFUNDS}
    gone = sum(one.amount.amount_minor for one in record.returned if one.state in live)
    return Money(
        amount_minor=row.price.amount_minor - gone, currency=row.price.currency
    )


def _is_over(row: CheckoutRow) -> bool:
    return row.access_until is not None and row.access_until <= row.now


def _refunded_there(shown: Shown) -> int | None:
    if shown.intent is None:
        return None
    return sum(
        refund.amount.amount_minor
        for refund in shown.refunds
        if STATE_OF_STATUS[refund.status] in ACCEPTED_REFUNDS
    )


def payment_of(row: CheckoutRow, record: Record) -> str | None:
    """Return the payment that a checkout stands or falls with."""
    return row.payment_intent_id or (record.payments[0] if record.payments else None)


def _workflow_url(settings: Settings, checkout_id: UUID) -> str | None:
    place = settings.console_temporal_url
    if place is None:
        return None
    return (
        f"{place.rstrip('/')}/namespaces/{settings.temporal_namespace}"
        f"/workflows/{workflow_id_of(checkout_id)}"
    )
