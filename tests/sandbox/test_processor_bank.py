"""3-D Secure: the bank's page, approved or refused, and what becomes of it later."""

from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import stripe

from tests.sandbox.processor_server import RETURN_URL, Buyer, Processor, error_body


def bank_address(intent: stripe.PaymentIntent) -> str:
    """Where the intent sends the buyer."""
    assert intent.status == "requires_action"
    assert intent.next_action is not None
    assert intent.next_action.type == "redirect_to_url"
    redirect = intent.next_action.redirect_to_url
    assert redirect is not None
    assert redirect.return_url == RETURN_URL
    return str(redirect.url)


def answer_bank(address: str, answer: str) -> httpx.Response:
    """Press a button of the bank's page."""
    return httpx.post(address, data={"answer": answer})


@pytest.mark.parametrize(
    "method", ["pm_card_authenticationRequired", "pm_card_threeDSecure2Required"]
)
def test_approval_charges_and_sends_the_buyer_back(buyer: Buyer, method: str) -> None:
    """Approve: the charge succeeds and the return address says so."""
    intent = buyer.intent("co_3ds", description="One year")
    address = bank_address(buyer.confirm(intent, method))
    page = httpx.get(address)
    assert page.status_code == 200
    for words in ("$249.00", "Holdfast Ltd", "One year", "Approve", "Refuse"):
        assert words in page.text

    answer = answer_bank(address, "approve")

    assert answer.status_code == 303
    back = urlsplit(answer.headers["location"])
    assert f"{back.scheme}://{back.netloc}{back.path}" == "https://shop.example/c/tok"
    assert parse_qs(back.query) == {
        "lang": ["en"],
        "payment_intent": [intent.id],
        "payment_intent_client_secret": [intent.client_secret],
        "redirect_status": ["succeeded"],
    }
    found = buyer.read(intent, expand=["latest_charge"])
    assert found.status == "succeeded"
    assert found.next_action is None
    charge = found.latest_charge
    assert isinstance(charge, stripe.Charge)
    assert charge.payment_method_details is not None
    assert charge.payment_method_details.card is not None
    secure = charge.payment_method_details.card.three_d_secure
    assert secure is not None
    assert secure.result == "authenticated"


def test_refusal_charges_nothing_and_says_why(buyer: Buyer) -> None:
    """Refuse: no charge, the reason on the intent, and another card still works."""
    intent = buyer.intent()
    address = bank_address(buyer.confirm(intent, "pm_card_authenticationRequired"))

    answer = answer_bank(address, "refuse")

    assert "redirect_status=failed" in answer.headers["location"]
    found = buyer.read(intent)
    assert found.status == "requires_payment_method"
    assert found.latest_charge is None
    assert found.last_payment_error is not None
    assert found.last_payment_error.code == "payment_intent_authentication_failure"
    assert buyer.confirm(intent).status == "succeeded"


def test_approval_may_still_be_declined(buyer: Buyer) -> None:
    """Approved at the bank's page, then declined: the buyer returns unpaid."""
    intent = buyer.intent()
    method = "pm_card_threeDSecureRequiredChargeDeclined"

    answer = answer_bank(bank_address(buyer.confirm(intent, method)), "approve")

    assert "redirect_status=failed" in answer.headers["location"]
    assert buyer.read(intent).status == "requires_payment_method"


def test_a_canceled_payment_cannot_be_approved(buyer: Buyer) -> None:
    """After cancellation the page says so, and approving moves nothing."""
    intent = buyer.intent()
    address = bank_address(buyer.confirm(intent, "pm_card_authenticationRequired"))
    buyer.client.v1.payment_intents.cancel(intent.id)

    late = answer_bank(address, "approve")

    assert "This payment was canceled" in httpx.get(address).text
    assert late.status_code == 200
    assert "You have not been charged." in late.text
    assert buyer.read(intent).status == "canceled"


def test_an_answer_counts_once(buyer: Buyer, processor: Processor) -> None:
    """A second press, or a changed mind, has no effect and is told so."""
    intent = buyer.intent("co_3ds_once")
    address = bank_address(buyer.confirm(intent, "pm_card_authenticationRequired"))
    answer_bank(address, "approve")

    again = answer_bank(address, "refuse")

    assert "approved already" in again.text
    assert "redirect_status=succeeded" in again.text
    assert buyer.read(intent).status == "succeeded"
    assert len(processor.get("summary")["checkouts"]["co_3ds_once"]) == 1


def test_a_new_confirmation_voids_the_older_question(buyer: Buyer) -> None:
    """Only the newest bank page of an intent can settle it."""
    intent = buyer.intent()
    older = bank_address(buyer.confirm(intent, "pm_card_authenticationRequired"))
    newer = bank_address(buyer.confirm(intent, "pm_card_authenticationRequired"))

    void = answer_bank(older, "approve")

    assert "no longer open" in void.text
    assert buyer.read(intent).status == "requires_action"
    assert answer_bank(newer, "approve").status_code == 303


def test_nobody_there_to_approve_is_a_decline(buyer: Buyer) -> None:
    """Off session the card asks in vain: authentication_required."""
    intent = buyer.intent()

    with pytest.raises(stripe.CardError) as caught:
        buyer.confirm(intent, "pm_card_authenticationRequired", off_session=True)

    assert caught.value.code == "authentication_required"
    assert error_body(caught.value)["payment_intent"]["id"] == intent.id


def test_a_test_may_answer_for_the_buyer(buyer: Buyer, processor: Processor) -> None:
    """The control API settles a 3-D Secure question without a browser."""
    approved = buyer.confirm(buyer.intent(), "pm_card_authenticationRequired")
    refused = buyer.confirm(buyer.intent(), "pm_card_authenticationRequired")

    processor.tell(f"payment_intents/{approved.id}/settle", outcome="succeeded")
    processor.tell(f"payment_intents/{refused.id}/settle", outcome="failed")

    assert buyer.read(approved).status == "succeeded"
    assert buyer.read(refused).status == "requires_payment_method"


def test_an_unknown_question_is_not_found(processor: Processor) -> None:
    """A wrong bank address is a clear page, not an error."""
    page = httpx.get(f"{processor.url}/bank/payatt_nobody")

    assert page.status_code == 404
    assert "This payment is not known" in page.text


def test_another_site_cannot_press_the_buttons(
    buyer: Buyer, processor: Processor
) -> None:
    """A form on a foreign page neither approves a payment nor turns a switch."""
    intent = buyer.intent()
    address = bank_address(buyer.confirm(intent, "pm_card_authenticationRequired"))
    foreign = {"Sec-Fetch-Site": "cross-site"}

    answer = httpx.post(address, data={"answer": "approve"}, headers=foreign)
    switch = httpx.post(processor.url, data={"switch": "outage"}, headers=foreign)

    assert answer.status_code == switch.status_code == 403
    assert buyer.read(intent).status == "requires_action"
