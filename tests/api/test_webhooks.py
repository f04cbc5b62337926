"""Webhooks: only signed bytes count, each event once, and never as the truth."""

from __future__ import annotations

import asyncio
import hmac
import io
import json
from hashlib import sha256
from uuid import uuid4

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from api import webhooks
from api.starter import Starter
from database.cases import open_payment_case
from database.inbox import OVERDUE_AFTER, InboxEvent, ignore_event, list_overdue
from tests.api.conftest import MakeShop
from tests.api.doubles import NOW, WEBHOOK_SECRET, Opened, Shop


def event(
    opened: Opened | None = None,
    *,
    kind: str = "payment_intent.succeeded",
    event_id: str = "evt_1",
    payment: str = "pi_1",
    live: bool = False,
    account: str | None = None,
) -> bytes:
    """Return an event as the processor writes it."""
    metadata = {"checkout_id": str(opened.checkout_id)} if opened else {}
    subject = {"id": payment, "object": "payment_intent", "metadata": metadata}
    written = {"id": event_id, "type": kind, "livemode": live}
    if account is not None:
        written["account"] = account
    return json.dumps(written | {"data": {"object": subject}}).encode()


def sign(
    body: bytes, *, at: float = NOW.timestamp(), secret: str = WEBHOOK_SECRET
) -> str:
    """Return the signature that the processor would send."""
    stamp = str(int(at))
    mac = hmac.new(secret.encode(), f"{stamp}.".encode() + body, sha256)
    return f"t={stamp},v1={mac.hexdigest()}"


async def deliver(shop: Shop, body: bytes, **headers: str) -> httpx.Response:
    """Deliver as the processor does: no cookie, no origin, raw bytes."""
    plain = {"sec-fetch-site": "", "stripe-signature": sign(body)} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    request = shop.browser.build_request(
        "POST", "/webhooks/stripe", content=body, headers=plain
    )
    del request.headers["sec-fetch-site"]
    return await shop.browser.send(request)


async def later(shop: Shop) -> None:
    """Let two seconds pass, and the starter loop go round."""
    await shop.settle()
    shop.sql("UPDATE processor_events SET received_at = now() - interval '3 s'")
    await Starter(shop.parts).round()


async def test_the_bank_answer_is_hinted_at_once(shop: Shop) -> None:
    """While the buyer is at the bank, the news of the answer is passed on at once."""
    opened = await shop.open()
    await shop.pay(opened)
    shop.sql(
        "UPDATE checkouts SET stage='charging', money_state='ACTION_NEEDED',"
        " next_action_url='https://bank.example'"
    )

    await deliver(shop, event(opened))
    await shop.settle()

    assert shop.door.hinted == [opened.checkout_id]


async def test_a_running_confirmation_is_not_disturbed_at_once(shop: Shop) -> None:
    """News that the workflow is just hearing itself waits until it is news no more."""
    opened = await shop.open()
    await shop.pay(opened)

    await deliver(shop, event(opened))
    await shop.settle()
    at_once = list(shop.door.hinted)
    shop.sql("UPDATE checkouts SET stage='charging'")
    shop.charge(opened)
    await later(shop)

    assert at_once == []
    assert shop.door.hinted == []
    assert shop.sql(
        "SELECT count(*) FROM processor_events WHERE applied_at IS NULL"
    ) == [(0,)]


async def test_an_event_is_kept_then_hinted(shop: Shop) -> None:
    """The row is durable before the workflow hears of it; the checkout is untouched."""
    opened = await shop.open()
    await shop.pay(opened)
    before = shop.sql("SELECT * FROM checkouts")

    answer = await deliver(shop, event(opened))
    await later(shop)

    assert answer.status_code == 200
    assert shop.door.hinted == [opened.checkout_id]
    assert shop.sql(
        "SELECT event_id, kind, payment_intent_id, checkout_id,"
        " applied_at IS NOT NULL FROM processor_events"
    ) == [("evt_1", "payment_intent.succeeded", "pi_1", opened.checkout_id, True)]
    assert shop.sql("SELECT * FROM checkouts") == before


