"""What the console reads and writes: cases, their notes, and all that is told of one.

A change of a case names what it changes from, so that of two people at once one learns
what the other did.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid4

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Row,
    Select,
    and_,
    exists,
    func,
    or_,
    select,
    union,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from database.cases import NO_HOLD, RESOLVED, insert_repair
from database.changes import Change, list_changes
from database.checkouts import IN_WORK, CheckoutRow, list_checkouts
from database.customer_messages import CustomerMessage, list_messages
from database.replies import ReplyRow, list_replies
from database.tables import (
    audit,
    case_notes,
    cases,
    checkouts,
    disputes,
    emails,
    payment_attempts,
    processor_events,
    promises,
    purchase_changes,
    refunds,
    repairs,
    second_charges,
)
from domain.case_view import ToldMail
from domain.causes import Cause
from domain.emails import EmailKind
from domain.identifiers import derived_id
from domain.messages import RepairRequest
from domain.money import Money
from domain.search import Wanted
from domain.states import (
    ACCEPTED_REFUNDS,
    AccessState,
    CaseState,
    EmailState,
    MoneyState,
    RefundState,
)
from domain.triage import Standing

T = TypeVar("T")

#: More are never shown; what is beyond them is counted.
MOST_CASES = 500
MOST_FOUND = 50
MOST_LINES = 300

#: The happy path is over by then; before it nothing is trouble.
_TROUBLE_AFTER = timedelta(seconds=30)

#: What is closed stays in sight for a day.
_DONE_FOR = timedelta(hours=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseRow:
    """Something that somebody may have to look at: with a case, or healing without.

    Attributes:
        case_id: None while the machine is at it without a case.
        checkout_id: None for a payment that no checkout knows.
        standing: What decides its place in the list.
    """

    case_id: UUID | None
    checkout_id: UUID | None
    payment_intent_id: str | None
    reference_code: str | None
    email: str | None
    detail: str
    owner: str | None
    resolved_at: datetime | None
    hold_reason: str | None
    standing: Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A repair as it stands.

    Attributes:
        is_new: This call asked for it.
        outcome: None while it runs.
    """

    repair_id: UUID
    actor: str
    reason: str
    requested_at: datetime
    finished_at: datetime | None
    outcome: str | None
    is_new: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Promised:
    """A word that we owe by a time."""

    due_at: datetime
    by_person: bool
    kept_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """Money on its way back, as a case page lists it."""

    refund_id: UUID
    amount: Money
    state: RefundState
    actor: str
    reason: str
    requested_at: datetime
    not_before: datetime
    reference: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One thing that happened, before it is put in words.

    Attributes:
        kind: What of: `moved`, `mail`, `event`, `refund`, `repair`, `changed`, `note`,
            `wrote` (the customer), `reply`.
        facts: As the rows have them.
    """

    at: datetime
    kind: str
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """All that a case page tells besides the checkout's own row."""

    mails: tuple[ToldMail, ...]
    promised: tuple[Promised, ...]
    repairs: tuple[Asked, ...]
    returned: tuple[Returned, ...]
    payments: tuple[str, ...]
    lines: tuple[Line, ...]
    messages: tuple[CustomerMessage, ...] = ()
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Repairable:
    """A checkout with what decides which repair it needs."""

    row: CheckoutRow
    mails: tuple[ToldMail, ...]
    repairs: tuple[Asked, ...]


_PROMISE_DUE = (
    select(func.min(promises.c.due_at))
    .where(
        promises.c.checkout_id == checkouts.c.checkout_id, promises.c.kept_at.is_(None)
    )
    .correlate(checkouts)
    .scalar_subquery()
)

_STANDS = (
    checkouts.c.checkout_id,
    checkouts.c.reference_code,
    checkouts.c.email,
    checkouts.c.stage,
    checkouts.c.money_state,
    checkouts.c.access_state,
    checkouts.c.amount_minor,
    checkouts.c.currency,
    checkouts.c.heard_at,
    checkouts.c.updated_at,
    func.clock_timestamp().label("now"),
    _PROMISE_DUE.label("promise_due_at"),
)

