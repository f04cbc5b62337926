"""`/v1`: typed states, the same words, and one checkout per idempotency key."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.api.conftest import MakeShop
from tests.api.doubles import API_KEY, BEARER, PAN, PUBLIC_URL, Shop

BODY = {"plan": "one-year", "email": "mara@example.com"}


async def create(
    shop: Shop, key: str = "order-1", body: dict[str, Any] | None = None
) -> httpx.Response:
    """Open a checkout as an embedder does."""
    return await shop.browser.post(
        "/v1/checkouts",
        content=json.dumps(body or BODY).encode(),
        headers=BEARER | {"idempotency-key": key, "content-type": "application/json"},
    )


def is_problem(answer: httpx.Response, status: int) -> bool:
    """Hold an answer against RFC 9457 and our own rule for `detail`."""
    problem = answer.json()
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["status"] == status
    assert problem["type"] == "about:blank"
    assert problem["detail"].endswith(".")
    assert problem["request_id"] == answer.headers["x-request-id"]
    return True


async def test_a_program_opens_pays_and_reads(shop: Shop) -> None:
    """Open, pay and read bring the same states and words that the page shows."""
    opened = await create(shop)
    checkout = opened.json()
    path = f"/v1/checkouts/{checkout['checkout_id']}"

    paid = await shop.browser.post(
        f"{path}/pay", json={"payment_method": "pm_card_visa"}, headers=BEARER
    )
    read = await shop.browser.get(path, headers=BEARER)

    assert opened.status_code == 201
    assert checkout["url"].startswith(f"{PUBLIC_URL}/c/")
    assert (checkout["money_state"], checkout["access_state"]) == (
        "NOT_CHARGED",
        "NONE",
    )
    assert checkout["may_pay"] is True
    assert (checkout["amount_minor"], checkout["currency"]) == (24900, "usd")
    assert paid.status_code == 202
    assert read.status_code == 200
    assert read.json()["money_state"] == "UNKNOWN"
    assert read.json()["may_pay"] is False
    assert len(shop.door.paid) == 1
    page = await shop.browser.get(checkout["url"])
    assert page.status_code == 200
    assert read.json()["headline"] in page.text


async def test_a_payment_in_doubt_says_when_we_last_asked(shop: Shop) -> None:
    """The time is there while nothing is known, and gone with the doubt."""
    made = (await create(shop)).json()
    await shop.browser.post(
        f"/v1/checkouts/{made['checkout_id']}/pay",
        json={"payment_method": "pm_card_visa"},
        headers=BEARER,
    )
    shop.sql(
        "UPDATE checkouts SET asked_at = now(),"
        " pay_requested_at = now() - interval '3 minutes'"
    )
    read = await shop.browser.get(
        f"/v1/checkouts/{made['checkout_id']}", headers=BEARER
    )

    assert made["asked_at"] is None
    assert read.json()["page"] == "unknown"
    assert read.json()["asked_at"] is not None
    assert any("last asked at" in said for said in read.json()["sentences"])


async def test_the_same_key_and_body_bring_the_same_checkout(shop: Shop) -> None:
    """A repeated request finds the first one's checkout and says that it did."""
    first = await create(shop)
    second = await create(shop)

    assert (first.status_code, second.status_code) == (201, 200)
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    assert first.json() == second.json()
    assert shop.sql("SELECT count(*) FROM checkouts") == [(1,)]


async def test_the_same_key_with_another_body_is_refused(shop: Shop) -> None:
    """A key stands for one wish to buy."""
    await create(shop)

    answer = await create(shop, body=BODY | {"email": "eve@example.com"})

    assert is_problem(answer, 422)
    assert shop.sql("SELECT count(*) FROM checkouts") == [(1,)]


async def test_twenty_requests_at_once_under_one_key_make_one_checkout(
    shop: Shop,
) -> None:
    """Concurrent twins wait for each other; one makes the checkout, all get it."""
    answers = await asyncio.gather(*(create(shop) for _ in range(20)))

    assert sorted(a.status_code for a in answers) == [200] * 19 + [201]
    assert len({a.json()["checkout_id"] for a in answers}) == 1
    assert shop.sql("SELECT count(*) FROM checkouts") == [(1,)]


async def test_keys_of_two_embedders_never_meet(make_shop: MakeShop) -> None:
    """The same idempotency key under another API key is another checkout."""
    other = "another-key-0123456789abcdefghijklm"
    shop = make_shop(api_keys=f"{API_KEY},{other}")

    first = await create(shop)
    second = await shop.browser.post(
        "/v1/checkouts",
        json=BODY,
        headers={"authorization": f"Bearer {other}", "idempotency-key": "order-1"},
    )

    assert second.status_code == 201
    assert first.json()["checkout_id"] != second.json()["checkout_id"]


