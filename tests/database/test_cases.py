"""Cases and repairs: one case per checkout, one repair per request."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from database.cases import (
    FOR_PEOPLE,
    calm_answered_case,
    close_case,
    close_case_of_refused_mail,
    insert_repair,
    open_case,
    open_payment_case,
    record_repair,
    tell_payment_case,
)
from database.checkouts import read_checkout
from database.console import hold_case, set_owner
from database.correspondence import plan_correspondence
from database.emails import owe_again, record_email
from database.tables import cases, findings, repairs
from domain.cadence import FIRST_WORD_AFTER
from domain.causes import Cause
from domain.emails import EmailKind
from domain.identifiers import derived_id
from domain.messages import (
    EmailOutcome,
    OpenCase,
    PlanCorrespondence,
    RecordEmail,
    RecordRepair,
    RepairRequest,
)
from domain.reconciliation import MENDED_BY_STEPS, DiscrepancyKind, cause_of
from domain.states import Stage
from domain.working_hours import WorkingHours
from tests.database.conftest import CHARGED_AT, OpenCheckout

pytestmark = pytest.mark.postgres


async def test_a_checkout_has_one_case(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """A second trouble brings the case up to date; its holder keeps it."""
    checkout_id = await open_checkout(Stage.CHARGED)
    for step in ("write order", "send receipt"):
        async with engine.begin() as connection:
            await open_case(
                connection,
                OpenCase(
                    checkout_id=checkout_id, step=step, cause="Timeout", detail="Late."
                ),
            )
            await connection.execute(update(cases).values(state="in_progress"))

    async with engine.connect() as connection:
        case = (await connection.execute(select(cases))).one()
        row = await read_checkout(connection, checkout_id)
    assert (case.state, case.step) == ("in_progress", "send receipt")
    assert row.attention_at is not None
    assert row.interrupted_at is not None


async def test_a_case_closes_and_opens_again(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """Resolved by itself, the case leaves the queue; new trouble brings it back."""
    checkout_id = await open_checkout(Stage.CHARGED)
    trouble = OpenCase(
        checkout_id=checkout_id, step="provision", cause="Timeout", detail="Late."
    )
    states = []
    async with engine.begin() as connection:
        for _ in range(2):
            await open_case(connection, trouble)
            states.append((await connection.execute(select(cases.c.state))).scalar())
            await close_case(connection, checkout_id)
            states.append((await connection.execute(select(cases.c.state))).scalar())
        row = await read_checkout(connection, checkout_id)

    assert states == ["open", "resolved", "open", "resolved"]
    assert row.attention_at is None
    # That something made the buyer wait stays true.
    assert row.interrupted_at is not None


async def _held(
    engine: AsyncEngine, checkout_id: UUID, *causes: str
) -> list[tuple[object, ...]]:
    """Open cases one after another, each while a colleague holds what was before.

    Returns:
        Owner, hold and whether the case is as old as before, after each cause.
    """
    found: list[tuple[object, ...]] = []
    async with engine.begin() as connection:
        for cause in causes:
            before = (await connection.execute(select(cases))).one_or_none()
            case = OpenCase(
                checkout_id=checkout_id, step="x", cause=cause, detail="It is."
            )
            await open_case(connection, case)
            row = (await connection.execute(select(cases))).one()
            is_as_old = before is not None and row.opened_at == before.opened_at
            found.append((row.owner, row.hold_reason, is_as_old))
            if before is None:
                await set_owner(connection, row.case_id, owner="kim", expected=None)
                until = datetime.now(UTC) + timedelta(hours=8)
                await hold_case(connection, row.case_id, until, "in the morning")
    return found


@pytest.mark.parametrize(
    ("causes", "reason"),
    [
        (("ApplicationAway", "CustomerWrote"), None),
        (("CustomerWrote", "RefundFailed"), None),
        (("CustomerWrote", "CustomerWrote"), "in the morning"),
        (("ApplicationAway", "ApplicationRefused"), "in the morning"),
        (("CustomerWrote", "ApplicationAway"), "in the morning"),
    ],
)
async def test_a_hold_is_for_what_was_known_when_it_was_set(
    engine: AsyncEngine,
    open_checkout: OpenCheckout,
    causes: tuple[str, str],
    reason: str | None,
) -> None:
    """Another matter for a person ends it; the owner knows the case and keeps it."""
    found = await _held(engine, await open_checkout(Stage.CHARGED), *causes)

    assert found[-1] == ("kim", reason, True)


async def test_new_trouble_inherits_nothing_from_what_is_over(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """A case that opens again is young, nobody's and not held."""
    checkout_id = await open_checkout(Stage.CHARGED)
    await _held(engine, checkout_id, "ApplicationAway")
    async with engine.begin() as connection:
        await close_case(connection, checkout_id)
        closed = (await connection.execute(select(cases))).one()

    assert (closed.hold_reason, closed.held_until) == (None, None)
    assert await _held(engine, checkout_id, "ApplicationAway") == [(None, None, False)]


