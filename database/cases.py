"""Cases and repairs: what support works on, and what was asked to be put right."""

from __future__ import annotations

from uuid import UUID, uuid5

from sqlalchemy import ColumnElement, Row, exists, func, literal, or_, update
from sqlalchemy import case as sql_case
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from database.oncall import NewFinding, end_findings, write_finding
from database.tables import cases, checkouts, repairs
from domain.identifiers import derived_id
from domain.messages import OpenCase, RecordRepair, RepairRequest
from domain.oncall import FindingKind, kind_of_case
from domain.states import AccessState, CaseState, MoneyState

#: What no step of a workflow can put right, so that its success must not hide it.
FOR_PEOPLE = ("MailBounced", "CustomerWrote")

#: What was longest ago is cut off first.
_MOST_DETAIL = 500

#: Makes a case's id from a PaymentIntent's.
_PAYMENT_CASES = UUID("7d0e2a55-6a0b-4a52-9a43-0f6b6c1f1c9e")


async def open_case(connection: AsyncConnection, case: OpenCase) -> None:
    """Open the checkout's one case, or bring it up to date and open it again.

    While one is open that only a person can close (`FOR_PEOPLE`), the trouble of a step
    does not take its place; a step that stays stuck opens it anew afterwards.
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
            set_=fresh
            | {
                "detail": _with_what_is_open(case) if is_for_people else case.detail,
                # A person who already holds the case keeps it.
                "state": func.coalesce(
                    func.nullif(cases.c.state, CaseState.RESOLVED), CaseState.OPEN
                ),
                "resolved_at": None,
            },
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
        FindingKind.OUTCOME_UNKNOWN: checkout.pay_requested_at,
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
    done: dict[str, object] = {}
    if is_done:
        done = {
            "state": CaseState.RESOLVED,
            "resolved_at": func.coalesce(cases.c.resolved_at, func.clock_timestamp()),
        }
    await connection.execute(
        update(cases)
        .where(cases.c.payment_intent_id == payment_intent_id)
        .values(detail=detail, **done)
    )


async def close_case(connection: AsyncConnection, checkout_id: UUID) -> None:
    """The checkout got on by itself or by a repair: its steps need nobody.

    A case that only a person can close stays, and with it the call for attention.
    """
    await connection.execute(
        update(cases)
        .where(
            cases.c.checkout_id == checkout_id,
            cases.c.state != CaseState.RESOLVED,
            cases.c.cause.not_in(FOR_PEOPLE),
        )
        .values(state=CaseState.RESOLVED, resolved_at=func.clock_timestamp())
    )
    # Its steps get on, even where a case for people stays open.
    await end_findings(connection, str(checkout_id), unless=FOR_PEOPLE)
    still_open = exists().where(
        cases.c.checkout_id == checkout_id, cases.c.state != CaseState.RESOLVED
    )
    await connection.execute(
        update(checkouts)
        .where(checkouts.c.checkout_id == checkout_id, ~still_open)
        .values(attention_at=None)
    )


async def insert_repair(
    connection: AsyncConnection, checkout_id: UUID, repair: RepairRequest
) -> None:
    """Make a request for repair durable; the same id twice is one request."""
    await connection.execute(
        insert(repairs)
        .values(
            repair_id=repair.repair_id,
            checkout_id=checkout_id,
            actor=repair.actor,
            reason=repair.reason,
        )
        .on_conflict_do_nothing()
    )


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
