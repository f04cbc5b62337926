"""Cases and repairs: what support works on, and what was asked to be put right."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import ColumnElement, Row, exists, func, literal, or_, select, update
from sqlalchemy import case as sql_case
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from database.oncall import NewFinding, end_findings, write_finding
from database.tables import cases, checkouts, emails, findings, repairs
from domain.causes import Cause
from domain.identifiers import derived_id
from domain.messages import CheckoutInput, OpenCase, RecordRepair, RepairRequest
from domain.oncall import FindingKind, kind_of_case
from domain.reconciliation import MENDED_BY_STEPS, DiscrepancyKind, cause_of
from domain.states import AccessState, CaseState, EmailState, MoneyState

#: What no step of a workflow can put right, so that its success must not hide it.
FOR_PEOPLE = (
    Cause.MAIL_BOUNCED,
    Cause.MAIL_REFUSED,
    Cause.LETTER_REFUSED,
    Cause.CUSTOMER_WROTE,
    # A mail of ours named a time, and nobody wrote by then.
    Cause.PROMISE_OVERDUE,
    # The customer does not have the money that we said goes back.
    Cause.REFUND_FAILED,
    # Whoever had an address before says that it was not they who changed it.
    Cause.ADDRESS_DISPUTED,
    # The processor and we differ in a way that no step mends; among them is a dispute,
    # whose bank wants an answer by a date.
    *(cause_of(kind) for kind in DiscrepancyKind if kind not in MENDED_BY_STEPS),
)

#: What a letter that a person signed puts an end to.
_ANSWERED = (Cause.CUSTOMER_WROTE, Cause.PROMISE_OVERDUE)

#: A case that nobody set aside.
NO_HOLD: dict[str, Any] = {"held_until": None, "held_at": None, "hold_reason": None}

#: A case that needs nobody any more. Whoever held it held it for what is over.
RESOLVED: dict[str, Any] = {
    "state": CaseState.RESOLVED,
    "resolved_at": func.clock_timestamp(),
    **NO_HOLD,
}

#: What was longest ago is cut off first.
_MOST_DETAIL = 500

#: Makes a case's id from a PaymentIntent's.
_PAYMENT_CASES = UUID("7d0e2a55-6a0b-4a52-9a43-0f6b6c1f1c9e")


async def open_case(connection: AsyncConnection, case: OpenCase) -> None:
    """Open the checkout's one case, or bring it up to date and open it again.

    While one is open that only a person can close (`FOR_PEOPLE`), the trouble of a step
    does not take its place; a step that stays stuck opens it anew afterwards. What is
    opened again has neither the owner nor the age of what was resolved, and what needs
    a person for another reason than before is held by nobody.
    """
    is_for_people = case.cause in FOR_PEOPLE
    fresh = {"step": case.step, "cause": case.cause, "detail": case.detail}
    statement = insert(cases).values(
        case_id=derived_id(case.checkout_id, "case"),
        checkout_id=case.checkout_id,
        **fresh,
    )
    await connection.execute(
        statement.on_conflict_do_update(
            constraint="uq_cases_checkout_id",
            set_=fresh | _brought_up_to_date(case, is_for_people=is_for_people),
            where=or_(
                literal(is_for_people),
                cases.c.state == CaseState.RESOLVED,
                cases.c.cause.not_in(FOR_PEOPLE),
            ),
        )
    )
    marked = await connection.execute(
        update(checkouts)
        .where(checkouts.c.checkout_id == case.checkout_id)
        .values(
            attention_at=func.coalesce(
                checkouts.c.attention_at, func.clock_timestamp()
            ),
            # Once access is open, the buyer has seen no trouble: a receipt may have.
            interrupted_at=sql_case(
                (
                    or_(
                        # Nor has a mail that came back made anybody wait.
                        literal(is_for_people),
                        checkouts.c.access_state == AccessState.ACTIVE,
                    ),
                    checkouts.c.interrupted_at,
                ),
                else_=func.coalesce(checkouts.c.interrupted_at, func.clock_timestamp()),
            ),
        )
        .returning(checkouts)
    )
    await _tell_desk(connection, case, marked.one())


async def _tell_desk(
    connection: AsyncConnection, case: OpenCase, checkout: Row[tuple[object, ...]]
) -> None:
    """Write the finding in the case's own commit; what was found before it is over."""
    subject = str(case.checkout_id)
    kind = kind_of_case(
        case.cause,
        MoneyState(checkout.money_state),
        AccessState(checkout.access_state),
    )
    if case.cause not in FOR_PEOPLE:
        goes_on = (kind, case.step, case.cause)
        await end_findings(connection, subject, unless=FOR_PEOPLE, but=goes_on)
    since = {
        FindingKind.PAID_WITHOUT_ACCESS: checkout.charged_at,
        FindingKind.OUTCOME_UNKNOWN: (
            checkout.bank_answered_at or checkout.pay_requested_at
        ),
    }
    await write_finding(
        connection,
        NewFinding(
            kind=kind,
            step=case.step,
            error=case.cause,
            subject=subject,
            since=since.get(kind),
            amount_minor=checkout.amount_minor,
            currency=checkout.currency,
            case_id=derived_id(case.checkout_id, "case"),
        ),
    )


