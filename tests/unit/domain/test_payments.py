"""What a PaymentIntent proves: only three verdicts say anything about money."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from domain.messages import charge_of
from domain.money import Money
from domain.payments import PaymentIntent, PaymentIntentStatus, Verdict, judge
from domain.states import DeclineClass

PRICE = Money(amount_minor=24900, currency="usd")


def _intent(
    status: PaymentIntentStatus, decline: DeclineClass | None = None
) -> PaymentIntent:
    return PaymentIntent(
        payment_intent_id="pi_1", status=status, price=PRICE, decline=decline
    )


@pytest.mark.parametrize(
    ("status", "decline", "verdict"),
    [
        ("succeeded", None, Verdict.CHARGED),
        ("succeeded", DeclineClass.GENERIC, Verdict.CHARGED),
        ("canceled", None, Verdict.CANCELED),
        ("canceled", DeclineClass.GENERIC, Verdict.CANCELED),
        ("requires_action", None, Verdict.ACTION_NEEDED),
        ("requires_action", DeclineClass.GENERIC, Verdict.ACTION_NEEDED),
        ("requires_confirmation", None, Verdict.UNCONFIRMED),
        ("requires_confirmation", DeclineClass.GENERIC, Verdict.UNCONFIRMED),
        ("requires_payment_method", None, Verdict.UNCONFIRMED),
        ("requires_payment_method", DeclineClass.GENERIC, Verdict.DECLINED),
        ("processing", None, Verdict.PENDING),
        ("processing", DeclineClass.GENERIC, Verdict.PENDING),
        ("requires_capture", None, Verdict.PENDING),
        ("requires_capture", DeclineClass.GENERIC, Verdict.PENDING),
    ],
)
def test_each_status_has_one_verdict(
    status: str, decline: DeclineClass | None, verdict: Verdict
) -> None:
    """With and without an old decline on it, each status means one thing."""
    assert judge(_intent(PaymentIntentStatus(status), decline)) is verdict


def test_every_status_is_judged() -> None:
    """A status that the processor may add to our list cannot be forgotten here."""
    for status in PaymentIntentStatus:
        assert judge(_intent(status)) in Verdict


def test_only_a_succeeded_intent_makes_a_charge() -> None:
    """A charge cannot be written down from an intent that does not prove one."""
    with pytest.raises(ValueError, match="proves no charge"):
        charge_of(_intent(PaymentIntentStatus.PROCESSING))


def test_a_charge_carries_what_the_processor_showed() -> None:
    """Amount, time and card come from the processor's own words."""
    at = datetime(2026, 11, 23, 14, 32, tzinfo=UTC)
    intent = PaymentIntent(
        payment_intent_id="pi_1",
        status=PaymentIntentStatus.SUCCEEDED,
        price=PRICE,
        charged_at=at,
        card_brand="visa",
        card_last4="4242",
    )

    charge = charge_of(intent)
    assert (charge.payment_intent_id, charge.price) == ("pi_1", PRICE)
    assert (charge.charged_at, charge.card_brand) == (at, "visa")
    assert charge.card_last4 == "4242"
