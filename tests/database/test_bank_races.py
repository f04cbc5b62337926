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
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

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

pytestmark = [pytest.mark.postgres, pytest.mark.usefixtures("patient")]

#: Share of the seeds in which the time for a claim is over, too.
_WITHDRAWS = 0.3
#: Turns of the loop after which the buyer has answered; a run has about so many.
_LATEST_YES = 60
#: How often the page is looked at meanwhile.
_LOOKS = 4


@dataclass
class _Bank:
    """The one PaymentIntent of an attempt: whatever ends it first is its end."""

    intent_id: str
    status: str = "not confirmed"

    def confirm(self) -> None:
        """Ask for the charge; the bank has a question."""
        self._move("not confirmed", "requires_action")

    def approve(self) -> None:
        """The buyer says yes."""
        self._move("requires_action", "succeeded")

    def cancel(self) -> str:
        """Our time is over; the answer may be that it succeeded."""
        self._move("requires_action", "canceled")
        return self.status

    def _move(self, leaves: str, comes_to: str) -> None:
        if self.status == leaves:
            self.status = comes_to


@pytest.mark.timeout(300)
async def test_bank_confirmation_and_expiry(
    engine: AsyncEngine, database: Database
) -> None:
    """Whoever is late: what was charged has its order, and nothing else has one."""
    ends: Counter[str] = Counter()

    async def race(seed: int) -> None:
        chance = dice(seed)
        checkout_id = await _requested(engine)
        bank = _Bank(intent_id=f"pi_{checkout_id}")
        await asyncio.gather(
            _withdraw(engine, chance),
            *(_run(engine, checkout_id, bank, dice(seed + n * SEEDS)) for n in (1, 2)),
            _buyer(bank, chance),
            _watch(engine, checkout_id, bank),
        )
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
    # Each way out was gone by some seeds.
    assert set(ends) == {
        "succeeded, None",
        f"canceled, {NotChargedReason.BANK_CHECK_EXPIRED}",
        f"not confirmed, {NotChargedReason.WITHDRAWN}",
    }
    assert orders == (ends["succeeded, None"],)


async def _requested(engine: AsyncEngine) -> UUID:
    """Make a checkout whose buyer has pressed Pay."""
    new = new_checkout()
    async with engine.begin() as connection:
        await insert_checkout(connection, new)
        await request_payment(connection, new.checkout_id, "pm_card_visa")
    return new.checkout_id


async def _withdraw(engine: AsyncEngine, dice: random.Random) -> None:
    """Take back what nobody has claimed yet; some seeds do."""
    if dice.random() < _WITHDRAWS:
        await breathe(dice)
        async with engine.begin() as connection:
            await withdraw_requests(connection, timedelta(0))


async def _buyer(bank: _Bank, dice: random.Random) -> None:
    """Say yes at some moment, if the bank asks by then."""
    for _ in range(dice.randrange(_LATEST_YES)):
        await asyncio.sleep(0)
    bank.approve()


async def _run(
    engine: AsyncEngine, checkout_id: UUID, bank: _Bank, dice: random.Random
) -> None:
    """Do what a run does, or a try of it that its worker was too slow to end."""
    await breathe(dice)
    async with engine.begin() as connection:
        claim = await claim_payment(connection, checkout_id)
    if claim.stage is not Stage.CHARGING:
        return
    this: dict[str, Any] = {
        "checkout_id": checkout_id,
        "buyer_attempt": claim.buyer_attempt,
    }
    store = StorePaymentIntent(**this, payment_intent_id=bank.intent_id)
    await breathe(dice)
    try:
        async with engine.begin() as connection:
            await store_payment_intent(connection, store)
    except AttemptMovedOn:
        return
    bank.confirm()
    await breathe(dice)
    async with engine.begin() as connection:
        asks = RecordActionNeeded(**this, next_action_url="https://bank.test")
        await record_action_needed(connection, asks)
    await breathe(dice)
    if dice.random() < 0.5:
        # Whoever sees that the bank was answered says so; a late one says it wrongly.
        async with engine.begin() as connection:
            await record_processing(connection, RecordProcessing(**this))
    await _end(engine, this, bank, dice)


async def _end(
    engine: AsyncEngine, this: dict[str, Any], bank: _Bank, dice: random.Random
) -> None:
    """Close the PaymentIntent, and write, some time later, what was answered."""
    answer = bank.cancel()
    await breathe(dice)
    async with engine.begin() as connection:
        if answer == "succeeded":
            order = WriteOrder(
                checkout_id=this["checkout_id"], charge=charge(bank.intent_id)
            )
            await write_order(connection, order)
        else:
            expired = NotChargedReason.BANK_CHECK_EXPIRED
            no = RecordNotCharged(**this, reason=expired)
            await record_not_charged(connection, no)


async def _watch(engine: AsyncEngine, checkout_id: UUID, bank: _Bank) -> None:
    """Read the row as a page does: it never denies a charge, and never forgets one."""
    was_charged = False
    for _ in range(_LOOKS):
        async with engine.begin() as connection:
            row = await read_checkout(connection, checkout_id)
        is_denied = row.money_state is MoneyState.NOT_CHARGED
        assert not (is_denied and bank.status == "succeeded"), checkout_id
        assert row.stage is Stage.CHARGED or not was_charged, checkout_id
        was_charged = row.stage is Stage.CHARGED