def _brought_up_to_date(case: OpenCase, *, is_for_people: bool) -> dict[str, Any]:
    """Return what becomes of the row that is there already."""
    is_over = cases.c.state == CaseState.RESOLVED
    is_news = or_(is_over, literal(is_for_people) & (cases.c.cause != case.cause))
    return {
        "detail": _with_what_is_open(case) if is_for_people else case.detail,
        # A person who already has the case keeps it.
        "state": sql_case((is_over, CaseState.OPEN), else_=cases.c.state),
        "owner": sql_case((is_over, None), else_=cases.c.owner),
        "claimed_at": sql_case((is_over, None), else_=cases.c.claimed_at),
        "opened_at": sql_case(
            (is_over, func.clock_timestamp()), else_=cases.c.opened_at
        ),
        "resolved_at": None,
        **{name: sql_case((is_news, None), else_=cases.c[name]) for name in NO_HOLD},
    }


def _with_what_is_open(case: OpenCase) -> ColumnElement[str]:
    """Add what the case is open for, so that a letter does not hide a stuck step."""
    is_other = (cases.c.state != CaseState.RESOLVED) & (cases.c.cause != case.cause)
    both = func.left(
        func.concat(case.detail, " Before: ", cases.c.detail), _MOST_DETAIL
    )
    return sql_case((is_other, both), else_=case.detail)


async def open_payment_case(
    connection: AsyncConnection,
    payment_intent_id: str,
    step: str,
    cause: str,
    detail: str,
) -> bool:
    """Open the one case of a payment that no order of ours stands for.

    A person decides whether the money goes back. The case is opened once and then left
    alone (`uq_cases_payment_intent_id`): what was resolved stays so, however often the
    news of the payment comes.

    Returns:
        Whether this call opened it.
    """
    opened = await connection.execute(
        insert(cases)
        .values(
            case_id=uuid5(_PAYMENT_CASES, payment_intent_id),
            payment_intent_id=payment_intent_id,
            step=step,
            cause=cause,
            detail=detail,
        )
        # Not by the constraint's name: two at once may meet at the primary key first.
        .on_conflict_do_nothing()
        .returning(cases.c.case_id)
    )
    case_id = opened.scalar_one_or_none()
    if case_id is None:
        return False
    await write_finding(
        connection,
        NewFinding(
            kind=kind_of_case(cause, None, None),
            step=step,
            error=cause,
            subject=payment_intent_id,
            case_id=case_id,
        ),
    )
    return True


async def tell_payment_case(
    connection: AsyncConnection, payment_intent_id: str, detail: str, *, is_done: bool
) -> None:
    """Say in a payment's case what the machine does; done, it needs nobody any more."""
    done: dict[str, Any] = {}
    if is_done:
        resolved_at = func.coalesce(cases.c.resolved_at, func.clock_timestamp())
        done = RESOLVED | {"resolved_at": resolved_at}
    await connection.execute(
        update(cases)
        .where(cases.c.payment_intent_id == payment_intent_id)
        .values(detail=detail, **done)
    )


