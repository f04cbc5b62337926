"""Cases and repairs: one case per checkout, one repair per request."""

from __future__ import annotations

from uuid import uuid4

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from database.cases import (
    FOR_PEOPLE,
    close_case,
    insert_repair,
    open_case,
    record_repair,
)
from database.checkouts import read_checkout
from database.tables import cases, repairs
from domain.messages import OpenCase, RecordRepair, RepairRequest
from domain.states import Stage
from tests.database.conftest import OpenCheckout

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
