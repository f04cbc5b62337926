"""What the processor is told of a checkout, as tests need it."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from domain.messages import CreatePaymentIntent
from domain.money import Money
from domain.on_record import CheckoutOnRecord

PRICE = Money(amount_minor=24900, currency="usd")


def on_record(
    checkout_id: UUID,
    *,
    reference_code: str = "ORD-7K2M-9QXD",
    buyer_attempt: int = 1,
    price: Money = PRICE,
) -> CheckoutOnRecord:
    """A checkout of Mara's, as her PaymentIntent tells it."""
    return CheckoutOnRecord(
        checkout_id=checkout_id,
        reference_code=reference_code,
        buyer_attempt=buyer_attempt,
        plan_id="one-year",
        plan_name="Acme one-year plan",
        plan_months=12,
        price=price,
        token_key_id="01234567",
        email="mara@example.com",
        created_at=datetime(2026, 11, 23, 14, 30, 12, 345678, tzinfo=UTC),
    )


async def read_on_record(checkout_id: UUID, buyer_attempt: int) -> CheckoutOnRecord:
    """Stand in for the database, where a test has none."""
    return on_record(checkout_id, buyer_attempt=buyer_attempt)


def creation(record: CheckoutOnRecord) -> CreatePaymentIntent:
    """Return the request that goes with a record."""
    return CreatePaymentIntent(
        checkout_id=record.checkout_id,
        reference_code=record.reference_code,
        buyer_attempt=record.buyer_attempt,
        price=record.price,
    )
