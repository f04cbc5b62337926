"""Refunds and disputes."""

import pytest
import stripe

from tests.sandbox.processor_server import Buyer, Processor, error_body


def charge_of(buyer: Buyer, intent: stripe.PaymentIntent) -> stripe.Charge:
    """The intent's charge as it is now."""
    return buyer.client.v1.charges.retrieve(
        str(intent.latest_charge), {"expand": ["refunds"]}
    )


def test_a_full_refund_gives_everything_back(buyer: Buyer) -> None:
    """Without an amount the whole charge is refunded, once."""
    intent = buyer.paid()
    refunds = buyer.client.v1.refunds

    refund = refunds.create(
        {
            "payment_intent": intent.id,
            "reason": "requested_by_customer",
            "metadata": {"case": "7"},
        }
    )

    assert (refund.status, refund.amount, refund.currency) == (
        "succeeded",
        24900,
        "usd",
    )
    assert refund.charge == intent.latest_charge
    assert refund.metadata is not None
    assert refund.metadata["case"] == "7"
    charge = charge_of(buyer, intent)
    assert (charge.amount_refunded, charge.refunded) == (24900, True)
    assert charge.refunds is not None
    assert [it.id for it in charge.refunds.data] == [refund.id]
    assert refunds.retrieve(refund.id).status == "succeeded"
    with pytest.raises(stripe.InvalidRequestError) as caught:
        refunds.create({"payment_intent": intent.id})
    assert caught.value.code == "charge_already_refunded"


def test_partial_refunds_add_up_and_never_exceed(buyer: Buyer) -> None:
    """Parts are refunded until nothing is left; too much is refused."""
    intent = buyer.paid()
    refunds = buyer.client.v1.refunds
    refunds.create({"charge": str(intent.latest_charge), "amount": 10000})

    with pytest.raises(stripe.InvalidRequestError) as caught:
        refunds.create({"payment_intent": intent.id, "amount": 14901})

    assert caught.value.param == "amount"
    assert "($149.01) is greater than unrefunded amount on charge ($149.00)" in str(
        caught.value
    )
    charge = charge_of(buyer, intent)
    assert (charge.amount_refunded, charge.refunded) == (10000, False)
    refunds.create({"payment_intent": intent.id, "amount": 14900})
    assert charge_of(buyer, intent).refunded is True
    listed = refunds.list({"payment_intent": intent.id})
    assert [it.amount for it in listed] == [14900, 10000]


def test_an_unpaid_intent_cannot_be_refunded(buyer: Buyer) -> None:
    """No successful charge, no refund; a name is needed."""
    refunds = buyer.client.v1.refunds

    with pytest.raises(stripe.InvalidRequestError, match="successful charge"):
        refunds.create({"payment_intent": buyer.intent().id})
    with pytest.raises(stripe.InvalidRequestError, match="payment_intent or charge"):
        refunds.create({"amount": 100})
    with pytest.raises(stripe.InvalidRequestError) as caught:
        refunds.create({"payment_intent": "pi_nobody"})
    assert caught.value.code == "resource_missing"


def test_a_refund_under_one_key_happens_once(buyer: Buyer) -> None:
    """The same refund sent twice under its key gives the money back once."""
    intent = buyer.paid()
    refunds = buyer.client.v1.refunds
    made = [
        refunds.create(
            {"payment_intent": intent.id, "amount": 100},
            {"idempotency_key": f"refund:{intent.id}"},
        )
        for _ in range(2)
    ]

    assert made[0].id == made[1].id
    assert charge_of(buyer, intent).amount_refunded == 100


@pytest.mark.parametrize("by_switch", [True, False])
def test_a_pending_refund_succeeds_later(
    buyer: Buyer, processor: Processor, by_switch: bool
) -> None:
    """Pending by switch or by Stripe's own card, then succeeded by the clock."""
    processor.tell("settings", refund_seconds=60)
    if by_switch:
        processor.tell("settings", refund_mode="pending")
    method = "pm_card_visa" if by_switch else "pm_card_pendingRefund"
    intent = buyer.confirm(buyer.intent(), method)
    refunds = buyer.client.v1.refunds

    refund = refunds.create({"payment_intent": intent.id})
    assert refund.status == "pending"
    processor.tell("clock", advance_seconds=61)

    assert refunds.retrieve(refund.id).status == "succeeded"


@pytest.mark.parametrize("by_switch", [True, False])
def test_a_refund_may_fail_after_all(
    buyer: Buyer, processor: Processor, by_switch: bool
) -> None:
    """A refund that seemed to work fails later and the charge is whole again."""
    processor.tell("settings", refund_seconds=60)
    if by_switch:
        processor.tell("settings", refund_mode="fail_later")
    method = "pm_card_visa" if by_switch else "pm_card_refundFail"
    intent = buyer.confirm(buyer.intent(), method)
    refunds = buyer.client.v1.refunds

    refund = refunds.create({"payment_intent": intent.id})
    assert refund.status == "succeeded"
    processor.tell("clock", advance_seconds=61)

    failed = refunds.retrieve(refund.id)
    assert (failed.status, failed.failure_reason) == ("failed", "unknown")
    charge = charge_of(buyer, intent)
    assert (charge.amount_refunded, charge.refunded) == (0, False)


def test_a_test_may_fail_a_refund_by_hand(buyer: Buyer, processor: Processor) -> None:
    """The control API ends a refund without waiting."""
    intent = buyer.paid()
    refund = buyer.client.v1.refunds.create({"payment_intent": intent.id})

    processor.tell(f"refunds/{refund.id}/settle", outcome="failed")

    assert buyer.client.v1.refunds.retrieve(refund.id).status == "failed"


def test_a_disputed_charge_is_marked_and_not_refundable(
    buyer: Buyer, processor: Processor
) -> None:
    """Opening a dispute marks the charge; a refund of it is refused."""
    intent = buyer.paid()

    opened = processor.tell(
        "disputes", payment_intent=intent.id, reason="product_not_received"
    )

    disputes = buyer.client.v1.disputes
    dispute = disputes.retrieve(opened["id"])
    assert (dispute.status, dispute.reason) == (
        "needs_response",
        "product_not_received",
    )
    assert dispute.charge == intent.latest_charge
    assert [it.id for it in disputes.list({"payment_intent": intent.id})] == [
        dispute.id
    ]
    assert charge_of(buyer, intent).disputed is True
    with pytest.raises(stripe.InvalidRequestError) as caught:
        buyer.client.v1.refunds.create({"payment_intent": intent.id})
    assert error_body(caught.value)["code"] == "charge_disputed"


def test_stripes_dispute_card_disputes_at_once(buyer: Buyer) -> None:
    """The test card made for disputes opens one by itself."""
    intent = buyer.confirm(buyer.intent(), "pm_card_createDispute")

    disputes = buyer.client.v1.disputes.list({"payment_intent": intent.id})

    assert len(disputes.data) == 1
