"""The Stripe adapter against a real server, through the official SDK."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest

from domain.addresses import PageAddresses
from domain.messages import (
    CancelPaymentIntent,
    ConfirmPaymentIntent,
    PreparePaymentIntent,
)
from domain.payments import PaymentIntent, PaymentIntentStatus, Verdict, judge
from domain.states import DeclineClass
from processor.port import MethodRefused, OutcomeUnknown, RefusedByOurFault, Throttled
from processor.stripe_adapter import StripeProcessor
from tests.sandbox.processor_server import API_KEY, Processor
from tests.specimens.records import PRICE, creation, on_record

ADDRESSES = PageAddresses("https://shop.example", ["a" * 40])
KEY_ID = ADDRESSES.new_token(uuid4()).key_id


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processor]:
    """A sandbox processor of this module's own."""
    processor = Processor(data=tmp_path_factory.mktemp("adapter") / "processor.sqlite")
    processor.start()
    yield processor
    processor.close()


@pytest.fixture
async def adapter(server: Processor) -> AsyncIterator[StripeProcessor]:
    """The adapter, told of another server only by its address."""
    made = StripeProcessor(API_KEY, ADDRESSES, api_base=server.url)
    yield made
    await made.close()


def fault(server: Processor, action: str, path: str = "/confirm$") -> None:
    """Let the next request to this path go wrong."""
    httpx.post(
        f"{server.url}/sandbox/faults",
        json={"action": action, "match": {"method": "POST", "path_regex": path}},
        trust_env=False,
    ).raise_for_status()


def shown(server: Processor, intent: PaymentIntent) -> dict[str, object]:
    """Return a PaymentIntent as the server itself shows it."""
    answer = httpx.get(
        f"{server.url}/v1/payment_intents/{intent.payment_intent_id}",
        headers={"authorization": f"Bearer {API_KEY}"},
        trust_env=False,
    ).raise_for_status()
    body: dict[str, object] = answer.json()
    return body


async def created(adapter: StripeProcessor, checkout_id: UUID) -> PaymentIntent:
    """Return a fresh PaymentIntent of a checkout."""
    record = on_record(checkout_id)
    return await adapter.create(creation(record), record)


def confirmation(
    intent: PaymentIntent, method: str, *, attempt: int = 1, submission: int = 0
) -> ConfirmPaymentIntent:
    """Return the request to charge."""
    assert intent.checkout_id is not None
    return ConfirmPaymentIntent(
        checkout_id=intent.checkout_id,
        payment_intent_id=intent.payment_intent_id,
        buyer_attempt=attempt,
        payment_method=method,
        token_key_id=KEY_ID,
        submission=submission,
    )


async def test_created_payment_intent_is_ours_and_moves_nothing(
    adapter: StripeProcessor,
) -> None:
    """A fresh PaymentIntent carries our id and price, and is not confirmed."""
    checkout_id = uuid4()

    intent = await created(adapter, checkout_id)

    assert intent.checkout_id == checkout_id
    assert intent.price == PRICE
    assert judge(intent) is Verdict.UNCONFIRMED


async def test_payment_intent_takes_cards_only(
    server: Processor, adapter: StripeProcessor
) -> None:
    """What settles in days, or asks elsewhere than on a page, is never offered."""
    intent = await created(adapter, uuid4())

    body = shown(server, intent)
    script = (Path(__file__).parents[2] / "api/static/stripe_payment.js").read_text()

    assert body["payment_method_types"] == ["card"]
    assert body["automatic_payment_methods"] is None
    assert 'paymentMethodTypes: ["card"]' in script


async def test_repeated_creation_returns_the_same_payment_intent(
    adapter: StripeProcessor,
) -> None:
    """A repeated creation arrives at the PaymentIntent that is already there."""
    checkout_id = uuid4()

    first, second = [await created(adapter, checkout_id) for _ in range(2)]

    assert first.payment_intent_id == second.payment_intent_id


async def test_charge_names_time_and_card(adapter: StripeProcessor) -> None:
    """A succeeded PaymentIntent tells when, and on which card."""
    intent = await created(adapter, uuid4())

    charged = await adapter.confirm(confirmation(intent, "pm_card_visa"))

    assert judge(charged) is Verdict.CHARGED
    assert charged.charged_at is not None
    assert (charged.card_brand, charged.card_last4) == ("visa", "4242")