_CASE = (
    cases.c.case_id,
    cases.c.payment_intent_id.label("orphan_id"),
    cases.c.state,
    cases.c.step,
    cases.c.cause,
    cases.c.detail,
    cases.c.owner,
    cases.c.opened_at,
    cases.c.resolved_at,
    cases.c.held_until,
    cases.c.held_at,
    cases.c.hold_reason,
)


def _with_case() -> Select[Any]:
    return select(*_CASE, *_STANDS).select_from(
        cases.outerjoin(checkouts, checkouts.c.checkout_id == cases.c.checkout_id)
    )


async def list_cases(connection: AsyncConnection) -> list[CaseRow]:
    """Read what is open, and what was closed in the last day; in no order."""
    now = func.clock_timestamp()
    found = await connection.execute(
        _with_case()
        .where(
            or_(
                cases.c.state != CaseState.RESOLVED,
                cases.c.resolved_at > now - _DONE_FOR,
            )
        )
        # What is open comes first, should there ever be more than is shown.
        .order_by(cases.c.state == CaseState.RESOLVED, cases.c.opened_at)
        .limit(MOST_CASES)
    )
    return [_case_row(row) for row in found]


async def list_healing(connection: AsyncConnection) -> list[CaseRow]:
    """Read what the machine is at without a case (`ix_checkouts_unfinished`)."""
    is_open = exists().where(
        cases.c.checkout_id == checkouts.c.checkout_id,
        cases.c.state != CaseState.RESOLVED,
    )
    found = await connection.execute(
        select(*_STANDS)
        .where(
            IN_WORK,
            checkouts.c.updated_at < func.clock_timestamp() - _TROUBLE_AFTER,
            ~is_open,
        )
        .order_by(checkouts.c.updated_at)
        .limit(MOST_CASES)
    )
    return [_healing_row(row) for row in found]


async def read_case(connection: AsyncConnection, case_id: UUID) -> CaseRow | None:
    """Read one case, open or closed."""
    found = await connection.execute(_with_case().where(cases.c.case_id == case_id))
    row = found.one_or_none()
    return None if row is None else _case_row(row)


async def find_case(connection: AsyncConnection, checkout_id: UUID) -> CaseRow | None:
    """Read a checkout's one case, open or closed (`uq_cases_checkout_id`)."""
    found = await connection.execute(
        _with_case().where(cases.c.checkout_id == checkout_id)
    )
    row = found.one_or_none()
    return None if row is None else _case_row(row)


async def open_case_by_hand(
    connection: AsyncConnection, checkout_id: UUID, *, owner: str, detail: str
) -> UUID:
    """Open a checkout's case because somebody wants to; theirs from the start."""
    values = {
        "state": CaseState.IN_PROGRESS,
        "step": "look into it",
        "cause": Cause.STAFF_OPENED,
        "detail": detail,
        "owner": owner,
        "claimed_at": func.clock_timestamp(),
        "resolved_at": None,
    }
    opened = await connection.execute(
        insert(cases)
        .values(
            case_id=derived_id(checkout_id, "case"), checkout_id=checkout_id, **values
        )
        .on_conflict_do_update(
            constraint="uq_cases_checkout_id",
            set_=values | {"opened_at": func.clock_timestamp()} | NO_HOLD,
            # One that is open already has a cause of its own, and perhaps an owner.
            where=cases.c.state == CaseState.RESOLVED,
        )
        .returning(cases.c.case_id)
    )
    row = opened.scalar_one_or_none()
    return row if row is not None else derived_id(checkout_id, "case")