async def test_paying_twice_is_one_request(shop: Shop) -> None:
    """A repeated or concurrent pay changes nothing."""
    path = f"/v1/checkouts/{(await create(shop)).json()['checkout_id']}/pay"
    body = {"payment_method": "pm_card_visa"}

    answers = await asyncio.gather(
        *(shop.browser.post(path, json=body, headers=BEARER) for _ in range(10))
    )

    assert {answer.status_code for answer in answers} == {202}
    assert len(shop.door.paid) == 1


async def test_used_up_tries_are_told(shop: Shop) -> None:
    """The eleventh attempt is refused with what to do instead."""
    checkout_id = (await create(shop)).json()["checkout_id"]
    shop.sql("UPDATE checkouts SET buyer_attempt=10")

    answer = await shop.browser.post(
        f"/v1/checkouts/{checkout_id}/pay",
        json={"payment_method": "pm_card_visa"},
        headers=BEARER,
    )
    read = await shop.browser.get(f"/v1/checkouts/{checkout_id}", headers=BEARER)

    assert is_problem(answer, 429)
    assert read.json()["may_pay"] is False


async def test_entitlements_are_listed_by_address(shop: Shop) -> None:
    """An embedder learns what an address may use, whatever its capitals."""
    opened = await shop.open()
    await shop.pay(opened)
    shop.sql("UPDATE checkouts SET stage='charging'")
    shop.charge(opened)

    found = await shop.browser.get(
        "/v1/entitlements?email=Mara@Example.com", headers=BEARER
    )
    none = await shop.browser.get(
        "/v1/entitlements?email=eve@example.com", headers=BEARER
    )

    assert [
        (one["plan"], one["state"], one["starts_at"], one["ends_at"])
        for one in found.json()
    ] == [("one-year", "active", "2026-11-23T14:32:00Z", "2027-11-23T14:32:00Z")]
    assert found.json()[0]["order_reference"].startswith("ORD-")
    assert (none.status_code, none.json()) == (200, [])


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer é",
        API_KEY,
        f"Basic {API_KEY}",
        f"Bearer {API_KEY}x",
        f"Bearer {API_KEY[:-1]}",
    ],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/checkouts"),
        ("GET", f"/v1/checkouts/{uuid4()}"),
        ("GET", f"/v1/checkouts/{uuid4()}?wait_seconds=9&unless_version=1"),
        ("GET", f"/v1/checkouts/{uuid4()}/events"),
        ("POST", f"/v1/checkouts/{uuid4()}/pay"),
        ("GET", "/v1/entitlements?email=mara@example.com"),
        ("POST", "/v1/mail"),
    ],
    ids=["open", "read", "wait", "follow", "pay", "entitlements", "mail"],
)
async def test_without_a_key_of_ours_nothing_opens(
    shop: Shop, method: str, path: str, header: str | None
) -> None:
    """Every route wants a whole, right key, and says how to send it."""
    headers = [] if header is None else [(b"authorization", header.encode())]

    answer = await shop.browser.request(
        method,
        path,
        headers=headers,
        json={} if method == "POST" else None,
    )

    assert is_problem(answer, 401)
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_without_keys_set_nobody_gets_in(make_shop: MakeShop) -> None:
    """An installation without API keys has no open `/v1`."""
    shop = make_shop(api_keys=[])

    for header in ("Bearer ", "Bearer x", f"Bearer {API_KEY}"):
        answer = await shop.browser.get(
            f"/v1/checkouts/{uuid4()}", headers={"authorization": header}
        )
        assert answer.status_code == 401


BAD_BODIES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "no email": {"plan": "one-year"},
    "unknown plan": BODY | {"plan": "for-free"},
    "tampered amount": BODY | {"amount_minor": 1},
    "tampered currency": BODY | {"currency": "jpy"},
    "tampered state": BODY | {"money_state": "CHARGED"},
    "role": BODY | {"role": "admin"},
    "card": BODY | {"number": PAN, "cvc": "123"},
    "number for a plan": BODY | {"plan": 1},
    "list for an address": BODY | {"email": ["a@example.com"]},
    "broken address": BODY | {"email": "mara"},
    "line break": BODY | {"email": "mara@example.com\nBcc: eve@example.com"},
    "NUL": BODY | {"email": "a\x00@example.com"},
    "lone surrogate": BODY | {"email": "\ud800@example.com"},
}


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES.keys())
async def test_a_body_that_is_not_as_described_is_refused(
    shop: Shop, body: dict[str, Any]
) -> None:
    """Types are strict, extra fields forbidden, and values are not echoed."""
    answer = await create(shop, body=body or {"": 1})

    assert is_problem(answer, 422)
    assert PAN not in answer.text
    assert shop.sql("SELECT count(*) FROM checkouts") == [(0,)]


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/plain", b'{"plan":"one-year","email":"mara@example.com"}'),
        ("application/x-www-form-urlencoded", b"plan=one-year&email=a@example.com"),
        ("application/json", b"{"),
        ("application/json", b"[]"),
        ("application/json", b"\xff"),
        ("application/json", b"[" * 30_000),
    ],
)
async def test_only_json_is_read(shop: Shop, content_type: str, body: bytes) -> None:
    """Another content type or broken JSON is refused, never guessed at."""
    answer = await shop.browser.post(
        "/v1/checkouts",
        content=body,
        headers=BEARER | {"idempotency-key": "k", "content-type": content_type},
    )

    assert answer.status_code in {400, 422}
    assert is_problem(answer, answer.status_code)


