"""Cases and repairs: one case per checkout, one repair per request."""

from __future__ import annotations

from uuid import uuid4

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from database.cases import close_case, insert_repair, open_case, record_repair
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
