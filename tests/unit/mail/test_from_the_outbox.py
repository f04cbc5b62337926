"""From a row of the outbox to its mail: the facts of the row, and its place in time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from activities.letters import Letters
from database.checkouts import CheckoutRow
from database.emails import EarlierEmail, OwedEmail, OwedRefund
from domain.addresses import PageAddresses
from domain.emails import EmailKind
from domain.money import Money
from domain.states import AccessState, EmailState, MoneyState, Stage
from tests.specimens.mails import COMPANY
from tests.unit.mail.reading import text_of

ADDRESSES = PageAddresses("https://shop.acme.test", ["x" * 32])
CHARGED_AT = datetime(2026, 11, 23, 14, 32, tzinfo=UTC)
PRICE = Money(amount_minor=24900, currency="usd")
CHECKOUT = CheckoutRow(
    checkout_id=UUID("11111111-1111-4111-8111-111111111111"),
    reference_code="ORD-7K2M-9QXD",
    token_key_id=ADDRESSES.new_token(UUID(int=1)).key_id,
    email="mara@example.com",
    plan_id="one-year",
    plan_name="Acme one-year plan",
    price=PRICE,
    stage=Stage.CHARGED,
    money_state=MoneyState.CHARGED,
    access_state=AccessState.ACTIVE,
    buyer_attempt=1,
    pay_requested_at=CHARGED_AT - timedelta(minutes=1),
    payment_intent_id="pi_1",
    next_action_url=None,
    not_charged_reason=None,
    decline_class=None,
    charged_at=CHARGED_AT,
    card_brand="visa",
    card_last4="4242",
    interrupted_at=None,
    attention_at=None,
    created_at=CHARGED_AT - timedelta(minutes=3),
    now=CHARGED_AT + timedelta(hours=1),
    order_id=UUID(int=2),
    access_url=None,
    access_granted_at=CHARGED_AT + timedelta(seconds=2),
    access_until=datetime(2027, 11, 23, 14, 32, tzinfo=UTC),
)
OWED = OwedEmail(
    email_id=UUID(int=3),
    kind=EmailKind.RECEIPT,
    state=EmailState.PENDING,
    created_at=CHARGED_AT + timedelta(seconds=1),
    checkout=CHECKOUT,
)
LETTERS = Letters(COMPANY, ADDRESSES)


def _later_kind(kind: EmailKind, **changes: Any) -> OwedEmail:
    created_at = CHARGED_AT + timedelta(minutes=2)
    return replace(OWED, kind=kind, created_at=created_at, **changes)


def test_the_receipt_tells_what_the_row_holds() -> None:
    """Who, how much and where to enter come from the checkout and the settings."""
    message = LETTERS.write(OWED)
    text = text_of(message)

    assert message["To"] == "mara@example.com"
    assert message["From"] == COMPANY.mail_from
    assert message["Message-ID"] == "<receipt.ord-7k2m-9qxd@acme.test>"
    assert message["In-Reply-To"] is None
    assert "Visa ending 4242" in text
    assert COMPANY.application_url in text
    assert ADDRESSES.page(CHECKOUT.checkout_id, CHECKOUT.token_key_id) in text


@pytest.mark.parametrize("address", ["https:///x", "https://[bad", "javascript:x"])
def test_a_receipt_is_written_whatever_the_application_answered(address: str) -> None:
    """An address that leads nowhere costs no customer their receipt."""
    checkout = replace(CHECKOUT, access_url=address)
    text = text_of(LETTERS.write(replace(OWED, checkout=checkout)))

    assert address not in text
    assert COMPANY.application_url in text


def test_a_copy_has_the_same_bytes_whenever_it_is_written() -> None:
    """The clock of the database moved on between two copies; the mail did not."""
    later = replace(CHECKOUT, now=CHECKOUT.now + timedelta(days=2))
    first, second = LETTERS.write(OWED), LETTERS.write(replace(OWED, checkout=later))

    assert first.as_bytes() == second.as_bytes()


def test_a_late_receipt_is_dated_when_access_opened() -> None:
    """Its row is as old as the order; its news is not."""
    granted_at = CHARGED_AT + timedelta(hours=3)
    late = replace(OWED, checkout=replace(CHECKOUT, access_granted_at=granted_at))

    assert LETTERS.write(late)["Date"].datetime == granted_at


def test_a_later_turn_has_a_message_id_of_its_own() -> None:
    """The mail about the buyer's second attempt is no copy of the first one's."""
    promised_at = CHARGED_AT + timedelta(hours=1)
    earlier = (
        EarlierEmail(kind=EmailKind.CHECKING, sequence=1),
        EarlierEmail(kind=EmailKind.NOT_CHARGED, sequence=1),
    )
    message = LETTERS.write(
        _later_kind(
            EmailKind.CHECKING, sequence=2, promised_at=promised_at, earlier=earlier
        )
    )

    assert message["Message-ID"] == "<checking.ord-7k2m-9qxd.2@acme.test>"
    assert message["In-Reply-To"] == "<not-charged.ord-7k2m-9qxd@acme.test>"
    assert message["References"] == (
        "<checking.ord-7k2m-9qxd@acme.test> <not-charged.ord-7k2m-9qxd@acme.test>"
    )
    assert "We will write again by 15:32 UTC, with or without news." in text_of(message)


def test_a_refund_is_told_as_its_row_says() -> None:
    """Amount, time and the bank's reference are those of the refund."""
    refund = OwedRefund(
        amount=Money(amount_minor=10000, currency="usd"),
        returned_at=CHARGED_AT + timedelta(days=1),
        reference="7462788523",
        keeps_access=True,
    )
    text = text_of(LETTERS.write(_later_kind(EmailKind.REFUNDED, refund=refund)))

    assert "We returned $100.00 of your $249.00." in text
    assert "7462788523" in text
    assert "You keep your access until 23 Nov 2027." in text
