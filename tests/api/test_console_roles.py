"""The console's matrix: each route against each kind of visitor, deny by default."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi.routing import APIRoute

from api.staff.guard import RULES, console_router
from domain.staff import Role
from tests.api.doubles import Opened, Shop, all_routes, text_of
from tests.api.staffing import Colleague, actions, form_token_of, hire

EVERYBODY = {"anonymous", "mara", "eve", "read", "support", "owner"}
STAFF = {"read", "support", "owner"}
HANDS = {"support", "owner"}

#: Who gets which route. A new route is refused by these tests until it stands here, and
#: by the guard until it says so itself.
MATRIX: dict[tuple[str, str], set[str]] = {
    ("GET", "/support"): STAFF,
    ("GET", "/support/sign-in"): EVERYBODY,
    ("POST", "/support/sign-in"): EVERYBODY,
    ("GET", "/support/setup/{token}"): EVERYBODY,
    ("POST", "/support/setup/{token}"): EVERYBODY,
    ("POST", "/support/sign-out"): STAFF,
    ("GET", "/support/search"): STAFF,
    ("GET", "/support/audit"): {"owner"},
    ("GET", "/support/cases/{case_id}"): STAFF,
    ("GET", "/support/checkouts/{checkout_id}"): STAFF,
    ("GET", "/support/payments"): STAFF,
    ("GET", "/support/batch"): STAFF,
    ("POST", "/support/batch"): HANDS,
    ("GET", "/support/reconciliation"): STAFF,
    ("POST", "/support/reconciliation/run"): HANDS,
    ("POST", "/support/reconciliation/hold"): HANDS,
    ("POST", "/support/reconciliation/release"): HANDS,
    ("POST", "/support/reconciliation/let-mail-go"): HANDS,
    ("POST", "/support/pause"): HANDS,
    ("POST", "/support/resume"): HANDS,
    ("POST", "/support/cases/{case_id}/claim"): HANDS,
    ("POST", "/support/cases/{case_id}/release"): HANDS,
    ("POST", "/support/cases/{case_id}/hand-over"): HANDS,
    ("POST", "/support/cases/{case_id}/notes"): HANDS,
    ("POST", "/support/cases/{case_id}/hold"): HANDS,
    ("POST", "/support/cases/{case_id}/close"): HANDS,
    ("POST", "/support/checkouts/{checkout_id}/case"): HANDS,
    ("POST", "/support/payments/case"): HANDS,
    ("POST", "/support/checkouts/{checkout_id}/repair"): HANDS,
    ("GET", "/support/checkouts/{checkout_id}/reply"): HANDS,
    ("POST", "/support/checkouts/{checkout_id}/reply"): HANDS,
    ("POST", "/support/checkouts/{checkout_id}/refund"): HANDS,
    ("POST", "/support/checkouts/{checkout_id}/refund/take-back"): HANDS,
    ("POST", "/support/checkouts/{checkout_id}/days"): HANDS,
    ("POST", "/support/checkouts/{checkout_id}/address"): HANDS,
}

#: What each form sends besides its token.
FORMS: dict[str, dict[str, str]] = {
    "/support/sign-in": {"name": "nobody", "password": "x", "code": "1"},
    "/support/setup/{token}": {"password": "x", "code": "1"},
    "/support/cases/{case_id}/hand-over": {"to": "nobody"},
    "/support/cases/{case_id}/notes": {"text": "x"},
    "/support/cases/{case_id}/hold": {"seen": "x"},
    "/support/cases/{case_id}/close": {"reason": "x", "seen": "x"},
    "/support/checkouts/{checkout_id}/case": {"reason": "x"},
    "/support/batch": {"cause": "x", "count": "1"},
    "/support/pause": {"reason": "x"},
    "/support/reconciliation/hold": {"reason": "x"},
    "/support/reconciliation/let-mail-go": {"seen": "x"},
    "/support/payments/case": {"payment_intent": "pi_1"},
    "/support/checkouts/{checkout_id}/repair": {"repair_id": str(uuid4())},
    "/support/checkouts/{checkout_id}/reply": {
        "reply_id": str(uuid4()),
        "at": "2026-11-23T14:32:00+00:00",
        "situation": "went-through",
    },
    "/support/checkouts/{checkout_id}/refund": {
        "amount": "1.00",
        "reason": "x",
        "turn": "0",
    },
    "/support/checkouts/{checkout_id}/refund/take-back": {"refund_id": str(uuid4())},
    "/support/checkouts/{checkout_id}/days": {"days": "1", "reason": "x", "turn": "0"},
    "/support/checkouts/{checkout_id}/address": {
        "email": "mara@example.org",
        "verified": "page_link",
        "reason": "x",
        "turn": "0",
    },
}

TOKEN = "A" * 43
NOT_YOURS = "Your account does not go that far."


def console_routes() -> list[APIRoute]:
    """Return every route of the console."""
    return [route for route in all_routes() if route.path.startswith("/support")]


def test_every_route_says_who_gets_it() -> None:
    """Deny by default: no route without a rule, none that the matrix does not have."""
    routes = console_routes()

    assert [route.path for route in routes if route.endpoint not in RULES] == []
    assert {
        (method, route.path)
        for route in routes
        for method in (route.methods or set()) - {"HEAD"}
    } == set(MATRIX)


def test_nothing_of_the_console_is_outside_its_router() -> None:
    """Every route has the guard in front, also one that is declared elsewhere."""
    for route in console_routes():
        names = [
            getattr(one.call, "__name__", "") for one in route.dependant.dependencies
        ]
        assert names[0] == "guard", route.path


async def test_a_route_that_says_nothing_is_for_nobody(shop: Shop) -> None:
    """Even an owner is refused where somebody forgot to say who may."""
    router = console_router()

    @router.get("/forgotten")
    async def forgotten() -> str:
        return "everything"

    shop.app.include_router(router)
    owner = await hire(shop, "olga", Role.OWNER)

    answer = await owner.browser.get("/support/forgotten")

    assert answer.status_code == 403
    assert NOT_YOURS in text_of(answer.text)


@pytest.fixture
async def visitors(shop: Shop) -> dict[str, httpx.AsyncClient]:
    """Everybody there is: without and with a customer's session, and staff."""
    found = {"anonymous": shop.new_browser()}
    for email in ("mara@example.com", "eve@example.com"):
        browser = shop.new_browser()
        shop.browser = browser
        opened = await shop.open(email)
        await _buy(shop, opened)
        await browser.get("/account")
        await browser.post("/account/sign-in", data={"email": email})
        await shop.settle()
        await browser.post(shop.mailer.sent[-1][1])
        found[email.partition("@")[0]] = browser
    for role in Role:
        colleague: Colleague = await hire(shop, f"the-{role}", role)
        found[role.value] = colleague.browser
    return found