@pytest.mark.parametrize(
    ("method", "decline"),
    [
        ("pm_card_chargeDeclined", DeclineClass.GENERIC),
        ("pm_card_chargeDeclinedInsufficientFunds", DeclineClass.OTHER_CARD),
        ("pm_card_chargeDeclinedLostCard", DeclineClass.GENERIC),
        ("pm_card_chargeDeclinedStolenCard", DeclineClass.GENERIC),
        ("pm_card_chargeDeclinedExpiredCard", DeclineClass.CHECK_DETAILS),
        ("pm_card_chargeDeclinedIncorrectCvc", DeclineClass.CHECK_DETAILS),
        ("pm_card_chargeDeclinedProcessingError", DeclineClass.TRY_AGAIN),
    ],
)
async def test_decline_is_an_answer_not_an_error(
    adapter: StripeProcessor, method: str, decline: DeclineClass
) -> None:
    """A decline comes back as a PaymentIntent with a class that helps the buyer."""
    intent = await created(adapter, uuid4())

    declined = await adapter.confirm(confirmation(intent, method))

    assert judge(declined) is Verdict.DECLINED
    assert declined.decline is decline


async def test_prepared_payment_intent_shows_no_old_decline(
    adapter: StripeProcessor,
) -> None:
    """After a decline the same PaymentIntent is readied, and charges another card."""
    intent = await created(adapter, uuid4())
    await adapter.confirm(confirmation(intent, "pm_card_chargeDeclined"))
    assert intent.checkout_id is not None

    ready = await adapter.prepare(
        PreparePaymentIntent(
            checkout_id=intent.checkout_id,
            payment_intent_id=intent.payment_intent_id,
            buyer_attempt=2,
        )
    )
    charged = await adapter.confirm(confirmation(intent, "pm_card_visa", attempt=2))

    assert judge(ready) is Verdict.UNCONFIRMED
    assert judge(charged) is Verdict.CHARGED
    assert charged.payment_intent_id == intent.payment_intent_id


async def test_lost_reply_is_unknown_and_the_look_tells(
    adapter: StripeProcessor, server: Processor
) -> None:
    """A charge whose reply was lost raises "unknown", and looking shows it."""
    intent = await created(adapter, uuid4())
    fault(server, "act_then_drop_reply")

    with pytest.raises(OutcomeUnknown):
        await adapter.confirm(confirmation(intent, "pm_card_visa"))

    assert judge(await adapter.look_up(intent.payment_intent_id)) is Verdict.CHARGED


async def test_confirming_a_charged_payment_intent_again_shows_the_charge(
    adapter: StripeProcessor,
) -> None:
    """Confirming under a new key what has succeeded returns it as it stands."""
    intent = await created(adapter, uuid4())
    await adapter.confirm(confirmation(intent, "pm_card_visa"))

    again = await adapter.confirm(confirmation(intent, "pm_card_visa", submission=1))

    assert judge(again) is Verdict.CHARGED


async def test_stored_500_is_unknown_until_a_new_key(
    adapter: StripeProcessor, server: Processor
) -> None:
    """A stored 500 replays under its key and does not bind a new one."""
    intent = await created(adapter, uuid4())
    fault(server, "error_500_before")
    for _ in range(2):
        with pytest.raises(OutcomeUnknown):
            await adapter.confirm(confirmation(intent, "pm_card_visa"))

    charged = await adapter.confirm(confirmation(intent, "pm_card_visa", submission=1))

    assert judge(charged) is Verdict.CHARGED


@pytest.mark.parametrize("action", ["error_500_before", "error_500_after"])
async def test_stored_500_does_not_keep_a_payment_from_beginning(
    adapter: StripeProcessor, server: Processor, action: str
) -> None:
    """Making or readying a PaymentIntent leaves stored 500s behind, to one answer."""
    checkout_id = uuid4()
    for _ in range(2):
        fault(server, action, "/payment_intents$")
        with pytest.raises(OutcomeUnknown):
            await created(adapter, checkout_id)
    intent = await created(adapter, checkout_id)
    again = await created(adapter, checkout_id)

    readying = PreparePaymentIntent(
        checkout_id=checkout_id,
        payment_intent_id=intent.payment_intent_id,
        buyer_attempt=2,
    )
    fault(server, action, f"/payment_intents/{intent.payment_intent_id}$")
    with pytest.raises(OutcomeUnknown):
        await adapter.prepare(readying)
    readied = await adapter.prepare(readying)

    assert again == intent
    assert readied.payment_intent_id == intent.payment_intent_id


