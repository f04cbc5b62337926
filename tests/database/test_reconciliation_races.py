"""Races of repairs with the reconciliation, 500 seeds each, on real rows.

Two runs can decide at once although only one may be under way: a run that showed no
life is given up for lost, and its worker may only have been frozen.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from activities.repairs import ACTOR
from database.cases import record_repair
from database.checkouts import insert_checkout
from database.orders import record_access, write_order
from database.reconciliation import decide, note_differences
from database.tables import reconciliation_runs
from domain.messages import GrantEntitlement, RecordRepair, RepairRequest, WriteOrder
from domain.reconciliation import (
    Difference,
    DiscrepancyKind,
    RunPlan,
    RunState,
)
from tests.conftest import Database
from tests.database.conftest import PRICE, charge, new_checkout
from tests.database.racing import breathe, dice, for_every_seed

pytestmark = [pytest.mark.postgres, pytest.mark.usefixtures("patient")]


@pytest.mark.timeout(300)
async def test_repair_and_reconciliation(
    engine: AsyncEngine, database: Database
) -> None:
    """However two runs and support meet, there is one order and each repair once."""
    lost, next_one = await _begun(engine, RunState.LOST), await _begun(engine)
    expected: dict[UUID, set[UUID]] = {}
    with database.connect_as_owner() as owner:

        async def race(seed: int) -> None:
            chance = dice(seed)
            owner.execute("DELETE FROM discrepancies")
            bought = await _open(engine, chance.randrange(1, 3))
            by_support = {one: uuid4() for one in bought if chance.random() < 0.5}
            asked, more, _ = await asyncio.gather(
                _run(engine, lost, bought, dice(2 * seed)),
                _run(engine, next_one, bought, dice(2 * seed + 1)),
                _support(engine, by_support, chance),
            )
            for checkout_id in bought:
                ids = {one for it, one in {*asked, *more} if it == checkout_id}
                assert len(ids) == 1, seed
                if checkout_id in by_support:
                    ids.add(by_support[checkout_id])
                expected[checkout_id] = ids

        # One after the other: a run decides about all that was seen, by whatever race.
        await for_every_seed(race, at_once=1)
        recorded = defaultdict[object, set[object]](set)
        for checkout_id, repair_id in owner.execute(
            "SELECT checkout_id, repair_id FROM repairs WHERE outcome = 'delivered'"
        ):
            recorded[checkout_id].add(repair_id)
        found = owner.execute(
            "SELECT count(*), count(DISTINCT orders.checkout_id), count(*) FILTER"
            " (WHERE entitlements.state = 'active' AND emails.kind = 'receipt')"
            " FROM orders JOIN subscriptions USING (order_id)"
            " JOIN entitlements USING (order_id) JOIN emails USING (checkout_id)"
        ).fetchone()

    assert recorded == expected
    assert found == (len(expected),) * 3


async def _open(engine: AsyncEngine, count: int) -> list[UUID]:
    opened = [new_checkout() for _ in range(count)]
    async with engine.begin() as connection:
        for new in opened:
            await insert_checkout(connection, new)
    return [new.checkout_id for new in opened]


async def _run(
    engine: AsyncEngine, plan: RunPlan, bought: list[UUID], dice: random.Random
) -> set[tuple[UUID, UUID]]:
    """Do what a run does once its page was listed; it may decide twice at once.

    Returns:
        Checkouts, and the repairs that were asked for.
    """
    seen = [_without_order(checkout_id) for checkout_id in bought]
    dice.shuffle(seen)
    await breathe(dice)
    async with engine.begin() as connection:
        await note_differences(connection, plan, seen)
    tries = [_decide(engine, plan, dice) for _ in range(dice.randrange(1, 3))]
    asked = set().union(*await asyncio.gather(*tries))
    await asyncio.gather(*(_repair(engine, *one, ACTOR, dice) for one in asked))
    return asked


async def _decide(
    engine: AsyncEngine, plan: RunPlan, dice: random.Random
) -> set[tuple[UUID, UUID]]:
    await breathe(dice)
    async with engine.begin() as connection:
        decided = await decide(connection, plan)
    return {(one.checkout_id, one.repair_id) for one in decided.repairs}


async def _support(
    engine: AsyncEngine, asked: dict[UUID, UUID], dice: random.Random
) -> None:
    await asyncio.gather(
        *(_repair(engine, *one, "dana", dice) for one in asked.items())
    )


async def _repair(
    engine: AsyncEngine,
    checkout_id: UUID,
    repair_id: UUID,
    actor: str,
    dice: random.Random,
) -> None:
    """Do what a workflow does, or a try of it that its worker was too slow to end."""
    await breathe(dice)
    order = WriteOrder(checkout_id=checkout_id, charge=charge(f"pi_{checkout_id}"))
    async with engine.begin() as connection:
        written = await write_order(connection, order)
    await breathe(dice)
    grant = GrantEntitlement(
        checkout_id=checkout_id,
        entitlement_id=written.entitlement_id,
        was_interrupted=True,
    )
    async with engine.begin() as connection:
        await record_access(connection, grant, None, None)
    await breathe(dice)
    repair = RepairRequest(repair_id=repair_id, actor=actor, reason="no order")
    done = RecordRepair(checkout_id=checkout_id, repair=repair, outcome="delivered")
    async with engine.begin() as connection:
        await record_repair(connection, done)


async def _begun(engine: AsyncEngine, state: RunState = RunState.RUNNING) -> RunPlan:
    now = datetime.now(UTC)
    plan = RunPlan(
        run_id=uuid4(), compare_from=now - timedelta(hours=1), compare_before=now
    )
    async with engine.begin() as connection:
        await connection.execute(
            insert(reconciliation_runs).values(
                run_id=plan.run_id,
                trigger="schedule",
                actor="schedule",
                is_deep=False,
                compare_from=plan.compare_from,
                compare_before=plan.compare_before,
                state=state,
                finished_at=now if state is RunState.LOST else None,
            )
        )
    return plan


def _without_order(checkout_id: UUID) -> Difference:
    return Difference(
        kind=DiscrepancyKind.CHARGE_WITHOUT_ORDER,
        subject=f"pi_{checkout_id}",
        checkout_id=checkout_id,
        payment_intent_id=f"pi_{checkout_id}",
        amount=PRICE,
        detail="The processor took it; no order.",
    )
