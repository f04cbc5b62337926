"""The race of the bank's yes with our time limit, 500 seeds, on real rows.

The processor decides it: a PaymentIntent ends once. Everything on our side may come
late or twice, so each writer here acts on what it saw some time ago.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from database.checkouts import (
    AttemptMovedOn,
    claim_payment,
    insert_checkout,
    read_checkout,
    record_action_needed,
    record_not_charged,
    record_processing,
    request_payment,
    store_payment_intent,
    withdraw_requests,
)
from database.orders import write_order
from domain.messages import (
    RecordActionNeeded,
    RecordNotCharged,
    RecordProcessing,
    StorePaymentIntent,
    WriteOrder,
)
from domain.states import MoneyState, NotChargedReason, Stage
from tests.conftest import Database
from tests.database.conftest import charge, new_checkout
from tests.database.racing import SEEDS, breathe, dice, for_every_seed

pytestmark = pytest.mark.postgres


@dataclass
class _Bank:
    """The PaymentIntent of one attempt: the first of two answers is its end."""

    intent_id: str
    status: str = "requires_action"

    def approve(self) -> str:
        """The buyer says yes."""
        if self.status == "requires_action":
            self.status = "succeeded"
        return self.status

    def cancel(self) -> str:
        """Our time is over; the answer may be that it succeeded."""
        if self.status == "requires_action":
            self.status = "canceled"
        return self.status


async def test_bank_confirmation_and_expiry(
    engine: AsyncEngine, database: Database
) -> None:
    """Whoever is late: what was charged has its order, and nothing else has one."""
    ends: Counter[str] = Counter()

    async def race(seed: int) -> None:
        chance = dice(seed)
        checkout_id = await _requested(engine)
        bank = _Bank(intent_id=f"pi_{checkout_id}")
        looking = asyncio.create_task(_look(engine, checkout_id, bank, chance))
        await asyncio.gather(
            _withdraw(engine, chance),
            *(_run(engine, checkout_id, bank, dice(seed + n * SEEDS)) for n in (1, 2)),
            _buyer(bank, chance),
        )
        # The run that is left has the processor's last word, whatever came before.
        await _settle(engine, checkout_id, bank, chance)
        await looking
        async with engine.begin() as connection:
            row = await read_checkout(connection, checkout_id)
        is_charged = bank.status == "succeeded"
        assert (row.stage is Stage.CHARGED) == is_charged, seed
        assert (row.order_id is not None) == is_charged, seed
        assert (row.money_state is MoneyState.NOT_CHARGED) != is_charged, seed
        ends[f"{bank.status}, {row.not_charged_reason}"] += 1

    await for_every_seed(race)

    with database.connect_as_owner() as owner:
        orders = owner.execute("SELECT count(*) FROM orders").fetchone()
    # Each way out was met by some seeds.
    assert min(ends.values()) >= 10, ends
    assert len(ends) == 3, ends
    assert orders == (ends["succeeded, None"],)