async def set_owner(
    connection: AsyncConnection,
    case_id: UUID,
    *,
    owner: str | None,
    expected: str | None,
) -> bool:
    """Give a case to somebody, or back; False when its owner is not who was expected.

    Two who claim at once: the row's lock lets one through, the other finds an owner.
    """
    moved = await connection.execute(
        update(cases)
        .where(
            cases.c.case_id == case_id,
            cases.c.state != CaseState.RESOLVED,
            cases.c.owner.is_not_distinct_from(expected),
        )
        .values(
            owner=owner,
            state=CaseState.OPEN if owner is None else CaseState.IN_PROGRESS,
            claimed_at=None if owner is None else func.clock_timestamp(),
        )
        .returning(cases.c.case_id)
    )
    return moved.one_or_none() is not None


async def hold_case(
    connection: AsyncConnection, case_id: UUID, until: datetime | None, reason: str
) -> bool:
    """Say until when nobody needs to look; None ends that. False if it is closed."""
    moved = await connection.execute(
        update(cases)
        .where(cases.c.case_id == case_id, cases.c.state != CaseState.RESOLVED)
        .values(
            held_until=until,
            held_at=None if until is None else func.clock_timestamp(),
            hold_reason=None if until is None else reason,
        )
        .returning(cases.c.case_id)
    )
    return moved.one_or_none() is not None


async def resolve_case(connection: AsyncConnection, case_id: UUID) -> bool:
    """Close a case because a person says that it is done; False when it was closed.

    What was promised until now is done with it; a time that is still to come stays
    promised, since the customer waits for it.
    """
    moved = await connection.execute(
        update(cases)
        .where(cases.c.case_id == case_id, cases.c.state != CaseState.RESOLVED)
        .values(**RESOLVED)
        .returning(cases.c.checkout_id)
    )
    row = moved.one_or_none()
    if row is None:
        return False
    await connection.execute(
        update(checkouts)
        .where(checkouts.c.checkout_id == row.checkout_id)
        .values(attention_at=None)
    )
    await connection.execute(
        update(promises)
        .where(
            promises.c.checkout_id == row.checkout_id,
            promises.c.kept_at.is_(None),
            promises.c.due_at <= func.clock_timestamp(),
        )
        .values(kept_at=func.clock_timestamp(), kept_by="case closed")
    )
    return True


async def add_note(
    connection: AsyncConnection, case_id: UUID, *, author: str, text: str
) -> UUID:
    """Write a note; it stays as it is."""
    note_id = uuid4()
    await connection.execute(
        insert(case_notes).values(
            note_id=note_id, case_id=case_id, author=author, text=text
        )
    )
    return note_id


async def ask_repair(
    connection: AsyncConnection, checkout_id: UUID, repair: RepairRequest
) -> Asked | None:
    """Make a repair durable once, and say how it stands.

    Returns:
        The repair, this caller's or the one who was first; None when its id belongs to
        another checkout.
    """
    is_new = await insert_repair(connection, checkout_id, repair)
    return await read_repair(connection, checkout_id, repair.repair_id, is_new=is_new)


async def read_repair(
    connection: AsyncConnection,
    checkout_id: UUID,
    repair_id: UUID,
    *,
    is_new: bool = False,
) -> Asked | None:
    """Read one repair of a checkout."""
    found = await connection.execute(
        select(repairs).where(
            repairs.c.repair_id == repair_id, repairs.c.checkout_id == checkout_id
        )
    )
    row = found.one_or_none()
    return None if row is None else _asked(row, is_new=is_new)


async def search(
    connection: AsyncConnection, wanted: Wanted
) -> Sequence[tuple[CaseRow, datetime]]:
    """Find checkouts, newest first, with when each was opened.

    By address (`ix_checkouts_email`), also one that was corrected
    (`ix_purchase_changes_old_email`), reference, PaymentIntent of any attempt or second
    charge, last four digits with a day, or amount with a day.
    """
    condition = _condition(wanted)
    if condition is None:
        return []
    found = await connection.execute(
        select(*_CASE, *_STANDS, checkouts.c.created_at)
        .select_from(
            checkouts.outerjoin(cases, checkouts.c.checkout_id == cases.c.checkout_id)
        )
        .where(condition)
        .order_by(checkouts.c.created_at.desc())
        .limit(MOST_FOUND)
    )
    return [
        (_case_row(row) if row.case_id else _healing_row(row), row.created_at)
        for row in found
    ]


