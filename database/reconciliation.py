"""Runs of the reconciliation, the differences they saw, and what was decided.

A difference is one row for ever, named by its kind and subject: seen again while its
repair is under way it is not written again, so a run right after another writes
nothing but its own row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Row,
    ScalarSelect,
    and_,
    case,
    exists,
    func,
    literal,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from database.aftermath import suspect_second_charge
from database.cases import insert_repair, mark_told, open_case, open_payment_case
from database.inbox import OVERDUE_AFTER, InboxEvent, list_overdue, mark_applied
from database.oncall import NewFinding, end_findings, write_finding
from database.tables import (
    cases,
    checkouts,
    discrepancies,
    emails,
    entitlements,
    orders,
    reconciliation_runs,
    reconciliation_state,
    repairs,
)
from domain.emails import EmailKind
from domain.messages import OpenCase, RepairRequest
from domain.oncall import FindingKind
from domain.reconciliation import (
    BULK_FROM,
    DEEP_EVERY,
    DEEP_REACH,
    HOLDS_MAIL,
    IN_FLIGHT_FOR,
    MOST_CASES,
    MOST_LOCAL,
    MOST_REPAIRS,
    MOST_REPAIRS_OF_ONE,
    OVERLAP,
    PERSONS_KINDS,
    REPAIR_HAS,
    RULES,
    RUN_IS_DEAD_AFTER,
    RUN_MOVES_FOR,
    SIGHTINGS_FOR_A_PERSON,
    AskForRepair,
    Decided,
    Difference,
    DiscrepancyKind,
    DiscrepancyState,
    FinishRun,
    OpenIntent,
    OwnTrouble,
    ReconcileInput,
    RunPlan,
    RunState,
    Side,
    Tally,
    Trigger,
    cause_of,
    is_late,
    own_troubles,
)
from domain.states import (
    AccessState,
    EmailState,
    EntitlementState,
    MoneyState,
    Stage,
)

#: Makes the ids of differences and of their repairs.
_DIFFERENCES = UUID("9f1b6f0e-3a64-4e35-8a0c-5d8f1d2b7c40")

#: Whom findings about the reconciliation itself are about.
SUBJECT = "reconciliation"

#: What a case says is stuck.
_STEP = "agree with the processor"

#: A press, a charge and its order take seconds; a step in trouble has its own rounds.
_MOVES_WITHIN = timedelta(minutes=5)
_ACCESS_WITHIN = timedelta(minutes=3)
#: The bank's question stands for half an hour, and is asked twice.
_BANK_ANSWERS_WITHIN = timedelta(minutes=70)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """The kill switch: who turned it, when and why."""

    since: datetime
    actor: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldMail:
    """Mail that a bulk repair holds back: of how many checkouts, the newest since when.

    Another bulk of as many has another time: whoever looked at one does not let the
    other go.
    """

    count: int
    newest_at: datetime | None

    @property
    def seen(self) -> str:
        """What somebody knows who reads of it now; see `api.support.views.seen_of`."""
        at = (
            "" if self.newest_at is None else self.newest_at.astimezone(UTC).isoformat()
        )
        return f"{self.count} {at}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """How far the processor and we have been compared.

    Attributes:
        watermark_at: All that was made before has been compared; None before the first
            run.
        age: How long ago that was, by the database's clock, as `read_age` has it;
            while a run moves, how long ago it last came on.
        held: The kill switch; None while repairs are asked for.
        mail_held: Checkouts whose mail waits for a person after a bulk repair.
        last_found: What the last finished run found, by kind.
        last_warnings: What it told of ourselves.
    """

    watermark_at: datetime | None
    age: timedelta
    held: Held | None
    mail_held: HeldMail
    last_found: dict[str, int]
    last_warnings: tuple[str, ...]

    @property
    def is_late(self) -> bool:
        """Nothing was compared for so long that somebody must look why."""
        return is_late(self.age)


async def begin_run(
    connection: AsyncConnection, run_id: UUID, asked: ReconcileInput
) -> RunPlan | None:
    """Say what a run compares, and write its row; None while another is under way.

    A run whose row has shown no sign of life is given up for lost: it was terminated,
    or its worker died for good. The same id twice is one run.
    """
    state = await _state(connection)
    now = await _now(connection)
    is_deep = asked.since is None and (asked.is_deep or _is_deep_due(state, now, asked))
    plan = RunPlan(
        run_id=run_id,
        compare_from=await _compare_from(connection, state, now, asked, is_deep),
        compare_before=_whole_second(now - IN_FLIGHT_FOR),
        is_deep=is_deep,
        is_acting=not asked.is_dry and state.held_at is None,
        is_dry=asked.is_dry,
        is_gapless=_is_gapless(state, asked),
    )
    if asked.is_dry:
        return plan
    await connection.execute(
        update(reconciliation_runs)
        .where(
            reconciliation_runs.c.finished_at.is_(None),
            reconciliation_runs.c.run_id != run_id,
            reconciliation_runs.c.touched_at < now - RUN_IS_DEAD_AFTER,
        )
        .values(state=RunState.LOST, finished_at=func.clock_timestamp())
    )
    written = await connection.execute(
        insert(reconciliation_runs)
        .values(
            run_id=run_id,
            trigger=asked.trigger,
            actor=asked.actor,
            is_deep=is_deep,
            compare_from=plan.compare_from,
            compare_before=plan.compare_before,
        )
        .on_conflict_do_nothing()
        .returning(reconciliation_runs.c.run_id)
    )
    if written.scalar_one_or_none() is not None:
        return plan
    return await _begun_before(connection, plan)


async def _begun_before(connection: AsyncConnection, plan: RunPlan) -> RunPlan | None:
    """Return the plan that this very run began with; None when another is running."""
    found = await connection.execute(
        select(reconciliation_runs).where(
            reconciliation_runs.c.run_id == plan.run_id,
            reconciliation_runs.c.finished_at.is_(None),
        )
    )
    row = found.one_or_none()
    if row is None:
        return None
    return RunPlan(
        run_id=plan.run_id,
        compare_from=row.compare_from,
        compare_before=row.compare_before,
        is_deep=row.is_deep,
        is_acting=plan.is_acting,
        is_gapless=plan.is_gapless,
    )


async def _state(connection: AsyncConnection) -> Row[Any]:
    found = await connection.execute(select(reconciliation_state))
    return found.one()


async def _now(connection: AsyncConnection) -> datetime:
    now: datetime = (
        await connection.execute(select(func.clock_timestamp()))
    ).scalar_one()
    return now


def _is_gapless(state: Row[Any], asked: ReconcileInput) -> bool:
    """A run from an instant of its own may leave a gap behind the watermark."""
    if asked.since is None:
        return True
    return state.watermark_at is not None and asked.since <= state.watermark_at


def _is_deep_due(state: Row[Any], now: datetime, asked: ReconcileInput) -> bool:
    if asked.is_dry or asked.since is not None or state.watermark_at is None:
        return False
    return state.deep_at is None or now - state.deep_at >= DEEP_EVERY


async def _compare_from(
    connection: AsyncConnection,
    state: Row[Any],
    now: datetime,
    asked: ReconcileInput,
    is_deep: bool,
) -> datetime:
    """Say how far back a run goes: from the watermark, whatever time has passed.

    Without one, from our first checkout: what the account saw before is not ours.
    """
    if asked.since is not None:
        return _whole_second(asked.since)
    if state.watermark_at is not None and not is_deep:
        return _whole_second(state.watermark_at - OVERLAP)
    # Reads all checkouts, so it is asked only by the few runs that need it.
    found = await connection.execute(select(func.min(checkouts.c.created_at)))
    first = (found.scalar_one() or now) - OVERLAP
    begun = first if state.watermark_at is None else state.watermark_at - OVERLAP
    if is_deep:
        begun = min(begun, max(first, now - DEEP_REACH))
    return _whole_second(begun)


def _whole_second(instant: datetime) -> datetime:
    """The processor counts in whole seconds."""
    return instant.replace(microsecond=0)


async def touch_run(
    connection: AsyncConnection, run_id: UUID, tally: Tally | None
) -> None:
    """Show a sign of life, and how far the run has come."""
    seen = {} if tally is None else {"compared": tally.compared}
    await connection.execute(
        update(reconciliation_runs)
        .where(
            reconciliation_runs.c.run_id == run_id,
            reconciliation_runs.c.finished_at.is_(None),
        )
        .values(touched_at=func.clock_timestamp(), **seen)
    )


#: A statement carries 65,535 parameters at the most, and a row has ten.
_ROWS_AT_ONCE = 1000

#: What a person's word settles stays settled. What a repair should have put right and
#: did not is still wrong after its case was closed: the case is opened again.
_OUTLIVED_ITS_CASE = and_(
    discrepancies.c.state == DiscrepancyState.WITH_PERSON,
    discrepancies.c.kind.not_in(sorted(PERSONS_KINDS)),
    exists().where(
        cases.c.checkout_id == discrepancies.c.checkout_id,
        cases.c.resolved_at < func.clock_timestamp() - REPAIR_HAS,
    ),
)


async def note_differences(
    connection: AsyncConnection, plan: RunPlan, differences: Sequence[Difference]
) -> None:
    """Write down what was seen (`uq_discrepancies_kind_subject`).

    Known ones are written again only when that changes what is done: the sighting that
    a person waits for, one that outlived its repair, or one whose case was closed while
    the difference lasts.
    """
    if plan.is_dry or not differences:
        return
    await _take_turns(connection)
    for first in range(0, len(differences), _ROWS_AT_ONCE):
        await _note_some(connection, plan, differences[first : first + _ROWS_AT_ONCE])


async def _note_some(
    connection: AsyncConnection, plan: RunPlan, differences: Sequence[Difference]
) -> None:
    statement = insert(discrepancies).values(
        [_row_of(difference, plan) for difference in differences]
    )
    fresh = statement.excluded
    await connection.execute(
        statement.on_conflict_do_update(
            constraint="uq_discrepancies_kind_subject",
            set_={
                "sightings": discrepancies.c.sightings + 1,
                "last_seen_at": func.clock_timestamp(),
                "run_id": fresh.run_id,
                "detail": fresh.detail,
                "state": case(
                    (_OUTLIVED_ITS_CASE, DiscrepancyState.SEEN),
                    else_=discrepancies.c.state,
                ),
            },
            where=and_(
                discrepancies.c.run_id != fresh.run_id,
                or_(
                    and_(
                        discrepancies.c.state == DiscrepancyState.SEEN,
                        discrepancies.c.sightings < SIGHTINGS_FOR_A_PERSON,
                    ),
                    and_(
                        discrepancies.c.state == DiscrepancyState.REPAIRING,
                        discrepancies.c.asked_at < func.clock_timestamp() - REPAIR_HAS,
                    ),
                    _OUTLIVED_ITS_CASE,
                ),
            ),
        )
    )


async def _take_turns(connection: AsyncConnection) -> bool:
    """Wait for another run's transaction on differences, and hold others until ours.

    Returns whether the kill switch is on, as it stands this instant.

    A run that was given up for lost may still be at work beside the next. Both would
    take the same rows in different orders, and `ON CONFLICT` looks at one constraint:
    two at once may meet at the other, which is an error.
    """
    found = await connection.execute(
        select(reconciliation_state.c.held_at).with_for_update()
    )
    return found.scalar_one() is not None


def _row_of(difference: Difference, plan: RunPlan) -> dict[str, object]:
    amount = difference.amount
    return {
        "discrepancy_id": uuid5(
            _DIFFERENCES, f"{difference.kind}:{difference.subject}"
        ),
        "kind": difference.kind.value,
        "subject": difference.subject,
        "checkout_id": difference.checkout_id,
        "payment_intent_id": difference.payment_intent_id,
        "amount_minor": None if amount is None else amount.amount_minor,
        "currency": None if amount is None else amount.currency,
        "detail": difference.detail,
        # What the processor shows of long ago flickers no more.
        "sightings": SIGHTINGS_FOR_A_PERSON if difference.is_settled else 1,
        "run_id": plan.run_id,
    }


#: In a long run these may wait for an hour until all is compared and decided: meanwhile
#: their checkouts look stuck, or their PaymentIntents open, for no reason of their own.
_WAITS_FOR_REPAIR = exists().where(
    discrepancies.c.checkout_id == checkouts.c.checkout_id,
    discrepancies.c.kind.in_(sorted(HOLDS_MAIL)),
    discrepancies.c.state == DiscrepancyState.SEEN,
)


async def look_locally(connection: AsyncConnection) -> list[Difference]:
    """Find, in our rows alone, what has not got on for longer than any step takes.

    Of each kind `MOST_LOCAL` at the most, by chance: rows that cannot get on never keep
    the others from being found.
    """
    return [
        *await _without_access(connection),
        *await _without_receipt(connection),
        *await _stuck(connection),
    ]


async def _without_access(connection: AsyncConnection) -> list[Difference]:
    rows = await connection.execute(
        select(checkouts.c.checkout_id, checkouts.c.payment_intent_id)
        .join(orders, orders.c.checkout_id == checkouts.c.checkout_id)
        .join(entitlements, entitlements.c.order_id == orders.c.order_id)
        .where(
            checkouts.c.stage == Stage.CHARGED,
            # While money goes back, access may have to wait.
            checkouts.c.money_state == MoneyState.CHARGED,
            checkouts.c.access_state == AccessState.PENDING,
            entitlements.c.state == EntitlementState.PENDING,
            orders.c.created_at < func.clock_timestamp() - _ACCESS_WITHIN,
            # An order that the processor shows no charge for is a person's to open.
            ~exists().where(
                discrepancies.c.checkout_id == checkouts.c.checkout_id,
                discrepancies.c.kind == DiscrepancyKind.ORDER_WITHOUT_CHARGE,
            ),
        )
        .order_by(func.random())
        .limit(MOST_LOCAL)
    )
    return [
        _local(DiscrepancyKind.ORDER_WITHOUT_ACCESS, row, "Paid, and access is closed.")
        for row in rows
    ]


async def _without_receipt(connection: AsyncConnection) -> list[Difference]:
    rows = await connection.execute(
        select(checkouts.c.checkout_id, checkouts.c.payment_intent_id)
        .join(orders, orders.c.checkout_id == checkouts.c.checkout_id)
        .join(entitlements, entitlements.c.order_id == orders.c.order_id)
        .join(emails, emails.c.checkout_id == checkouts.c.checkout_id)
        .where(
            checkouts.c.access_state == AccessState.ACTIVE,
            checkouts.c.mail_held_at.is_(None),
            entitlements.c.granted_at < func.clock_timestamp() - _ACCESS_WITHIN,
            emails.c.kind == EmailKind.RECEIPT,
            emails.c.state == EmailState.PENDING,
        )
        .order_by(func.random())
        .limit(MOST_LOCAL)
    )
    return [
        _local(DiscrepancyKind.ORDER_WITHOUT_RECEIPT, row, "The receipt has not left.")
        for row in rows
    ]


async def _stuck(connection: AsyncConnection) -> list[Difference]:
    now = func.clock_timestamp()
    rows = await connection.execute(
        select(
            checkouts.c.checkout_id,
            checkouts.c.payment_intent_id,
            checkouts.c.buyer_attempt,
        )
        .where(
            checkouts.c.stage == Stage.CHARGING,
            ~_WAITS_FOR_REPAIR,
            or_(
                and_(
                    checkouts.c.money_state == MoneyState.UNKNOWN,
                    checkouts.c.updated_at < now - _MOVES_WITHIN,
                ),
                and_(
                    checkouts.c.money_state == MoneyState.ACTION_NEEDED,
                    checkouts.c.updated_at < now - _BANK_ANSWERS_WITHIN,
                ),
            ),
        )
        .order_by(func.random())
        .limit(MOST_LOCAL)
    )
    return [
        _local(
            DiscrepancyKind.STUCK_CHECKOUT,
            row,
            "The request to pay has not moved.",
            turn=row.buyer_attempt,
        )
        for row in rows
    ]


def _local(
    kind: DiscrepancyKind, row: Row[*tuple[Any, ...]], detail: str, *, turn: int = 0
) -> Difference:
    return Difference(
        kind=kind,
        subject=f"{row.checkout_id}:{turn}" if turn else str(row.checkout_id),
        checkout_id=row.checkout_id,
        payment_intent_id=row.payment_intent_id,
        amount=None,
        detail=detail,
    )


async def list_open_intents(
    connection: AsyncConnection, limit: int
) -> list[OpenIntent]:
    """Read PaymentIntents whose end we do not know (`ix_checkouts_open_intent`).

    The choice among many is random, so that none is never asked about.
    """
    rows = await connection.execute(
        select(
            checkouts.c.checkout_id, checkouts.c.payment_intent_id, checkouts.c.stage
        )
        .where(
            checkouts.c.payment_intent_id.is_not(None),
            checkouts.c.stage != Stage.CHARGED,
            checkouts.c.intent_closed_at.is_(None),
            checkouts.c.updated_at < func.clock_timestamp() - _MOVES_WITHIN,
            ~_WAITS_FOR_REPAIR,
        )
        .order_by(func.random())
        .limit(limit)
    )
    return [
        OpenIntent(
            checkout_id=row.checkout_id,
            payment_intent_id=row.payment_intent_id,
            is_attempt_open=row.stage != Stage.OPEN,
        )
        for row in rows
    ]


async def mark_intent_closed(connection: AsyncConnection, intent: OpenIntent) -> None:
    """The processor shows it canceled: it need not be asked about again."""
    await connection.execute(
        update(checkouts)
        .where(
            checkouts.c.checkout_id == intent.checkout_id,
            checkouts.c.payment_intent_id == intent.payment_intent_id,
            checkouts.c.stage == Stage.OPEN,
        )
        .values(intent_closed_at=func.clock_timestamp())
    )


async def decide(connection: AsyncConnection, plan: RunPlan) -> Decided:
    """Choose the repairs of this run, open the cases, and mark both as begun.

    A second run of the same step finds them marked and returns the same repairs: their
    ids are derived, and the door takes the same id twice as one.
    """
    is_held = await _take_turns(connection)
    if is_held or not plan.is_acting:
        return Decided(withheld=await _count_repairs(connection, plan))
    opened = 0
    for row in await _due(connection, plan, _is_for_person(plan), MOST_CASES):
        opened += await _give_to_person(connection, row)
    chosen = await _due(connection, plan, ~_is_for_person(plan), MOST_REPAIRS)
    withheld = 0
    if len(chosen) == MOST_REPAIRS:
        withheld = await _count_repairs(connection, plan) - len(chosen)
    is_bulk = await _is_bulk(connection, plan)
    if is_bulk:
        await _hold_mail(connection, plan)
    else:
        await _let_rebuilt_speak(connection, [row.checkout_id for row in chosen])
    asked = [await _ask(connection, plan, row) for row in chosen]
    asked += await _ask_for_overdue_events(connection, MOST_REPAIRS - len(asked))
    return Decided(
        repairs=tuple(asked),
        cases=opened,
        withheld=withheld,
        is_bulk=is_bulk,
        decided_at=await _now(connection),
    )


async def _ask_for_overdue_events(
    connection: AsyncConnection, limit: int
) -> list[AskForRepair]:
    """Take up events that nobody was told of for a day: a look afresh finds their news.

    Those that name no checkout of ours are applied by the comparison of the payments.
    """
    asked = []
    for event in await list_overdue(connection, OVERDUE_AFTER, limit):
        checkout = await _checkout_of(connection, event)
        if checkout is not None:
            repair = AskForRepair(
                checkout_id=checkout.checkout_id,
                reference_code=checkout.reference_code,
                repair_id=uuid5(_DIFFERENCES, f"event:{event.event_id}"),
                reason=f"the event {event.kind} waited for a day",
            )
            await _make_durable(connection, repair)
            asked.append(repair)
        await mark_applied(connection, event.event_id)
    return asked


async def _checkout_of(
    connection: AsyncConnection, event: InboxEvent
) -> Row[UUID, str] | None:
    found = await connection.execute(
        select(checkouts.c.checkout_id, checkouts.c.reference_code)
        .where(
            or_(
                checkouts.c.checkout_id == event.checkout_id,
                checkouts.c.payment_intent_id == event.payment_intent_id,
            )
        )
        .order_by((checkouts.c.checkout_id == event.checkout_id).desc())
        .limit(1)
    )
    return found.one_or_none()


_RUN_STARTED_AT = reconciliation_runs.c.started_at


def _is_asked(plan: RunPlan) -> ColumnElement[bool]:
    """Whether it was asked for by an earlier try of this very step."""
    begun_at = _RUN_STARTED_AT if plan.decided_at is None else literal(plan.decided_at)
    return and_(
        discrepancies.c.state == DiscrepancyState.REPAIRING,
        discrepancies.c.asked_at >= begun_at,
    )


def _is_for_person(plan: RunPlan) -> ColumnElement[bool]:
    return or_(
        discrepancies.c.kind.in_(sorted(PERSONS_KINDS)),
        # No row of ours: there is no workflow that could be asked.
        checkouts.c.reference_code.is_(None),
        and_(
            discrepancies.c.repairs_asked >= MOST_REPAIRS_OF_ONE,
            _is_asked(plan).is_not(true()),
        ),
    )


def _is_due(plan: RunPlan) -> ColumnElement[bool]:
    needed = case(
        {kind.value: rule.sightings for kind, rule in RULES.items()},
        value=discrepancies.c.kind,
    )
    return or_(
        and_(
            discrepancies.c.state == DiscrepancyState.SEEN,
            discrepancies.c.sightings >= needed,
        ),
        and_(
            discrepancies.c.state == DiscrepancyState.REPAIRING,
            discrepancies.c.run_id == plan.run_id,
            or_(
                and_(
                    discrepancies.c.asked_at < func.clock_timestamp() - REPAIR_HAS,
                    # An earlier part of a long run may have asked for it.
                    discrepancies.c.last_seen_at > discrepancies.c.asked_at,
                ),
                _is_asked(plan),
            ),
        ),
    )


def _with_run(plan: RunPlan) -> FromClause:
    """Join each difference with its checkout, where there is one, and with the run."""
    return discrepancies.outerjoin(
        checkouts, checkouts.c.checkout_id == discrepancies.c.checkout_id
    ).join(reconciliation_runs, reconciliation_runs.c.run_id == literal(plan.run_id))


_FROM_OURS = sorted(
    kind for kind, rule in RULES.items() if rule.starts_from is Side.OURS
)


async def _due(
    connection: AsyncConnection, plan: RunPlan, which: ColumnElement[bool], most: int
) -> Sequence[Row[Any]]:
    """Read what is due, seen first first, and keep others from changing it."""
    found = await connection.execute(
        select(
            discrepancies,
            checkouts.c.reference_code,
            _is_asked(plan).label("is_asked"),
        )
        .select_from(_with_run(plan))
        .where(_is_due(plan), which)
        .order_by(
            # What our own rows show is tended by workflows too; what only the processor
            # shows has nobody else.
            discrepancies.c.kind.in_(_FROM_OURS),
            discrepancies.c.first_seen_at,
            discrepancies.c.discrepancy_id,
        )
        .limit(most)
        .with_for_update(of=discrepancies)
    )
    return found.all()


#: Deliveries that may come days late.
_HOLDS_MAIL = discrepancies.c.kind.in_(sorted(HOLDS_MAIL))


async def _count_repairs(connection: AsyncConnection, plan: RunPlan) -> int:
    found = await connection.execute(
        select(func.count())
        .select_from(_with_run(plan))
        .where(_is_due(plan), ~_is_for_person(plan))
    )
    return found.scalar_one()


async def _is_bulk(connection: AsyncConnection, plan: RunPlan) -> bool:
    """Whether so many are delivered late by this run, all its parts together."""
    is_of_earlier_part = and_(
        discrepancies.c.state == DiscrepancyState.REPAIRING,
        discrepancies.c.run_id == plan.run_id,
        discrepancies.c.asked_at >= _RUN_STARTED_AT,
    )
    found = await connection.execute(
        select(func.count())
        .select_from(_with_run(plan))
        .where(
            _HOLDS_MAIL,
            or_(and_(_is_due(plan), ~_is_for_person(plan)), is_of_earlier_part),
        )
    )
    return found.scalar_one() >= BULK_FROM


async def _give_to_person(connection: AsyncConnection, row: Row[Any]) -> int:
    """Open the case of a difference, or add to the one that is open; returns 1."""
    cause = cause_of(DiscrepancyKind(row.kind))
    if row.reference_code is not None:
        await open_case(
            connection,
            OpenCase(
                checkout_id=row.checkout_id,
                step=_STEP,
                cause=cause,
                detail=row.detail,
            ),
        )
    else:
        await open_payment_case(
            connection, row.payment_intent_id or row.subject, _STEP, cause, row.detail
        )
    await connection.execute(
        update(discrepancies)
        .where(discrepancies.c.discrepancy_id == row.discrepancy_id)
        .values(state=DiscrepancyState.WITH_PERSON)
    )
    return 1


#: The workflow has not answered yet: its mails may still come.
_IS_UNANSWERED = and_(
    discrepancies.c.state == DiscrepancyState.REPAIRING,
    exists().where(
        repairs.c.repair_id == discrepancies.c.repair_id, repairs.c.outcome.is_(None)
    ),
)


async def _hold_mail(connection: AsyncConnection, plan: RunPlan) -> None:
    """Hold the mail of all that is due, also of what the cap leaves to later runs.

    And of what is being repaired since an earlier run. What was put right long ago is
    an ordinary purchase again, whose refunds and endings must be told.
    """
    held = (
        select(discrepancies.c.checkout_id)
        .select_from(_with_run(plan))
        .where(_HOLDS_MAIL, or_(_is_due(plan), _IS_UNANSWERED))
    )
    await connection.execute(
        update(checkouts)
        .where(checkouts.c.checkout_id.in_(held), checkouts.c.mail_held_at.is_(None))
        .values(mail_held_at=func.clock_timestamp())
    )


#: Made anew, and no run has decided yet whether it is one of many.
_AWAITS_DECISION = exists().where(
    discrepancies.c.checkout_id == checkouts.c.checkout_id,
    discrepancies.c.kind == DiscrepancyKind.CHARGE_WITHOUT_CHECKOUT,
    discrepancies.c.repairs_asked == 0,
)


async def _is_bulk_held(connection: AsyncConnection) -> bool:
    """Whether mail of an earlier bulk repair still waits for a person."""
    found = await connection.execute(
        select(exists().where(checkouts.c.mail_held_at.is_not(None), ~_AWAITS_DECISION))
    )
    return bool(found.scalar_one())


async def _let_rebuilt_speak(
    connection: AsyncConnection, chosen: Sequence[UUID]
) -> None:
    """Few were made anew: their customers hear from us like all others.

    Unless they are the last of many: a run asks for so many repairs and no more, and
    what it leaves is of the same making.
    """
    if await _is_bulk_held(connection):
        return
    await connection.execute(
        update(checkouts)
        .where(checkouts.c.checkout_id.in_(chosen), _AWAITS_DECISION)
        .values(mail_held_at=None, next_message_at=func.clock_timestamp())
    )


async def _ask(
    connection: AsyncConnection, plan: RunPlan, row: Row[Any]
) -> AskForRepair:
    kind = DiscrepancyKind(row.kind)
    turn = row.repairs_asked if row.is_asked else row.repairs_asked + 1
    repair_id = uuid5(_DIFFERENCES, f"{row.discrepancy_id}:{turn}")
    if kind is DiscrepancyKind.DUPLICATE_CHARGE:
        await suspect_second_charge(connection, row.checkout_id, row.payment_intent_id)
    asked = AskForRepair(
        checkout_id=row.checkout_id,
        reference_code=row.reference_code,
        repair_id=repair_id,
        reason=f"{kind}: {row.detail}",
        payment_intent_id=row.payment_intent_id,
    )
    if not row.is_asked:
        await _make_durable(connection, asked)
        await connection.execute(
            update(discrepancies)
            .where(discrepancies.c.discrepancy_id == row.discrepancy_id)
            .values(
                state=DiscrepancyState.REPAIRING,
                run_id=plan.run_id,
                repairs_asked=turn,
                asked_at=func.clock_timestamp(),
                repair_id=repair_id,
            )
        )
    return asked


async def _make_durable(connection: AsyncConnection, asked: AskForRepair) -> None:
    """Write the request itself, so that the starter loop tells what a crash left."""
    request = RepairRequest(
        repair_id=asked.repair_id,
        actor=SUBJECT,
        reason=asked.reason,
        payment_intent_id=asked.payment_intent_id,
    )
    await insert_repair(connection, asked.checkout_id, request)
    await mark_told(connection, asked.repair_id)


async def finish_run(connection: AsyncConnection, run: FinishRun) -> tuple[str, ...]:
    """Close the run's row and move the watermark; the second time changes nothing.

    Returns:
        What the figures tell of ourselves, in sentences.
    """
    troubles = own_troubles(run)
    warnings = tuple(troubles.values())
    if run.plan.is_dry:
        return warnings
    finished = await connection.execute(
        update(reconciliation_runs)
        .where(
            reconciliation_runs.c.run_id == run.plan.run_id,
            reconciliation_runs.c.finished_at.is_(None),
        )
        .values(
            state=RunState.FINISHED,
            finished_at=func.clock_timestamp(),
            touched_at=func.clock_timestamp(),
            compared=run.tally.compared,
            charges=run.tally.charges,
            told=run.tally.told,
            found=run.tally.found,
            repairs=run.repairs,
            cases=run.cases,
            withheld=run.withheld,
            warnings=list(warnings),
        )
        .returning(reconciliation_runs.c.run_id)
    )
    if finished.scalar_one_or_none() is None:
        return warnings
    # What lasts stays one finding: it is neither over nor told anew each five minutes.
    lasting = set(troubles)
    if (await _read_mail_held(connection)).count:
        lasting.add(OwnTrouble.MAIL_HELD)
    await end_findings(connection, SUBJECT, unless=tuple(lasting))
    for trouble in sorted(lasting):
        await write_finding(
            connection,
            NewFinding(
                kind=FindingKind.BOOKS_DIFFER,
                step="compare with the processor",
                error=trouble,
                subject=SUBJECT,
            ),
        )
    moved: dict[str, object] = {}
    if run.plan.is_deep:
        moved["deep_at"] = func.clock_timestamp()
    # Lost rows are made anew only while repairs may be asked for: the next run has to
    # come by here again.
    if run.plan.is_gapless and run.plan.is_acting:
        # A run with `since` may end earlier than a run that has been by since.
        moved["watermark_at"] = func.greatest(
            reconciliation_state.c.watermark_at, run.plan.compare_before
        )
    if moved:
        await connection.execute(update(reconciliation_state).values(**moved))
    return warnings


async def hold(connection: AsyncConnection, actor: str, reason: str) -> bool:
    """Turn the kill switch on; False when it is on already."""
    held = await connection.execute(
        update(reconciliation_state)
        .where(reconciliation_state.c.held_at.is_(None))
        .values(held_at=func.clock_timestamp(), held_by=actor, held_reason=reason)
        .returning(reconciliation_state.c.is_only)
    )
    return held.scalar_one_or_none() is not None


async def let_go(connection: AsyncConnection) -> bool:
    """Turn the kill switch off; False when it is off already.

    A deep pass that ended meanwhile has made no lost row anew: the next run is one.
    """
    let = await connection.execute(
        update(reconciliation_state)
        .where(reconciliation_state.c.held_at.is_not(None))
        .values(
            held_at=None,
            held_by=None,
            held_reason=None,
            deep_at=case(
                (
                    reconciliation_state.c.deep_at >= reconciliation_state.c.held_at,
                    None,
                ),
                else_=reconciliation_state.c.deep_at,
            ),
        )
        .returning(reconciliation_state.c.is_only)
    )
    return let.scalar_one_or_none() is not None


async def let_mail_go(connection: AsyncConnection) -> HeldMail:
    """Let held mail leave: the sweep finds its checkouts within a minute.

    Returns:
        What was held.
    """
    held = (
        select(checkouts.c.checkout_id, checkouts.c.mail_held_at)
        .where(checkouts.c.mail_held_at.is_not(None))
        .with_for_update()
        .cte("held")
    )
    released = await connection.execute(
        update(checkouts)
        .where(checkouts.c.checkout_id == held.c.checkout_id)
        .values(
            mail_held_at=None,
            next_message_at=func.least(
                checkouts.c.next_message_at, func.clock_timestamp()
            ),
        )
        .returning(held.c.mail_held_at)
    )
    times = [row.mail_held_at for row in released]
    return HeldMail(count=len(times), newest_at=max(times, default=None))


async def list_mail_held(
    connection: AsyncConnection, limit: int = 5
) -> tuple[tuple[UUID, str], ...]:
    """Read some checkouts whose mail is held, for whoever lets it go: id, reference."""
    found = await connection.execute(
        select(checkouts.c.checkout_id, checkouts.c.reference_code)
        .where(checkouts.c.mail_held_at.is_not(None))
        .order_by(checkouts.c.mail_held_at, checkouts.c.checkout_id)
        .limit(limit)
    )
    return tuple((row.checkout_id, row.reference_code) for row in found)


async def read_reconciled(connection: AsyncConnection) -> Reconciled:
    """Read how far the processor and we have been compared."""
    state = await _state(connection)
    found = await connection.execute(
        select(reconciliation_runs.c.found, reconciliation_runs.c.warnings)
        .where(reconciliation_runs.c.state == RunState.FINISHED)
        .order_by(reconciliation_runs.c.started_at.desc())
        .limit(1)
    )
    last = found.one_or_none()
    is_held = state.held_at is not None
    return Reconciled(
        watermark_at=state.watermark_at,
        age=await read_age(connection),
        held=Held(since=state.held_at, actor=state.held_by, reason=state.held_reason)
        if is_held
        else None,
        mail_held=await _read_mail_held(connection),
        last_found=dict(last.found) if last else {},
        last_warnings=tuple(last.warnings) if last else (),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """One run, as its row has it."""

    run_id: UUID
    state: RunState
    trigger: Trigger
    actor: str
    is_deep: bool
    started_at: datetime
    finished_at: datetime | None
    compared: int
    found: dict[str, int]
    repairs: int
    cases: int
    withheld: int
    warnings: tuple[str, ...]


async def find_run(connection: AsyncConnection, run_id: UUID) -> RunRow | None:
    """Read a run; None when there is none."""
    found = await connection.execute(
        select(reconciliation_runs).where(reconciliation_runs.c.run_id == run_id)
    )
    row = found.one_or_none()
    return None if row is None else _run(row)


async def list_runs(connection: AsyncConnection, limit: int = 12) -> tuple[RunRow, ...]:
    """Read the newest runs, newest first (`ix_reconciliation_runs_started_at`)."""
    found = await connection.execute(
        select(reconciliation_runs)
        .order_by(reconciliation_runs.c.started_at.desc())
        .limit(limit)
    )
    return tuple(_run(row) for row in found)


def _run(row: Row[*tuple[Any, ...]]) -> RunRow:
    return RunRow(
        run_id=row.run_id,
        state=RunState(row.state),
        trigger=Trigger(row.trigger),
        actor=row.actor,
        is_deep=row.is_deep,
        started_at=row.started_at,
        finished_at=row.finished_at,
        compared=row.compared,
        found=dict(row.found),
        repairs=row.repairs,
        cases=row.cases,
        withheld=row.withheld,
        warnings=tuple(row.warnings),
    )


async def tell_of_lateness(connection: AsyncConnection) -> None:
    """Have people told that nothing is compared; the next finished run ends it.

    While a person holds it the watermark stays on purpose.
    """
    if (await _state(connection)).held_at is not None:
        return
    await write_finding(
        connection,
        NewFinding(
            kind=FindingKind.RECONCILIATION_LATE, step="", error="", subject=SUBJECT
        ),
    )


def _moved_at() -> ScalarSelect[datetime]:
    """When the run that is under way last came on; null where that excuses nothing.

    After one that was lost it may be the next of many which all die at the same place.
    """
    earlier = reconciliation_runs.alias()
    finished = reconciliation_runs.alias()
    now = func.clock_timestamp()
    last_end = (
        select(func.max(finished.c.started_at))
        .where(finished.c.state == RunState.FINISHED)
        .scalar_subquery()
    )
    return (
        select(func.max(reconciliation_runs.c.touched_at))
        .where(
            reconciliation_runs.c.finished_at.is_(None),
            reconciliation_runs.c.touched_at > now - RUN_IS_DEAD_AFTER,
            reconciliation_runs.c.started_at > now - RUN_MOVES_FOR,
            ~exists().where(
                earlier.c.state == RunState.LOST,
                or_(last_end.is_(None), earlier.c.started_at > last_end),
            ),
        )
        .scalar_subquery()
    )


async def read_age(connection: AsyncConnection) -> timedelta:
    """Return how old the watermark is; before a first run, how old the first checkout.

    While a run moves, how long ago it last came on: a deep pass may take an hour. A
    shop without checkouts has nothing to compare, and is never late.
    """
    found = await connection.execute(
        select(
            func.clock_timestamp()
            - func.coalesce(
                func.greatest(
                    select(reconciliation_state.c.watermark_at).scalar_subquery(),
                    _moved_at(),
                ),
                select(func.min(checkouts.c.created_at)).scalar_subquery(),
                func.clock_timestamp(),
            )
        )
    )
    age: timedelta = found.scalar_one()
    return age


async def _read_mail_held(connection: AsyncConnection) -> HeldMail:
    found = await connection.execute(
        select(
            func.count().label("n"), func.max(checkouts.c.mail_held_at).label("newest")
        ).where(checkouts.c.mail_held_at.is_not(None))
    )
    row = found.one()
    return HeldMail(count=row.n, newest_at=row.newest)