async def close_case(connection: AsyncConnection, checkout_id: UUID) -> bool:
    """The checkout got on by itself or by a repair: its steps need nobody.

    A case that only a person can close stays, and with it the call for attention.

    Returns:
        Whether such a case is still open.
    """
    await _resolve(connection, checkout_id, cases.c.cause.not_in(FOR_PEOPLE))
    # Its steps get on, even where a case for people stays open.
    await end_findings(connection, str(checkout_id), unless=FOR_PEOPLE)
    return not await _calm(connection, checkout_id)


async def close_case_of_refused_mail(
    connection: AsyncConnection, checkout_id: UUID
) -> None:
    """A mail has left: when no other of this checkout was refused, none is missing.

    Of everything else that is wrong with the checkout a mail says nothing.
    """
    is_missing = exists().where(
        emails.c.checkout_id == checkout_id,
        emails.c.state == EmailState.FAILED,
        # An address that was given up need not be reached.
        emails.c.recipient.is_(None),
    )
    is_of_mail = findings.c.error == Cause.MAIL_REFUSED
    if await _end_lasting(connection, checkout_id, is_of_mail & ~is_missing):
        await _settle(connection, checkout_id, cases.c.cause == Cause.MAIL_REFUSED)


async def calm_answered_case(
    connection: AsyncConnection, checkout_id: UUID, *, stays: bool
) -> None:
    """A person has answered: nobody waits for a word of ours any more.

    Args:
        connection: In a transaction.
        checkout_id: Whose case.
        stays: The answer names a time by which somebody writes again.
    """
    await _end_lasting(connection, checkout_id, findings.c.error.in_(_ANSWERED))
    is_answered = cases.c.cause.in_(_ANSWERED)
    if not stays:
        await _settle(connection, checkout_id, is_answered)
    elif not await _falls_back(connection, checkout_id, is_answered):
        await connection.execute(
            update(cases)
            .where(_open_one(checkout_id), is_answered)
            .values(cause=Cause.STAFF_OPENED, step="write to the customer again")
        )


async def _end_lasting(
    connection: AsyncConnection, checkout_id: UUID, which: ColumnElement[bool]
) -> bool:
    """Write that such of a checkout's findings are over; False when none lasted."""
    ended = await connection.execute(
        update(findings)
        .where(
            findings.c.subject == str(checkout_id), findings.c.over_at.is_(None), which
        )
        .values(over_at=func.clock_timestamp())
        .returning(findings.c.finding_id)
    )
    return ended.first() is not None


def _open_one(checkout_id: UUID) -> ColumnElement[bool]:
    return (cases.c.checkout_id == checkout_id) & (cases.c.state != CaseState.RESOLVED)


async def _settle(
    connection: AsyncConnection, checkout_id: UUID, which: ColumnElement[bool]
) -> None:
    """End what a case is open for: it goes on for what is left, or it is resolved."""
    if await _falls_back(connection, checkout_id, which):
        return
    if await _resolve(connection, checkout_id, which):
        await _calm(connection, checkout_id)


async def _falls_back(
    connection: AsyncConnection, checkout_id: UUID, which: ColumnElement[bool]
) -> bool:
    """Let a case go on for what else lasts; False when nothing does.

    A case shows one cause, the latest. A customer who writes while their refund failed,
    or while their access does not open, would otherwise have it closed by the answer,
    and the desk would be told that the rest is over with it.
    """
    found = await connection.execute(
        select(findings.c.error, findings.c.step)
        .where(findings.c.subject == str(checkout_id), findings.c.over_at.is_(None))
        # What only a person can settle goes before what a step may.
        .order_by(findings.c.error.in_(FOR_PEOPLE).desc(), findings.c.found_at.desc())
        .limit(1)
    )
    left = found.one_or_none()
    if left is None:
        return False
    await connection.execute(
        update(cases)
        .where(_open_one(checkout_id), which)
        .values(cause=left.error, step=left.step)
    )
    return True


async def _resolve(
    connection: AsyncConnection, checkout_id: UUID, which: ColumnElement[bool]
) -> bool:
    """Resolve the checkout's case if it is such a one; False when it is none.

    The trigger `end_findings` ends what was found with it.
    """
    closed = await connection.execute(
        update(cases)
        .where(_open_one(checkout_id), which)
        .values(**RESOLVED)
        .returning(cases.c.case_id)
    )
    return closed.one_or_none() is not None