async def find_orphan(
    connection: AsyncConnection, payment_intent_id: str
) -> UUID | None:
    """Return the case of a payment that no checkout knows."""
    found = await connection.execute(
        select(cases.c.case_id).where(cases.c.payment_intent_id == payment_intent_id)
    )
    case_id: UUID | None = found.scalar_one_or_none()
    return case_id


async def read_record(
    connection: AsyncConnection, checkout_id: UUID, case_id: UUID | None
) -> Record:
    """Read all that happened around a checkout."""
    mails = (await _mails(connection, [checkout_id]))[checkout_id]
    promised = await connection.execute(
        select(promises)
        .where(promises.c.checkout_id == checkout_id)
        .order_by(promises.c.due_at)
    )
    repaired = (await _repairs(connection, [checkout_id]))[checkout_id]
    returned = await connection.execute(
        select(refunds)
        .where(refunds.c.checkout_id == checkout_id)
        .order_by(refunds.c.requested_at)
    )
    back = tuple(_returned(row) for row in returned)
    messages = await list_messages(connection, checkout_id)
    changes = await list_changes(connection, checkout_id)
    lines = (
        *_words(messages, await list_replies(connection, checkout_id)),
        *await _moves(connection, checkout_id),
        *await _events(connection, checkout_id),
        *await read_notes(connection, case_id),
        *(Line(at=mail.at, kind="mail", facts={"mail": mail}) for mail in mails),
        *(
            Line(at=one.requested_at, kind="repair", facts={"asked": one})
            for one in repaired
        ),
        *(
            Line(at=one.requested_at, kind="refund", facts={"returned": one})
            for one in back
        ),
        *(
            Line(at=one.created_at, kind="changed", facts={"change": one})
            for one in changes
        ),
    )
    return Record(
        mails=mails,
        promised=tuple(
            Promised(due_at=row.due_at, by_person=row.by_person, kept_at=row.kept_at)
            for row in promised
        ),
        repairs=repaired,
        returned=back,
        payments=await _payments(connection, checkout_id),
        messages=messages,
        changes=changes,
        lines=tuple(sorted(lines, key=lambda line: line.at)[-MOST_LINES:]),
    )


def _words(
    messages: Sequence[CustomerMessage], replies: Sequence[ReplyRow]
) -> list[Line]:
    """Return what the customer wrote, and what people answered."""
    return [
        *(
            Line(at=one.written_at, kind="wrote", facts={"text": one.text})
            for one in messages
        ),
        *(
            Line(at=one.created_at, kind="reply", facts={"reply": one})
            for one in replies
        ),
    ]


def _condition(wanted: Wanted) -> ColumnElement[bool] | None:
    if wanted.email:
        return checkouts.c.checkout_id.in_(_of_address(wanted.email))
    if wanted.reference:
        return checkouts.c.reference_code == wanted.reference
    if wanted.payment_intent_id:
        return checkouts.c.checkout_id.in_(_of_payment(wanted.payment_intent_id))
    if wanted.day is None:
        return None
    told: list[ColumnElement[bool]] = [checkouts.c.amount_minor.in_(wanted.amounts)]
    if wanted.last4:
        told.append(checkouts.c.card_last4 == wanted.last4)
    return and_(or_(*told), _around(wanted.day))


def _of_address(email: str) -> CompoundSelect[tuple[UUID]]:
    """Each part by an index of its own: with OR there would be one scan of all."""
    them = checkouts.alias("them")
    return union(
        select(them.c.checkout_id).where(func.lower(them.c.email) == email),
        select(purchase_changes.c.checkout_id).where(
            func.lower(purchase_changes.c.old_email) == email
        ),
    )


