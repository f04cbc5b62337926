"""What the database tests share: checkouts in any stage, made by the real queries."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from database.checkouts import (
    NewCheckout,
    claim_payment,
    insert_checkout,
    request_payment,
)
from database.orders import write_order
from domain.identifiers import reference_code
from domain.messages import Charge, WriteOrder
from domain.money import Money
from domain.states import Stage
from operating import telling
from operating.address import ShopAddress
from stack.places import free_port
from tests.api.doubles import FakeDoor
from tests.conftest import Database

PRICE = Money(amount_minor=24900, currency="usd")


def _last_monday() -> datetime:
    """A Monday a day or more ago: promises count working hours from there.

    Lately, so that the year that was bought is not over when these tests are run.
    """
    at = datetime.now(UTC).replace(hour=14, minute=32, second=0, microsecond=0)
    at -= timedelta(days=1)
    return at - timedelta(days=at.weekday())


CHARGED_AT = _last_monday()

#: Makes a checkout and brings it to a stage.
OpenCheckout = Callable[..., Awaitable[UUID]]

_numbers = count(1)


@pytest.fixture
def patient(engine: AsyncEngine) -> None:
    """Let locks be waited for as long as it takes.

    Hundreds of races on a busy machine outlast the three seconds of the product, which
    repeats what was cut off; the tests ask who wins, not how soon.
    """

    @event.listens_for(engine.sync_engine, "connect")
    def wait(connection: Any, _record: object) -> None:
        with closing(connection.cursor()) as cursor:
            cursor.execute("SET lock_timeout = '60s'; SET statement_timeout = '90s'")
        connection.commit()


def charge(payment_intent_id: str = "pi_1", price: Money = PRICE) -> Charge:
    """A charge as the processor would prove it."""
    return Charge(
        payment_intent_id=payment_intent_id,
        price=price,
        charged_at=CHARGED_AT,
        card_brand="visa",
        card_last4="4242",
    )


def new_checkout() -> NewCheckout:
    """A checkout that no other test has."""
    number = next(_numbers)
    return NewCheckout(
        checkout_id=uuid4(),
        reference_code=reference_code(number.to_bytes(8, "big")),
        token_hash=number.to_bytes(32, "big"),
        token_key_id="01234567",
        email="mara@example.com",
        plan_id="one-year",
        plan_name="Acme one-year plan",
        plan_months=12,
        price=PRICE,
    )


@pytest.fixture
def open_checkout(engine: AsyncEngine) -> OpenCheckout:
    """Return what makes a checkout and brings it to a stage, given as a Stage."""

    async def make(stage: Stage = Stage.OPEN) -> UUID:
        new = new_checkout()
        async with engine.begin() as connection:
            await insert_checkout(connection, new)
            if stage is not Stage.OPEN:
                await request_payment(connection, new.checkout_id, "pm_card_visa")
            if stage in {Stage.CHARGING, Stage.CHARGED}:
                await claim_payment(connection, new.checkout_id)
            if stage is Stage.CHARGED:
                proof = charge(f"pi_{new.checkout_id}")
                await write_order(
                    connection, WriteOrder(checkout_id=new.checkout_id, charge=proof)
                )
        return new.checkout_id

    return make


@pytest.fixture
def shop(database: Database) -> ShopAddress:
    """This database, and a Temporal that is not there."""
    return ShopAddress(
        public_url="https://shop.test",
        database_url=database.app_url,
        temporal_address=f"127.0.0.1:{free_port()}",
        temporal_namespace="default",
    )


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> FakeDoor:
    """A Temporal that takes everything from commands, and keeps what it was told."""
    made = FakeDoor()
    monkeypatch.setattr(telling, "CheckoutDoor", lambda _client: made)
    return made
