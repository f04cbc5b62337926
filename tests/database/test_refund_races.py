"""Races of refunds, 500 seeds each, on real rows.

The workflow is a single writer, so only a try that its worker was too slow to end can
race it: a zombie's call to open access against the end of access.
"""

from __future__ import annotations

import asyncio
import random
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from database.aftermath import next_refund_step, record_access_ended
from database.checkouts import read_checkout
from database.orders import read_grant, record_access
from database.refunds import (
    RefundRefused,
    cancel_refund,
    request_refund,
)
from database.tables import entitlements, refunds
from domain.identifiers import derived_id
from domain.messages import GrantEntitlement
from domain.money import Money
from domain.refunds import (
    CANCEL_WITHIN,
    AskNextRefundStep,
    EndEntitlement,
    RefundRequest,
    RefundStepKind,
)
from domain.states import AccessState, RefundState, Stage
from tests.database.conftest import OpenCheckout
from tests.database.racing import SEEDS, breathe, dice, for_every_seed

pytestmark = [pytest.mark.postgres, pytest.mark.usefixtures("patient")]


async def test_refund_and_provisioning(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """However late a call to open access comes, refunded means no access."""
    application: dict[UUID, str] = {}

    async def race(seed: int) -> None:
        checkout_id = await open_checkout(Stage.CHARGED)
        entitlement = derived_id(checkout_id, "entitlement")
        zombies = (seed, seed + SEEDS)
        await asyncio.gather(
            *(_open_access(engine, application, checkout_id, dice(z)) for z in zombies),
            _end_access(engine, application, checkout_id, dice(-1 - seed)),
        )
        async with engine.begin() as connection:
            row = await read_checkout(connection, checkout_id)
            state = await connection.scalar(
                select(entitlements.c.state).where(
                    entitlements.c.entitlement_id == entitlement
                )
            )
        assert (row.access_state, state) == (AccessState.ENDED, "ended"), seed
        assert application[entitlement] == "ended", seed

    await for_every_seed(race)


async def test_two_refunds_at_once(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """Whatever two people ask for at once, no more is promised than was taken."""

    async def race(seed: int) -> None:
        chance = dice(seed)
        checkout_id = await open_checkout(Stage.CHARGED)
        wishes = [chance.randrange(1, 24901) for _ in range(2)]
        asked = await asyncio.gather(
            *(_ask(engine, checkout_id, wish) for wish in wishes),
            return_exceptions=True,
        )
        refused = [one for one in asked if isinstance(one, BaseException)]
        assert all(isinstance(one, RefundRefused) for one in refused), seed
        assert len(refused) == (1 if sum(wishes) > 24900 else 0), seed

    await for_every_seed(race)


async def test_taking_back_and_sending(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """A refund is taken back or sent, never both, in the last moment too."""
    outcomes = set()

    async def take_back(
        checkout_id: UUID, request: RefundRequest, dice: random.Random
    ) -> bool:
        await breathe(dice)
        async with engine.begin() as connection:
            _, is_taken = await cancel_refund(
                connection, checkout_id, request.refund_id, "dana"
            )
            return is_taken

    async def send(ask: AskNextRefundStep, dice: random.Random) -> bool:
        await breathe(dice)
        async with engine.begin() as connection:
            step = await next_refund_step(connection, ask)
        return step.kind is RefundStepKind.LOOK

    async def race(seed: int) -> None:
        chance = dice(seed)
        checkout_id = await open_checkout(Stage.CHARGED)
        request = await _ask(engine, checkout_id, 24900)
        async with engine.begin() as connection:
            row = await read_checkout(connection, checkout_id)
        due = AskNextRefundStep(checkout_id=checkout_id, now=row.now + CANCEL_WITHIN)
        moves = [take_back(checkout_id, request, chance), send(due, chance)]
        is_first = chance.random() < 0.5
        results = await asyncio.gather(*(moves if is_first else reversed(moves)))
        is_back, is_sent = results if is_first else reversed(results)
        async with engine.begin() as connection:
            state = await connection.scalar(
                select(refunds.c.state).where(refunds.c.refund_id == request.refund_id)
            )
        assert is_back != is_sent, seed
        expected = RefundState.CANCELED if is_back else RefundState.SUBMITTING
        assert state == expected, seed
        outcomes.add(state)

    await for_every_seed(race)

    assert outcomes == {RefundState.CANCELED, RefundState.SUBMITTING}


async def _open_access(
    engine: AsyncEngine,
    application: dict[UUID, str],
    checkout_id: UUID,
    dice: random.Random,
) -> None:
    """Do what `grant_entitlement` does, at an application that remembers what ended."""
    entitlement = derived_id(checkout_id, "entitlement")
    await breathe(dice)
    async with engine.begin() as connection:
        told = await read_grant(connection, entitlement)
    if told.is_ended:
        return
    await breathe(dice)
    application.setdefault(entitlement, "active")
    await breathe(dice)
    grant = GrantEntitlement(
        checkout_id=checkout_id, entitlement_id=entitlement, was_interrupted=True
    )
    async with engine.begin() as connection:
        await record_access(connection, grant, None, None)


async def _end_access(
    engine: AsyncEngine,
    application: dict[UUID, str],
    checkout_id: UUID,
    dice: random.Random,
) -> None:
    """Do what `end_entitlement` does."""
    entitlement = derived_id(checkout_id, "entitlement")
    await breathe(dice)
    application[entitlement] = "ended"
    await breathe(dice)
    end = EndEntitlement(checkout_id=checkout_id, entitlement_id=entitlement)
    async with engine.begin() as connection:
        await record_access_ended(connection, end)


async def _ask(
    engine: AsyncEngine, checkout_id: UUID, amount_minor: int
) -> RefundRequest:
    request = RefundRequest(
        refund_id=uuid4(),
        amount=Money(amount_minor=amount_minor, currency="usd"),
        actor="dana",
        reason="the customer asked",
    )
    async with engine.begin() as connection:
        await request_refund(connection, checkout_id, request)
    return request