def _of_payment(payment_intent_id: str) -> CompoundSelect[tuple[UUID]]:
    them = checkouts.alias("them")
    places = (them, payment_attempts, second_charges, refunds, disputes)
    return union(
        *(
            select(place.c.checkout_id).where(
                place.c.payment_intent_id == payment_intent_id
            )
            for place in places
        )
    )


def _around(day: date) -> ColumnElement[bool]:
    """A statement shows the bank's day, which may be the one before or after ours.

    Uses `ix_checkouts_on_statement`, which has this very expression.
    """
    paid = func.coalesce(
        checkouts.c.charged_at, checkouts.c.pay_requested_at, checkouts.c.created_at
    )
    midnight = datetime.combine(day, time(), UTC)
    first, after = midnight - timedelta(days=1), midnight + timedelta(days=2)
    return and_(paid >= first, paid < after)


async def list_repairable(
    connection: AsyncConnection, checkout_ids: Sequence[UUID]
) -> dict[UUID, Repairable]:
    """Read what decides the repairs of many checkouts, in as few statements as of one.

    Returns:
        By checkout; those that are gone are left out.
    """
    mails = await _mails(connection, checkout_ids)
    asked = await _repairs(connection, checkout_ids)
    return {
        row.checkout_id: Repairable(
            row=row, mails=mails[row.checkout_id], repairs=asked[row.checkout_id]
        )
        for row in await list_checkouts(connection, checkout_ids)
    }


async def _repairs(
    connection: AsyncConnection, checkout_ids: Sequence[UUID]
) -> Mapping[UUID, tuple[Asked, ...]]:
    found = await connection.execute(
        select(repairs)
        .where(repairs.c.checkout_id.in_(checkout_ids))
        .order_by(repairs.c.requested_at)
    )
    return _by_checkout((row.checkout_id, _asked(row)) for row in found)


def _by_checkout(pairs: Iterable[tuple[UUID, T]]) -> Mapping[UUID, tuple[T, ...]]:
    """Sort what was read to its checkouts; of one without any there is none."""
    found: defaultdict[UUID, tuple[T, ...]] = defaultdict(tuple)
    for checkout_id, one in pairs:
        found[checkout_id] += (one,)
    return found


async def _mails(
    connection: AsyncConnection, checkout_ids: Sequence[UUID]
) -> Mapping[UUID, tuple[ToldMail, ...]]:
    found = await connection.execute(
        select(
            emails.c.checkout_id,
            emails.c.kind,
            emails.c.state,
            func.coalesce(emails.c.sent_at, emails.c.created_at).label("at"),
        )
        .where(emails.c.checkout_id.in_(checkout_ids))
        .order_by("at")
    )
    return _by_checkout(
        (
            row.checkout_id,
            ToldMail(kind=EmailKind(row.kind), state=EmailState(row.state), at=row.at),
        )
        for row in found
    )


async def _moves(connection: AsyncConnection, checkout_id: UUID) -> list[Line]:
    found = await connection.execute(
        select(audit)
        .where(audit.c.checkout_id == checkout_id)
        .order_by(audit.c.audit_id.desc())
        .limit(MOST_LINES)
    )
    return [
        Line(
            at=row.at,
            kind="moved",
            facts={
                "actor": row.actor,
                "action": row.action,
                "before": row.before or {},
                "after": row.after or {},
            },
        )
        for row in found
    ]


async def _events(connection: AsyncConnection, checkout_id: UUID) -> list[Line]:
    """Read what the processor told of a checkout, or of a payment that was its."""
    event = (
        processor_events.c.event_id,
        processor_events.c.kind,
        processor_events.c.received_at,
    )
    same_payment = (
        payment_attempts.c.payment_intent_id == processor_events.c.payment_intent_id
    )
    # Each part by an index of its own: with OR there would be one scan of all.
    told = union(
        select(*event).where(processor_events.c.checkout_id == checkout_id),
        select(*event)
        .join(payment_attempts, same_payment)
        .where(payment_attempts.c.checkout_id == checkout_id),
    ).subquery()
    found = await connection.execute(
        select(told).order_by(told.c.received_at.desc()).limit(MOST_LINES)
    )
    return [
        Line(
            at=row.received_at,
            kind="event",
            facts={"event": row.kind, "event_id": row.event_id},
        )
        for row in found
    ]