async def _buy(shop: Shop, opened: Opened) -> None:
    await shop.pay(opened)
    shop.sql("UPDATE checkouts SET stage='charging' WHERE stage='requested'")
    shop.charge(opened)


async def test_everybody_gets_what_the_matrix_says(
    shop: Shop, visitors: dict[str, httpx.AsyncClient]
) -> None:
    """Each cell: let through, led to the sign-in, or refused with a row of the audit.

    Signing out comes last, because it ends what the others need.
    """
    cells = sorted(MATRIX, key=lambda pair: pair[1].endswith("sign-out"))
    for who, browser in visitors.items():
        for method, path in cells:
            before = len(actions(shop))
            answer = await _ask(browser, method, path)
            cell = f"{who} {method} {path}: {answer.status_code}"
            if who in MATRIX[method, path]:
                assert NOT_YOURS not in answer.text, cell
                assert answer.status_code < 500, cell
                if "sign-out" not in path:
                    assert _leads_to(answer) != "/support/sign-in", cell
            elif who in STAFF:
                assert answer.status_code == 403, cell
                assert NOT_YOURS in answer.text, cell
                refused = actions(shop)[before:]
                assert [row[1:3] for row in refused] == [("refused", "refused")], cell
                assert refused[0][3]["why"] == "role", cell
            else:
                assert answer.status_code == 303, cell
                assert _leads_to(answer) == "/support/sign-in", cell
                assert len(actions(shop)) == before, cell
            assert answer.headers["cache-control"] == "no-store", cell


async def _ask(browser: httpx.AsyncClient, method: str, path: str) -> httpx.Response:
    address = path.format(token=TOKEN, case_id=uuid4(), checkout_id=uuid4())
    if method == "GET":
        return await browser.get(address)
    # Whoever is signed in has a token in every page; others take the sign-in's.
    pages = ("/support", "/support/sign-in")
    tokens = [form_token_of((await browser.get(page)).text) for page in pages]
    is_before = path in {"/support/sign-in", "/support/setup/{token}"}
    data: dict[str, Any] = {"form_token": tokens[1] if is_before else tokens[0]}
    return await browser.post(address, data=data | FORMS.get(path, {}))


def _leads_to(answer: httpx.Response) -> str:
    return str(answer.headers.get("location", "")).partition("?")[0]