async def _calm(connection: AsyncConnection, checkout_id: UUID) -> bool:
    """Call for nobody any more, unless a case is open; False when one is."""
    calmed = await connection.execute(
        update(checkouts)
        .where(
            checkouts.c.checkout_id == checkout_id,
            ~exists().where(_open_one(checkout_id)),
        )
        .values(attention_at=None)
        .returning(checkouts.c.checkout_id)
    )
    return calmed.one_or_none() is not None


async def insert_repair(
    connection: AsyncConnection, checkout_id: UUID, repair: RepairRequest
) -> bool:
    """Make a request for repair durable; the same id twice is one request.

    Returns:
        Whether this call wrote it.
    """
    made = await connection.execute(
        insert(repairs)
        .values(
            repair_id=repair.repair_id,
            checkout_id=checkout_id,
            actor=repair.actor,
            reason=repair.reason,
            payment_intent_id=repair.payment_intent_id,
        )
        .on_conflict_do_nothing(constraint="pk_repairs")
        .returning(repairs.c.repair_id)
    )
    return made.one_or_none() is not None


async def record_repair(connection: AsyncConnection, record: RecordRepair) -> None:
    """Write what a repair found and did, once; the request's row is made if missing."""
    await insert_repair(connection, record.checkout_id, record.repair)
    await connection.execute(
        update(repairs)
        .where(
            repairs.c.repair_id == record.repair.repair_id, repairs.c.outcome.is_(None)
        )
        .values(outcome=record.outcome, finished_at=func.clock_timestamp())
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingRepair:
    """A repair that was asked for and of which its workflow may not know."""

    checkout: CheckoutInput
    repair: RepairRequest


#: Whoever asked tells the workflow at once; later than this, the asker died.
_TOLD_WITHIN = timedelta(seconds=5)

#: A workflow that was told and has not answered may have been terminated since. One
#: that lives takes the same id as one repair.
_TELL_AGAIN_AFTER = timedelta(minutes=10)


async def take_waiting_repairs(
    connection: AsyncConnection, limit: int
) -> list[WaitingRepair]:
    """Take repairs whose workflow was not told, and mark them as told.

    Rows that another replica is taking are skipped. Who cannot tell after all calls
    `unmark_told`; who dies before leaves them for `_TELL_AGAIN_AFTER`.
    """
    now = func.clock_timestamp()
    waiting = (
        select(repairs.c.repair_id)
        .where(
            repairs.c.outcome.is_(None),
            repairs.c.requested_at < now - _TOLD_WITHIN,
            or_(
                repairs.c.told_at.is_(None), repairs.c.told_at < now - _TELL_AGAIN_AFTER
            ),
        )
        .order_by(repairs.c.requested_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    taken = await connection.execute(
        update(repairs)
        .where(
            repairs.c.repair_id.in_(waiting),
            checkouts.c.checkout_id == repairs.c.checkout_id,
        )
        .values(told_at=now)
        .returning(
            repairs.c.repair_id,
            repairs.c.checkout_id,
            repairs.c.actor,
            repairs.c.reason,
            repairs.c.payment_intent_id,
            checkouts.c.reference_code,
        )
    )
    return [
        WaitingRepair(
            checkout=CheckoutInput(
                checkout_id=row.checkout_id, reference_code=row.reference_code
            ),
            repair=RepairRequest(
                repair_id=row.repair_id,
                actor=row.actor,
                reason=row.reason,
                payment_intent_id=row.payment_intent_id,
            ),
        )
        for row in taken
    ]


async def mark_told(connection: AsyncConnection, repair_id: UUID) -> None:
    """The workflow of a repair was told."""
    await connection.execute(
        update(repairs)
        .where(repairs.c.repair_id == repair_id)
        .values(told_at=func.clock_timestamp())
    )


async def unmark_told(connection: AsyncConnection, repair_id: UUID) -> None:
    """The workflow could not be told: the next round tries again."""
    await connection.execute(
        update(repairs).where(repairs.c.repair_id == repair_id).values(told_at=None)
    )