async def test_a_payments_case_that_is_done_is_held_by_nobody(
    engine: AsyncEngine,
) -> None:
    """Whatever resolves a case ends its hold."""
    async with engine.begin() as connection:
        await open_payment_case(connection, "pi_1", "x", "ForeignCharge", "It is.")
        case_id = (await connection.execute(select(cases.c.case_id))).scalar_one()
        until = datetime.now(UTC) + timedelta(hours=8)
        await hold_case(connection, case_id, until, "in the morning")
        await tell_payment_case(connection, "pi_1", "Returned.", is_done=True)
        row = (await connection.execute(select(cases))).one()

    assert (row.state, row.hold_reason) == ("resolved", None)


@pytest.mark.parametrize("cause", FOR_PEOPLE)
async def test_what_only_a_person_can_close_outlasts_a_steps_trouble(
    engine: AsyncEngine, open_checkout: OpenCheckout, cause: str
) -> None:
    """A workflow that stumbles and gets on neither hides nor closes such a case."""
    checkout_id = await open_checkout(Stage.CHARGED)
    found = []
    async with engine.begin() as connection:
        for this in (cause, "Timeout"):
            await open_case(
                connection,
                OpenCase(
                    checkout_id=checkout_id, step="send a mail", cause=this, detail="."
                ),
            )
            await close_case(connection, checkout_id)
            rows = await connection.execute(select(cases.c.state, cases.c.cause))
            found += [tuple(row) for row in rows]
        row = await read_checkout(connection, checkout_id)
        await connection.execute(
            update(cases).values(state="resolved", resolved_at=func.now())
        )
        await close_case(connection, checkout_id)
        after = await read_checkout(connection, checkout_id)

    assert found == [("open", cause)] * 2
    assert row.attention_at is not None
    assert after.attention_at is None