async def test_a_redelivery_is_taken_once(shop: Shop) -> None:
    """The same event again is answered 200 and hints nobody a second time."""
    opened = await shop.open()
    await shop.pay(opened)

    answers = []
    for _ in range(3):
        answers.append((await deliver(shop, event(opened))).status_code)
        await later(shop)

    assert answers == [200, 200, 200]
    assert len(shop.door.hinted) == 1
    assert shop.sql("SELECT count(*) FROM processor_events") == [(1,)]


async def test_a_hint_that_did_not_get_through_is_passed_on_later(shop: Shop) -> None:
    """With Temporal down the row waits; a redelivery or the starter loop passes it."""
    opened = await shop.open()
    await shop.pay(opened)
    shop.door.is_closed = True
    await deliver(shop, event(opened))
    await shop.settle()
    waiting = shop.sql("SELECT applied_at FROM processor_events")

    shop.door.is_closed = False
    shop.sql("UPDATE processor_events SET received_at = now() - interval '6 s'")
    await Starter(shop.parts).round()
    await Starter(shop.parts).round()

    assert waiting == [(None,)]
    assert shop.door.hinted == [opened.checkout_id]


async def test_hints_of_yesterday_are_left_to_the_reconciliation(shop: Shop) -> None:
    """A row older than a day is the reconciliation's, and handed to it."""
    opened = await shop.open()
    await shop.pay(opened)
    shop.door.is_closed = True
    await deliver(shop, event(opened))
    await shop.settle()
    shop.door.is_closed = False
    shop.sql("UPDATE processor_events SET received_at = now() - interval '25 h'")

    await Starter(shop.parts).round()
    overdue = await shop.parts.records.read(
        lambda c: list_overdue(c, OVERDUE_AFTER, 10)
    )

    assert shop.door.hinted == []
    assert [one.event_id for one in overdue] == ["evt_1"]


async def test_a_hint_that_trips_a_round_keeps_no_other_from_its_way(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, log_lines: io.StringIO
) -> None:
    """A bug about one event costs that hint alone, and it is logged."""
    first, second = await shop.open(), await shop.open("eli@example.com")
    for opened in (first, second):
        await shop.pay(opened)
    shop.door.is_closed = True
    await deliver(shop, event(first, payment="pi_odd"))
    await deliver(shop, event(second, event_id="evt_2"))
    await shop.settle()
    shop.door.is_closed = False
    really = webhooks.find_checkout

    async def trips(connection: AsyncConnection, hint: InboxEvent) -> object:
        if hint.payment_intent_id == "pi_odd":
            raise ValueError("a bug")
        return await really(connection, hint)

    monkeypatch.setattr(webhooks, "find_checkout", trips)

    await later(shop)

    assert shop.door.hinted == [second.checkout_id]
    assert "hint could not be passed on" in log_lines.getvalue()
    assert shop.sql(
        "SELECT event_id FROM processor_events WHERE applied_at IS NULL"
    ) == [("evt_1",)]


@pytest.mark.parametrize("kind", ["payment_intent.succeeded", "charge.refunded"])
async def test_an_event_of_another_account_is_kept_and_ignored(
    shop: Shop, kind: str
) -> None:
    """Whatever it names, nobody is told; the row says why, and answers once."""
    opened = await shop.open()
    await shop.pay(opened)
    foreign = event(opened, kind=kind, account="acct_9")

    answers = [(await deliver(shop, foreign)).status_code for _ in range(2)]
    await later(shop)

    assert answers == [200, 200]
    assert (shop.door.hinted, shop.door.repairs) == ([], [])
    assert shop.sql("SELECT count(*) FROM cases") == [(0,)]
    assert shop.sql(
        "SELECT applied_at, ignored_by, ignored_reason FROM processor_events"
    ) == [(None, "holdfast", "it is of the account acct_9, not of ours")]