@pytest.mark.parametrize(
    ("action", "raised"),
    [
        ("throttle", Throttled),
        ("lock_timeout", Throttled),
        ("error_503", OutcomeUnknown),
        ("refuse", OutcomeUnknown),
    ],
)
async def test_failures_are_sorted_by_what_may_have_happened(
    adapter: StripeProcessor,
    server: Processor,
    action: str,
    raised: type[Exception],
) -> None:
    """Each kind of failure says whether the request may have taken effect."""
    intent = await created(adapter, uuid4())
    fault(server, action)

    with pytest.raises(raised):
        await adapter.confirm(confirmation(intent, "pm_card_visa"))


async def test_wrong_key_is_our_fault_and_is_not_shown(server: Processor) -> None:
    """A wrong API key is refused by our fault, and the error does not quote it."""
    wrong = StripeProcessor("sk_test_wrong", ADDRESSES, api_base=server.url)

    with pytest.raises(RefusedByOurFault) as refused:
        await wrong.look_up("pi_123")

    await wrong.close()
    assert "sk_test_wrong" not in str(refused.value)


async def test_status_that_we_cannot_read_is_unknown(
    adapter: StripeProcessor, server: Processor
) -> None:
    """A status word newer than this adapter proves nothing, and breaks nothing."""
    intent = await created(adapter, uuid4())
    _rewrite_status(server, intent.payment_intent_id, "requires_patience")

    with pytest.raises(OutcomeUnknown):
        await adapter.look_up(intent.payment_intent_id)


def _rewrite_status(server: Processor, payment_intent_id: str, word: str) -> None:
    """Write into the sandbox's storage what its API would never write."""
    with sqlite3.connect(server.data) as storage:
        storage.execute(
            "UPDATE objects SET body = json_set(body, '$.status', ?) WHERE id = ?",
            (word, payment_intent_id),
        )
    storage.close()


async def test_means_of_payment_of_nobody_is_the_buyers_to_mend(
    adapter: StripeProcessor,
) -> None:
    """A payment method that the processor does not know is refused as just that."""
    intent = await created(adapter, uuid4())

    with pytest.raises(MethodRefused):
        await adapter.confirm(confirmation(intent, "pm_of_nobody"))


async def test_payment_intent_of_nobody_is_our_fault(adapter: StripeProcessor) -> None:
    """An id that the processor does not know is refused, not unknown."""
    with pytest.raises(RefusedByOurFault):
        await adapter.look_up("pi_of_nobody")


async def test_bank_check_names_where_to_go(adapter: StripeProcessor) -> None:
    """3-D Secure comes back as an action with the bank's address."""
    intent = await created(adapter, uuid4())

    asked = await adapter.confirm(confirmation(intent, "pm_card_threeDSecure2Required"))

    assert asked.status is PaymentIntentStatus.REQUIRES_ACTION
    assert asked.next_action_url is not None


async def test_canceled_payment_intent_never_charges(adapter: StripeProcessor) -> None:
    """After a cancellation a confirmation only shows that it is canceled."""
    intent = await created(adapter, uuid4())
    canceled = await adapter.cancel(_cancellation(intent))

    after = await adapter.confirm(confirmation(intent, "pm_card_visa"))

    assert judge(canceled) is Verdict.CANCELED
    assert judge(after) is Verdict.CANCELED


async def test_cancellation_that_comes_too_late_shows_the_charge(
    adapter: StripeProcessor,
) -> None:
    """Closing what has succeeded changes nothing and shows the charge."""
    intent = await created(adapter, uuid4())
    await adapter.confirm(confirmation(intent, "pm_card_visa"))

    after = await adapter.cancel(_cancellation(intent))

    assert judge(after) is Verdict.CHARGED


def _cancellation(intent: PaymentIntent) -> CancelPaymentIntent:
    assert intent.checkout_id is not None
    return CancelPaymentIntent(
        checkout_id=intent.checkout_id,
        payment_intent_id=intent.payment_intent_id,
        buyer_attempt=1,
    )