async def test_a_letter_does_not_hide_a_stuck_step(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """Support reads of both: who wrote, and what the case was open for before."""
    checkout_id = await open_checkout(Stage.CHARGED)
    async with engine.begin() as connection:
        for cause, detail in (("Timeout", "Stuck."), ("CustomerWrote", "Wrote.")):
            await open_case(
                connection,
                OpenCase(checkout_id=checkout_id, step="x", cause=cause, detail=detail),
            )
        row = (await connection.execute(select(cases))).one()

    assert (row.cause, row.detail) == ("CustomerWrote", "Wrote. Before: Stuck.")


async def test_a_mail_that_came_back_is_no_interruption(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """Nobody waited because of it, so no mail says sorry for a wait."""
    checkout_id = await open_checkout(Stage.CHARGED)
    async with engine.begin() as connection:
        await open_case(
            connection,
            OpenCase(
                checkout_id=checkout_id, step="x", cause="CustomerWrote", detail="."
            ),
        )
        row = await read_checkout(connection, checkout_id)

    assert row.attention_at is not None
    assert row.interrupted_at is None


async def test_the_case_of_a_refused_mail_closes_when_that_mail_is_sent(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """It stays while it is missing, whatever else leaves; an operator has it resent."""
    checkout_id = await open_checkout(Stage.CHARGED)
    now = CHARGED_AT + FIRST_WORD_AFTER
    hours = WorkingHours.parse("Monday to Friday, 09:00 to 17:00 UTC")
    states = []
    async with engine.begin() as connection:
        owed = await plan_correspondence(
            connection, PlanCorrespondence(checkout_id=checkout_id, now=now), hours
        )
        receipt = derived_id(checkout_id, EmailKind.RECEIPT)
        await open_case(
            connection,
            OpenCase(
                checkout_id=checkout_id,
                step="send the receipt",
                cause=Cause.MAIL_REFUSED,
                detail="550",
            ),
        )
        for email_id, outcome in (
            (receipt, EmailOutcome(is_sent=False, refusal="550")),
            (owed.email_ids[0], EmailOutcome(is_sent=True)),
        ):
            await record_email(
                connection, RecordEmail(email_id=email_id, outcome=outcome)
            )
            states.append((await connection.execute(select(cases.c.state))).scalar())
        again = await owe_again(connection, checkout_id)
        row = await read_checkout(connection, checkout_id)
        await record_email(
            connection,
            RecordEmail(email_id=receipt, outcome=EmailOutcome(is_sent=True)),
        )
        states.append((await connection.execute(select(cases.c.state))).scalar())
        after = await read_checkout(connection, checkout_id)

    assert states == ["open", "open", "resolved"]
    assert again == (EmailKind.RECEIPT,)
    # The sweep has a run send it, even when nobody can tell the workflow.
    assert row.next_message_at is not None
    assert row.next_message_at <= row.now
    assert after.attention_at is None


async def test_a_repair_is_asked_and_answered_once(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """The same id twice is one repair, and its first outcome stands."""
    checkout_id = await open_checkout(Stage.CHARGED)
    repair = RepairRequest(repair_id=uuid4(), actor="dana", reason="no access")
    async with engine.begin() as connection:
        await insert_repair(connection, checkout_id, repair)
        for outcome in ("access opened", "nothing to do"):
            await record_repair(
                connection,
                RecordRepair(checkout_id=checkout_id, repair=repair, outcome=outcome),
            )
        row = (await connection.execute(select(repairs))).one()

    assert (row.actor, row.outcome) == ("dana", "access opened")
    assert row.finished_at is not None


@pytest.mark.parametrize("kind", sorted(MENDED_BY_STEPS))
async def test_what_getting_on_mends_is_closed_by_it(
    engine: AsyncEngine, open_checkout: OpenCheckout, kind: DiscrepancyKind
) -> None:
    """After an outage nobody closes by hand what was put right by itself."""
    checkout_id = await open_checkout(Stage.CHARGED)
    async with engine.begin() as connection:
        await open_case(
            connection,
            OpenCase(
                checkout_id=checkout_id,
                step="agree with the processor",
                cause=cause_of(kind),
                detail="It outlived three repairs.",
            ),
        )
        is_still_needed = await close_case(connection, checkout_id)
        left = await connection.execute(
            select(findings.c.error).where(findings.c.over_at.is_(None))
        )

    assert not is_still_needed
    assert left.scalars().all() == []


async def test_a_mail_that_leaves_closes_no_failed_refund(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """Of two troubles of people the second one's end leaves the first."""
    checkout_id = await open_checkout(Stage.CHARGED)
    async with engine.begin() as connection:
        for cause in ("RefundFailed", Cause.MAIL_REFUSED):
            await open_case(
                connection,
                OpenCase(checkout_id=checkout_id, step="x", cause=cause, detail="."),
            )
        await close_case_of_refused_mail(connection, checkout_id)
        rows = await connection.execute(select(cases.c.state, cases.c.cause))

    assert rows.all() == [("open", "RefundFailed")]


async def _trouble(engine: AsyncEngine, checkout_id: UUID, *causes: str) -> list[str]:
    """Open cases one after another; returns what the desk is told of."""
    async with engine.begin() as connection:
        for cause in causes:
            case = OpenCase(
                checkout_id=checkout_id, step=f"do {cause}", cause=cause, detail="."
            )
            await open_case(connection, case)
    return await _lasting(engine)


async def _lasting(engine: AsyncEngine) -> list[str]:
    """Read what lasts for the desk."""
    async with engine.connect() as connection:
        found = await connection.execute(
            select(findings.c.error)
            .where(findings.c.over_at.is_(None))
            .order_by(findings.c.error)
        )
        return list(found.scalars())


async def test_a_mail_that_leaves_ends_nothing_of_a_stuck_step(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """The customer hears that access is late; that does not open it."""
    checkout_id = await open_checkout(Stage.CHARGED)
    before = await _trouble(engine, checkout_id, "ApplicationAway")
    async with engine.begin() as connection:
        await close_case_of_refused_mail(connection, checkout_id)
        case = (await connection.execute(select(cases))).one()

    assert await _lasting(engine) == before == ["ApplicationAway"]
    assert (case.state, case.cause) == ("open", "ApplicationAway")


@pytest.mark.parametrize("cause", [Cause.MAIL_REFUSED, "CustomerWrote"])
async def test_what_people_settle_leaves_a_stuck_step_where_it_was(
    engine: AsyncEngine, open_checkout: OpenCheckout, cause: str
) -> None:
    """The case goes on for the step, and the desk is not told that it is over."""
    checkout_id = await open_checkout(Stage.CHARGED)
    await _trouble(engine, checkout_id, "ApplicationAway", cause)
    async with engine.begin() as connection:
        if cause == Cause.MAIL_REFUSED:
            await close_case_of_refused_mail(connection, checkout_id)
        else:
            await calm_answered_case(connection, checkout_id, stays=False)
        case = (await connection.execute(select(cases))).one()
        row = await read_checkout(connection, checkout_id)

    assert await _lasting(engine) == ["ApplicationAway"]
    assert (case.state, case.cause) == ("open", "ApplicationAway")
    assert row.attention_at is not None
    async with engine.begin() as connection:
        assert not await close_case(connection, checkout_id)
    assert await _lasting(engine) == []


async def test_a_refused_mail_that_leaves_is_over_beside_another_matter(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """What is settled does not come back when the other matter is settled, too."""
    checkout_id = await open_checkout(Stage.CHARGED)
    await _trouble(engine, checkout_id, Cause.MAIL_REFUSED, "CustomerWrote")
    async with engine.begin() as connection:
        await close_case_of_refused_mail(connection, checkout_id)
        case = (await connection.execute(select(cases))).one()
        between = (case.state, case.cause)
        await calm_answered_case(connection, checkout_id, stays=False)
        case = (await connection.execute(select(cases))).one()

    assert between == ("open", "CustomerWrote")
    assert case.state == "resolved"
    assert await _lasting(engine) == []