async def test_an_ignored_event_does_not_come_back_by_a_redelivery(shop: Shop) -> None:
    """What a person decided stands when the processor delivers it again."""
    opened = await shop.open()
    await shop.pay(opened)
    shop.door.is_closed = True
    await deliver(shop, event(opened))
    await shop.settle()
    await shop.parts.records.write(
        lambda c: ignore_event(c, "evt_1", actor="dana", reason="a test of ours")
    )
    shop.door.is_closed = False

    await deliver(shop, event(opened))
    await later(shop)

    assert shop.door.hinted == []


async def test_a_checkout_is_found_by_its_payment_when_metadata_lies(
    shop: Shop,
) -> None:
    """Metadata that names no checkout of ours does not hide the payment's own."""
    opened = await shop.open()
    await shop.pay(opened)
    shop.sql("UPDATE checkouts SET payment_intent_id='pi_known'")
    stranger = Opened(path="", checkout_id=uuid4())

    await deliver(shop, event(stranger, payment="pi_known"))
    await deliver(shop, event(None, payment="pi_other", event_id="evt_2"))
    await later(shop)

    assert shop.door.hinted == [opened.checkout_id]
    assert shop.sql("SELECT count(*) FROM cases") == [(0,)]
    assert shop.sql(
        "SELECT count(*) FROM processor_events WHERE applied_at IS NULL"
    ) == [(0,)]


CASES = "SELECT payment_intent_id, checkout_id, cause, state FROM cases"


async def test_a_second_charge_becomes_a_case(
    shop: Shop, log_lines: io.StringIO
) -> None:
    """A buyer who was charged by two PaymentIntents is seen by support, once."""
    opened = await shop.open()
    await shop.pay(opened)
    shop.sql("UPDATE checkouts SET stage='charging'")
    shop.charge(opened)

    for number in range(3):
        await deliver(shop, event(opened, payment="pi_2", event_id=f"evt_{number}"))
    await shop.settle()

    assert shop.sql(CASES) == [("pi_2", None, "SecondCharge", "open")]
    own = f"pi_{opened.checkout_id}"
    assert own in shop.sql("SELECT detail FROM cases")[0][0]
    errors = [
        line for line in log_lines.getvalue().splitlines() if "a case was" in line
    ]
    assert len(errors) == 1
    assert all(word in errors[0] for word in ("error", "pi_2", str(opened.checkout_id)))
    assert shop.door.hinted == []
    assert shop.sql(
        "SELECT count(*) FROM processor_events WHERE applied_at IS NULL"
    ) == [(0,)]


async def test_a_second_charge_is_known_by_the_attempt_too(shop: Shop) -> None:
    """Without metadata, an earlier attempt's PaymentIntent still names the checkout."""
    opened = await shop.open()
    await shop.pay(opened)
    shop.sql("UPDATE checkouts SET stage='charging'")
    shop.sql("UPDATE payment_attempts SET payment_intent_id='pi_old'")
    shop.charge(opened)

    await deliver(shop, event(None, payment="pi_old"))
    await shop.settle()

    assert shop.sql(CASES) == [("pi_old", None, "SecondCharge", "open")]


async def test_a_resolved_case_stays_resolved(shop: Shop) -> None:
    """News that comes again does not open again what a person has closed."""
    stranger = Opened(path="", checkout_id=uuid4())
    await deliver(shop, event(stranger))
    await shop.settle()
    shop.sql("UPDATE cases SET state='resolved', resolved_at=now()")

    await deliver(shop, event(stranger, event_id="evt_2"))
    await shop.settle()

    assert shop.sql(CASES) == [("pi_1", None, "ChargeWithoutCheckout", "resolved")]