@pytest.mark.parametrize("key", [None, "", "x" * 256, "a b", "ключ"])
async def test_an_idempotency_key_is_wanted(shop: Shop, key: str | None) -> None:
    """Without a usable key nothing is made: a retry would make a second one."""
    headers = [(b"authorization", BEARER["authorization"].encode())]
    if key is not None:
        headers.append((b"idempotency-key", key.encode()))

    answer = await shop.browser.post("/v1/checkouts", json=BODY, headers=headers)

    assert is_problem(answer, 422)


@pytest.mark.parametrize(
    ("checkout_id", "status"),
    [("5d0c1c43-5c43-4b5e-8f0d-6f3f9a1d2c11", 404), ("1", 422), ("%00", 422)],
)
async def test_an_unknown_checkout_is_a_clear_problem(
    shop: Shop, checkout_id: str, status: int
) -> None:
    """No id of nothing brings a stack trace or a hint."""
    answer = await shop.browser.get(f"/v1/checkouts/{checkout_id}", headers=BEARER)

    assert is_problem(answer, status)


async def test_paying_nothing_is_a_clear_problem(shop: Shop) -> None:
    """A pay for an unknown checkout asks nobody."""
    answer = await shop.browser.post(
        f"/v1/checkouts/{uuid4()}/pay",
        json={"payment_method": "pm_card_visa"},
        headers=BEARER,
    )

    assert is_problem(answer, 404)
    assert shop.door.paid == []


@pytest.mark.parametrize(
    "body",
    [
        {"payment_method": PAN},
        {"payment_method": "pm_card_visa", "amount": 1},
        {"payment_method": "pm_card_visa\n"},
        {"payment_method": "pm_" + "x" * 201},
        {"payment_method": None},
    ],
)
async def test_only_a_payment_methods_name_pays(
    shop: Shop, body: dict[str, Any]
) -> None:
    """Card numbers, amounts and anything else are refused before the row is asked."""
    checkout_id = (await create(shop)).json()["checkout_id"]

    answer = await shop.browser.post(
        f"/v1/checkouts/{checkout_id}/pay", json=body, headers=BEARER
    )

    assert is_problem(answer, 422)
    assert PAN not in answer.text
    assert shop.door.paid == []


async def test_the_description_is_complete_and_true(shop: Shop) -> None:
    """Every `/v1` route is described with its errors, its key and its models."""
    schema = (await shop.browser.get("/v1/openapi.json")).json()

    described = {
        (method.upper(), path)
        for path, operations in schema["paths"].items()
        for method in operations
    }
    assert described == {
        ("POST", "/v1/checkouts"),
        ("GET", "/v1/checkouts/{checkout_id}"),
        ("GET", "/v1/checkouts/{checkout_id}/events"),
        ("POST", "/v1/checkouts/{checkout_id}/pay"),
        ("GET", "/v1/entitlements"),
        ("POST", "/v1/mail"),
        ("POST", "/v1/reconciliations"),
        ("GET", "/v1/reconciliations/{run_id}"),
    }
    for path, operations in schema["paths"].items():
        for operation in operations.values():
            assert operation["security"] == [{"ApiKey": []}]
            assert {"401", "422", "500", "503"} <= set(operation["responses"])
            for status, response in operation["responses"].items():
                kind = "application/json"
                if int(status) >= 400:
                    kind = "application/problem+json"
                elif path.endswith("/events"):
                    kind = "text/event-stream"
                if status == "204":
                    assert "content" not in response
                    continue
                assert list(response["content"]) == [kind]
                assert response["content"][kind]["schema"]
    assert schema["components"]["securitySchemes"]["ApiKey"]["scheme"] == "bearer"
    checkout = schema["components"]["schemas"]["CheckoutResource"]
    assert set(checkout["required"]) == set((await create(shop)).json())


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json", "/metrics"])
async def test_nothing_for_developers_stands_open(shop: Shop, path: str) -> None:
    """No try-it-out page and no metrics on the customers' port."""
    assert (await shop.browser.get(path)).status_code == 404
