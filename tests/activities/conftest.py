"""One paid-for checkout in a real database, and the activities that work on it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID, uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.testing import ActivityEnvironment

from activities.orders import OrderActivities
from database.checkouts import NewCheckout, insert_checkout, request_payment
from domain.addresses import PageAddresses, token_digest
from domain.messages import (
    Charge,
    OrderWritten,
    StorePaymentIntent,
    WriteOrder,
)
from domain.money import Money

R = TypeVar("R")
PRICE = Money(amount_minor=24900, currency="usd")
EMAIL = "canary@example.com"
#: Lately: the year that is bought must not be over when these tests are run.
CHARGED_AT = datetime.now(UTC).replace(microsecond=0)
ADDRESSES = PageAddresses("https://shop.example", ["k" * 40])


async def run(activity: Callable[..., Awaitable[R]], *arguments: Any) -> R:
    """Run an activity as a worker would, outside of any workflow."""
    return await ActivityEnvironment().run(activity, *arguments)


@dataclass
class Paid:
    """A checkout whose card was charged, at any stage of being written down."""

    checkout_id: UUID
    orders: OrderActivities

    @property
    def charge(self) -> Charge:
        """The proof that the processor gave."""
        return Charge(
            payment_intent_id=f"pi_{self.checkout_id.hex}",
            price=PRICE,
            charged_at=CHARGED_AT,
            card_brand="visa",
            card_last4="4242",
        )

    @property
    def owed(self) -> WriteOrder:
        """What the charge owes."""
        return WriteOrder(checkout_id=self.checkout_id, charge=self.charge)

    async def written(self) -> OrderWritten:
        """Write the order, or find it written."""
        return await run(self.orders.write_order, self.owed)


@pytest.fixture
async def paid(engine: AsyncEngine) -> Paid:
    """A checkout that was requested, claimed, stored and charged, but not written."""
    checkout_id = uuid4()
    token = ADDRESSES.new_token(checkout_id)
    async with engine.begin() as connection:
        await insert_checkout(
            connection,
            NewCheckout(
                checkout_id=checkout_id,
                reference_code="ORD-7K2M-9QXD",
                token_hash=token_digest(token.token),
                token_key_id=token.key_id,
                email=EMAIL,
                plan_id="one-year",
                plan_name="Acme one-year plan",
                plan_months=12,
                price=PRICE,
            ),
        )
        await request_payment(connection, checkout_id, "pm_card_visa")
    paid = Paid(checkout_id=checkout_id, orders=OrderActivities(engine))
    await run(paid.orders.claim_payment, checkout_id)
    await run(
        paid.orders.store_payment_intent,
        StorePaymentIntent(
            checkout_id=checkout_id,
            buyer_attempt=1,
            payment_intent_id=paid.charge.payment_intent_id,
        ),
    )
    return paid