@pytest.mark.parametrize(
    ("kind", "is_ours", "cases"),
    [
        ("payment_intent.succeeded", True, 1),
        ("payment_intent.succeeded", False, 0),
        ("payment_intent.payment_failed", True, 0),
        ("payment_intent.canceled", True, 0),
    ],
)
async def test_a_charge_that_claims_to_be_ours_becomes_a_case(
    shop: Shop, kind: str, is_ours: bool, cases: int
) -> None:
    """Ours without a checkout is support's; somebody else's payment is nobody's."""
    stranger = Opened(path="", checkout_id=uuid4()) if is_ours else None

    answer = await deliver(shop, event(stranger, kind=kind))
    await shop.settle()

    assert answer.status_code == 200
    found = shop.sql(CASES)
    assert found == [("pi_1", None, "ChargeWithoutCheckout", "open")] * cases
    assert shop.sql("SELECT applied_at IS NOT NULL FROM processor_events") == [(True,)]


async def test_two_replicas_open_one_case(shop: Shop, engine: AsyncEngine) -> None:
    """The same news at twenty places at once is one case and one error in a log."""

    async def open_it() -> bool:
        async with engine.begin() as connection:
            return await open_payment_case(
                connection, "pi_1", "step", "Cause", "detail"
            )

    opened = await asyncio.gather(*(open_it() for _ in range(20)))

    assert sorted(opened) == [False] * 19 + [True]
    assert shop.sql("SELECT count(*) FROM cases") == [(1,)]


async def test_a_charge_that_nobody_looks_after_becomes_a_repair(shop: Shop) -> None:
    """A run that is gone is put right, by one repair however many events tell of it."""
    opened = await shop.open()
    await shop.pay(opened)
    shop.door.is_listening = False

    await deliver(shop, event(opened))
    await deliver(shop, event(opened, event_id="evt_2", kind="payment_intent.canceled"))
    await later(shop)

    assert len(shop.door.repairs) == 2
    assert len({repair.repair_id for _, repair in shop.door.repairs}) == 1
    checkout, repair = shop.door.repairs[0]
    assert checkout.checkout_id == opened.checkout_id
    assert repair.actor == "webhook"


@pytest.mark.parametrize(
    ("kind", "repairs"),
    [("payment_intent.succeeded", 2), ("payment_intent.payment_failed", 0)],
)
async def test_a_charge_after_the_proof_of_none_has_a_repair_of_its_own(
    shop: Shop, kind: str, repairs: int
) -> None:
    """Nobody looks after an ended attempt; a success there is put right anyway."""
    opened = await shop.open()
    await shop.pay(opened)
    shop.decline(opened)
    shop.door.is_listening = False

    await deliver(shop, event(opened, kind=kind))
    await deliver(shop, event(opened, kind=kind, event_id="evt_2"))
    await shop.settle()

    assert len({repair.repair_id for _, repair in shop.door.repairs}) == repairs


async def test_news_of_a_charge_that_we_know_disturbs_nobody(shop: Shop) -> None:
    """After the charge is written, its event has nothing to tell."""
    opened = await shop.open()
    await shop.pay(opened)
    shop.sql("UPDATE checkouts SET stage='charging'")
    shop.charge(opened)

    await deliver(shop, event(opened))
    await shop.settle()

    assert shop.door.hinted == []
    assert shop.sql(
        "SELECT count(*) FROM processor_events WHERE applied_at IS NULL"
    ) == [(0,)]


@pytest.mark.parametrize("kind", ["charge.updated", "payment_intent.created"])
async def test_other_events_are_kept_without_a_hint(shop: Shop, kind: str) -> None:
    """What no workflow waits for is kept for the reconciliation."""
    opened = await shop.open()

    answer = await deliver(shop, event(opened, kind=kind))
    await shop.settle()

    assert answer.status_code == 200
    assert shop.door.hinted == []
    assert shop.sql("SELECT applied_at IS NOT NULL FROM processor_events") == [(True,)]