async def read_notes(connection: AsyncConnection, case_id: UUID | None) -> list[Line]:
    """Read what colleagues wrote about a case, newest first."""
    if case_id is None:
        return []
    found = await connection.execute(
        select(case_notes)
        .where(case_notes.c.case_id == case_id)
        .order_by(case_notes.c.written_at.desc())
        .limit(MOST_LINES)
    )
    return [
        Line(
            at=row.written_at,
            kind="note",
            facts={"author": row.author, "text": row.text},
        )
        for row in found
    ]


async def _payments(connection: AsyncConnection, checkout_id: UUID) -> tuple[str, ...]:
    """Return every PaymentIntent that was ever used, the newest attempt's first."""
    found = await connection.execute(
        select(payment_attempts.c.payment_intent_id)
        .where(
            payment_attempts.c.checkout_id == checkout_id,
            payment_attempts.c.payment_intent_id.is_not(None),
        )
        .order_by(payment_attempts.c.buyer_attempt.desc())
    )
    return tuple(dict.fromkeys(str(one) for one in found.scalars()))


def _standing(row: Any, **of_case: Any) -> Standing:
    amount = None
    if row.amount_minor is not None:
        amount = Money(amount_minor=row.amount_minor, currency=row.currency)
    return Standing(
        money=MoneyState(row.money_state) if row.money_state else None,
        access=AccessState(row.access_state) if row.access_state else None,
        amount=amount,
        now=row.now,
        promise_due_at=row.promise_due_at,
        heard_at=row.heard_at,
        **of_case,
    )


def _case_row(row: Any) -> CaseRow:
    return CaseRow(
        case_id=row.case_id,
        checkout_id=row.checkout_id,
        payment_intent_id=row.orphan_id,
        reference_code=row.reference_code,
        email=row.email,
        detail=row.detail,
        owner=row.owner,
        resolved_at=row.resolved_at,
        hold_reason=row.hold_reason,
        standing=_standing(
            row,
            cause=row.cause,
            step=row.step,
            state=CaseState(row.state),
            since=row.opened_at,
            held_until=row.held_until,
            held_at=row.held_at,
        ),
    )


def _healing_row(row: Any) -> CaseRow:
    return CaseRow(
        case_id=None,
        checkout_id=row.checkout_id,
        payment_intent_id=None,
        reference_code=row.reference_code,
        email=row.email,
        detail="",
        owner=None,
        resolved_at=None,
        hold_reason=None,
        standing=_standing(row, cause=None, step="", state=None, since=row.updated_at),
    )


def _asked(row: Row[Any], *, is_new: bool = False) -> Asked:
    return Asked(
        repair_id=row.repair_id,
        actor=row.actor,
        reason=row.reason,
        requested_at=row.requested_at,
        finished_at=row.finished_at,
        outcome=row.outcome,
        is_new=is_new,
    )


def _returned(row: Row[Any]) -> Returned:
    return Returned(
        refund_id=row.refund_id,
        amount=Money(amount_minor=row.amount_minor, currency=row.currency),
        state=RefundState(row.state),
        actor=row.actor,
        reason=row.reason,
        requested_at=row.requested_at,
        not_before=row.not_before,
        reference=row.bank_reference or row.processor_refund_id,
    )


def returned_minor(record: Record) -> int:
    """Sum up what the processor has taken on to return."""
    return sum(
        one.amount.amount_minor
        for one in record.returned
        if one.state in ACCEPTED_REFUNDS
    )