GOOD = event(event_id="evt_bad")
REFUSED: dict[str, tuple[bytes, str]] = {
    "unsigned": (GOOD, ""),
    "other secret": (GOOD, sign(GOOD, secret="whsec_other")),
    "old": (GOOD, sign(GOOD, at=NOW.timestamp() - 301)),
    "future": (GOOD, sign(GOOD, at=NOW.timestamp() + 301)),
    "re-serialised": (json.dumps(json.loads(GOOD), indent=1).encode(), sign(GOOD)),
    "two stamps": (GOOD, f"t=1,{sign(GOOD)}"),
    "words for a stamp": (GOOD, "t=now,v1=00"),
    "not JSON": (b"hello", sign(b"hello")),
    "no event": (b"[]", sign(b"[]")),
    "NUL": (ODD := event(event_id="evt_\x00"), sign(ODD)),
    "half a pair": (HALF := event(payment="pi_\ud800"), sign(HALF)),
    "deep": (b"[" * 50_000, sign(b"[" * 50_000)),
    "wrong world": (event(live=True), sign(event(live=True))),
}


@pytest.mark.parametrize(("body", "header"), REFUSED.values(), ids=REFUSED.keys())
async def test_what_is_not_a_fresh_signed_event_is_refused(
    shop: Shop, body: bytes, header: str
) -> None:
    """Bad, missing, old and future signatures leave no row and no stack trace."""
    answer = await deliver(shop, body, stripe_signature=header)

    assert answer.status_code == 400
    assert answer.json() == {"error": "this event was refused"}
    assert shop.sql("SELECT count(*) FROM processor_events") == [(0,)]


async def test_an_older_secret_still_counts_while_one_is_rotated(
    make_shop: MakeShop,
) -> None:
    """Two secrets are valid while the operator changes them."""
    shop = make_shop(
        stripe_webhook_secrets=f"whsec_new-secret-of-these-tests,{WEBHOOK_SECRET}"
    )

    assert (await deliver(shop, event())).status_code == 200


async def test_a_live_shop_takes_live_events_alone(make_shop: MakeShop) -> None:
    """Where real money moves, a test event of the same account is refused."""
    shop = make_shop(
        environment="production",
        company_name="Mara's tools",
        support_name="Mara",
        support_email="help@shop.example",
        mail_from="Mara <pay@shop.example>",
        stripe_api_key="rk_live_0123456789",
        stripe_publishable_key="pk_live_0123456789",
    )

    answers = [
        (await deliver(shop, event(live=live, event_id=f"evt_{live}"))).status_code
        for live in (True, False)
    ]

    assert answers == [200, 400]
    assert shop.sql("SELECT event_id FROM processor_events") == [("evt_True",)]


async def test_without_a_secret_nothing_is_believed(make_shop: MakeShop) -> None:
    """No secret set means no event is taken, not every one."""
    shop = make_shop(stripe_webhook_secrets=[])
    body = event()

    assert (await deliver(shop, body)).status_code == 400
    assert (
        await deliver(shop, body, stripe_signature=sign(body, secret=""))
    ).status_code == 400


@pytest.mark.parametrize(("size", "status"), [(256 * 1024 + 1, 413), (200_000, 400)])
async def test_a_huge_event_is_not_read(shop: Shop, size: int, status: int) -> None:
    """Up to 256 KiB is read, more is refused."""
    assert (await deliver(shop, b"x" * size)).status_code == status


async def test_without_a_database_the_event_comes_again(
    make_shop: MakeShop,
) -> None:
    """An event that was not kept is answered 503, so that it is delivered again."""
    shop = make_shop(database_url="postgresql+psycopg://nobody@127.0.0.1:1/none")

    answer = await deliver(shop, event())

    assert answer.status_code == 503
    assert "Traceback" not in answer.text
    assert "evt_1" not in answer.text
