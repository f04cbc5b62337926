"""What strangers try: forged forms, foreign objects, extra fields, odd bytes."""

from __future__ import annotations

import io
import itertools
import math
import re
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy.exc import IntegrityError
from starlette.requests import Request

from api import problems
from api.limits import TooOften, Window, caller_of
from api.security import ForeignForm
from tests.api.conftest import MakeShop
from tests.api.doubles import (
    BEARER,
    PAN,
    PUBLIC_URL,
    FakeDoor,
    Opened,
    Shop,
    all_routes,
    text_of,
)
from workflows.door import CheckoutDoor

TOKEN = "A" * 43
SECRET = "the-canary-of-this-test"

#: Who may use a route. A new route is refused by these tests until it stands here.
#: `public`: shows nothing of anybody. `checkout`: whoever holds the address.
#: `customer`: shows the session's own. `link`: the asking browser with its link.
#: `key`: an API key. `signature`: the processor. `staff`: the console, whose own matrix
#: of roles is in `test_console_roles.py`.
ACCESS = {
    ("GET", "/"): "public",
    ("POST", "/checkouts"): "public",
    ("GET", "/c/{token}"): "checkout",
    ("GET", "/c/{token}/status"): "checkout",
    ("POST", "/c/{token}/pay"): "checkout",
    ("GET", "/c/{token}/pay"): "checkout",
    ("GET", "/c/{token}/return"): "checkout",
    ("POST", "/c/{token}/check"): "checkout",
    ("POST", "/c/{token}/another"): "checkout",
    ("POST", "/c/{token}/message"): "checkout",
    ("GET", "/c/{token}/message"): "checkout",
    ("GET", "/account"): "customer",
    ("POST", "/account/sign-in"): "public",
    ("GET", "/account/sign-in/{token}"): "link",
    ("POST", "/account/sign-in/{token}"): "link",
    ("POST", "/account/sign-out"): "customer",
    ("POST", "/webhooks/stripe"): "signature",
    ("POST", "/v1/checkouts"): "key",
    ("POST", "/v1/checkouts/{checkout_id}/pay"): "key",
    ("GET", "/v1/checkouts/{checkout_id}"): "key",
    ("GET", "/v1/checkouts/{checkout_id}/events"): "key",
    ("GET", "/v1/entitlements"): "key",
    ("POST", "/v1/mail"): "key",
    ("POST", "/v1/reconciliations"): "key",
    ("GET", "/v1/reconciliations/{run_id}"): "key",
    ("GET", "/healthz"): "public",
    ("GET", "/readyz"): "public",
    ("GET", "/static/{name}"): "public",
    ("GET", "/support"): "staff",
    ("GET", "/support/sign-in"): "staff",
    ("POST", "/support/sign-in"): "staff",
    ("GET", "/support/setup/{token}"): "staff",
    ("POST", "/support/setup/{token}"): "staff",
    ("POST", "/support/sign-out"): "staff",
    ("GET", "/support/search"): "staff",
    ("GET", "/support/audit"): "staff",
    ("GET", "/support/cases/{case_id}"): "staff",
    ("GET", "/support/checkouts/{checkout_id}"): "staff",
    ("GET", "/support/payments"): "staff",
    ("GET", "/support/batch"): "staff",
    ("POST", "/support/batch"): "staff",
    ("GET", "/support/reconciliation"): "staff",
    ("POST", "/support/reconciliation/run"): "staff",
    ("POST", "/support/reconciliation/hold"): "staff",
    ("POST", "/support/reconciliation/release"): "staff",
    ("POST", "/support/reconciliation/let-mail-go"): "staff",
    ("POST", "/support/pause"): "staff",
    ("POST", "/support/resume"): "staff",
    ("POST", "/support/cases/{case_id}/claim"): "staff",
    ("POST", "/support/cases/{case_id}/release"): "staff",
    ("POST", "/support/cases/{case_id}/hand-over"): "staff",
    ("POST", "/support/cases/{case_id}/notes"): "staff",
    ("POST", "/support/cases/{case_id}/hold"): "staff",
    ("POST", "/support/cases/{case_id}/close"): "staff",
    ("POST", "/support/checkouts/{checkout_id}/case"): "staff",
    ("POST", "/support/payments/case"): "staff",
    ("POST", "/support/checkouts/{checkout_id}/repair"): "staff",
    ("GET", "/support/checkouts/{checkout_id}/reply"): "staff",
    ("POST", "/support/checkouts/{checkout_id}/reply"): "staff",
    ("POST", "/support/checkouts/{checkout_id}/refund"): "staff",
    ("POST", "/support/checkouts/{checkout_id}/refund/take-back"): "staff",
    ("POST", "/support/checkouts/{checkout_id}/days"): "staff",
    ("POST", "/support/checkouts/{checkout_id}/address"): "staff",
}

FORMS = {
    "/checkouts": {"plan": "one-year", "email": "mara@example.com"},
    "/c/{token}/pay": {"payment_method": "pm_card_visa"},
    "/c/{token}/message": {"text": "I paid and see nothing."},
    "/account/sign-in": {"email": "mara@example.com"},
}

HTML_POSTS = [
    path
    for (method, path), who in ACCESS.items()
    if method == "POST" and who not in {"key", "signature"}
]


def routes() -> set[tuple[str, str]]:
    """Return every method and path that is served, but for HEAD."""
    return {
        (method, route.path)
        for route in all_routes()
        for method in (route.methods or set()) - {"HEAD"}
    }


def fill(path: str, token: str = TOKEN, checkout_id: Any = None) -> str:
    """Return an address for a route's template."""
    return path.format(
        token=token,
        name="style.css",
        checkout_id=checkout_id or uuid4(),
        case_id=uuid4(),
        run_id=uuid4(),
    )


async def send(
    browser: httpx.AsyncClient, method: str, path: str, **more: Any
) -> httpx.Response:
    """Send what the page or program would, without any proof of where from."""
    request = browser.build_request(method, fill(path), data=FORMS.get(path), **more)
    del request.headers["sec-fetch-site"]
    return await browser.send(request)


def test_every_route_says_who_may_use_it(shop: Shop) -> None:
    """Deny by default: a route that is not in the table fails here."""
    assert routes() == set(ACCESS)
    direct = {getattr(route, "path", None) for route in shop.app.routes}
    assert direct <= {None, "/v1/openapi.json"}


# Forged forms


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "https://evil.example"},
        {"origin": "http://shop.example"},
        {"origin": f"{PUBLIC_URL}.evil.example"},
        {"origin": f"{PUBLIC_URL}@evil.example"},
        {"origin": f"{PUBLIC_URL}:444"},
        {"referer": "https://evil.example/https://shop.example/"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site", "origin": PUBLIC_URL},
        {"sec-fetch-site": "", "origin": PUBLIC_URL},
        {"sec-fetch-site": "cross-site", "origin": "null"},
    ],
    ids=str,
)
async def test_a_form_from_elsewhere_does_nothing(
    shop: Shop, headers: dict[str, str]
) -> None:
    """On no route can a page that is not ours make a browser act."""
    before = shop.fingerprint()

    for path in HTML_POSTS:
        request = shop.browser.build_request("POST", fill(path), data=FORMS.get(path))
        del request.headers["sec-fetch-site"]
        request.headers.update(headers)
        answer = await shop.browser.send(request)

        assert answer.status_code == 403, path
        assert "did not come from our own page" in text_of(answer.text)

    assert shop.fingerprint() == before


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1/nowhere"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_a_program_at_no_address_of_v1_is_told_so(
    shop: Shop, method: str, path: str
) -> None:
    """With and without the slash: a problem saying what to do, never our fault."""
    for headers in ({}, {"sec-fetch-site": "cross-site"}, {"origin": "https://a.test"}):
        request = shop.browser.build_request(method, path)
        del request.headers["sec-fetch-site"]
        request.headers.update(headers)
        answer = await shop.browser.send(request)

        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"
        assert "openapi.json" in answer.json()["detail"]


def test_a_foreign_form_is_a_problem_too() -> None:
    """Should one ever reach `/v1`, its sender is told; it is not our fault."""
    answer = problems.answer(ForeignForm(), "0123")

    assert answer.status_code == 403
    assert b"from our own pages alone; nothing was passed on" in answer.body


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none"},
        {"origin": PUBLIC_URL},
        {"origin": PUBLIC_URL.upper().replace("HTTPS", "https")},
        {"referer": f"{PUBLIC_URL}/"},
    ],
    ids=str,
)
async def test_our_own_pages_may_send_their_forms(
    shop: Shop, headers: dict[str, str]
) -> None:
    """New and old browsers get through from our own pages."""
    answer = await send(shop.browser, "POST", "/checkouts", headers=headers)
    if "sec-fetch-site" in headers:  # `send` takes that one away.
        request = shop.browser.build_request(
            "POST", "/checkouts", data=FORMS["/checkouts"], headers=headers
        )
        answer = await shop.browser.send(request)

    assert answer.status_code == 303


async def test_an_old_browser_can_pay_from_a_page_without_referrer(
    shop: Shop,
) -> None:
    """`Origin: null` counts where the address is a secret, and nowhere else."""
    opened = await shop.open()
    null = {"origin": "null"}

    elsewhere = await send(shop.browser, "POST", "/checkouts", headers=null)
    request = shop.browser.build_request(
        "POST",
        f"{opened.path}/pay",
        data={"payment_method": "pm_card_visa"},
        headers=null,
    )
    del request.headers["sec-fetch-site"]
    paid = await shop.browser.send(request)

    assert (elsewhere.status_code, paid.status_code) == (403, 303)


@pytest.mark.parametrize(
    ("method", "path"), [pair for pair in ACCESS if pair[0] == "GET"]
)
async def test_reading_changes_nothing(shop: Shop, method: str, path: str) -> None:
    """Every GET and HEAD, twice, leaves every row of every table as it was."""
    opened = await shop.open()
    await shop.pay(opened)
    token = opened.path.removeprefix("/c/")
    # As in a shutdown, so that a stream ends after its first event.
    shop.parts.followers.close()
    before = shop.fingerprint()

    for verb in (method, method, "HEAD"):
        await shop.browser.request(
            verb, fill(path, token, opened.checkout_id), headers=BEARER
        )
    await shop.settle()

    assert shop.fingerprint() == before
    assert len(shop.door.paid) == 1


# Foreign objects


@pytest.fixture
async def two_customers(shop: Shop) -> tuple[Opened, Opened]:
    """Mara and Eve, both with a paid order; Eve is signed in."""
    bought = []
    for email in ("mara@example.com", "eve@example.com"):
        opened = await shop.open(email)
        await shop.pay(opened)
        shop.sql("UPDATE checkouts SET stage='charging' WHERE stage='requested'")
        shop.charge(opened)
        bought.append(opened)
    await shop.browser.get("/account")
    await shop.browser.post("/account/sign-in", data={"email": "eve@example.com"})
    await shop.settle()
    await shop.browser.post(shop.mailer.sent[-1][1])
    return bought[0], bought[1]


@pytest.mark.parametrize("who", ["stranger", "eve", "eve with a wrong key"])
async def test_nobody_reaches_what_is_maras(
    shop: Shop, two_customers: tuple[Opened, Opened], who: str
) -> None:
    """On every route, no one without Mara's address or a key sees or changes hers."""
    mara, eve = two_customers
    code = shop.sql("SELECT reference_code FROM checkouts WHERE email LIKE %s", "mara%")
    browser = shop.new_browser() if who == "stranger" else shop.browser
    headers = {"authorization": "Bearer wrong"} if "key" in who else {}
    tokens = [TOKEN] if who == "stranger" else [TOKEN, eve.path.removeprefix("/c/")]
    maras = "SELECT c.*, o.*, e.* FROM checkouts c, orders o, entitlements e WHERE"
    maras += " c.email='mara@example.com' AND o.checkout_id=c.checkout_id"
    maras += " AND e.order_id=o.order_id"
    before = shop.sql(maras)

    # Signing out comes last: Eve must still be Eve everywhere else.
    for method, path in sorted(ACCESS, key=lambda pair: pair[1].endswith("sign-out")):
        for token in tokens:
            answer = await browser.request(
                method,
                fill(path, token, mara.checkout_id),
                params={"email": "mara@example.com"} if "entitle" in path else None,
                data=FORMS.get(path) if method == "POST" else None,
                headers=headers,
            )
            assert code[0][0] not in answer.text, path
            assert str(mara.checkout_id) not in answer.text, path
            if ACCESS[method, path] == "key":
                assert answer.status_code == 401, path
    await shop.settle()

    assert shop.sql(maras) == before


async def test_every_order_of_calls_keeps_the_truth(shop: Shop) -> None:
    """No order of the buyer's own requests skips the payment or asks for it twice."""
    steps = ("look", "pay", "check", "return", "reload")
    for number, order in enumerate(itertools.permutations(steps, 4)):
        opened = await shop.open(f"mara{number}@example.com")
        for step in order:
            if step == "pay":
                await shop.pay(opened)
            elif step == "check":
                await shop.browser.post(f"{opened.path}/check")
            else:
                suffix = {"look": "", "return": "/return", "reload": "/pay"}[step]
                await shop.browser.get(f"{opened.path}{suffix}")
        row = shop.sql(
            "SELECT money_state, access_state, buyer_attempt FROM checkouts"
            " WHERE checkout_id=%s",
            opened.checkout_id,
        )[0]
        asked = "pay" in order
        assert row == ("UNKNOWN" if asked else "NOT_CHARGED", "NONE", int(asked))
    counts = Counter(request.checkout_id for request in shop.door.paid)
    assert set(counts.values()) == {1}


# Extra fields and card data


@pytest.mark.parametrize(
    "extra",
    [
        {"amount": "1"},
        {"amount_minor": "0"},
        {"price": "-1"},
        {"currency": "jpy"},
        {"quantity": "-1"},
        {"status": "paid"},
        {"money_state": "CHARGED"},
        {"role": "admin"},
        {"number": PAN, "cvc": "123", "exp_month": "12"},
        {"card[number]": PAN},
        {"return_url": "//evil.example"},
    ],
    ids=str,
)
async def test_extra_fields_are_refused_and_not_logged(
    shop: Shop, extra: dict[str, str], log_lines: io.StringIO
) -> None:
    """No form takes a price, a state or a card; what was tried leaves no trace."""
    opened = await shop.open()
    token = opened.path.removeprefix("/c/")
    before = shop.fingerprint()

    for path, form in FORMS.items():
        answer = await shop.browser.post(fill(path, token), data=form | extra)

        assert answer.status_code == 422, path
        for value in (PAN, "evil"):
            assert value not in answer.text + log_lines.getvalue()

    assert shop.fingerprint() == before
    assert shop.door.paid == []


@pytest.mark.parametrize(
    "method",
    [
        PAN,
        "",
        "pm_",
        "card_1",
        "pm_card visa",
        "pm_card_visa\n",
        "pm_" + "x" * 201,
        "pm_é",
        "pm_card_visa'--",
        "tok_visa",
        "ctoken_",
        "ctoken_1NnQUf2eZvKYlo2CIObdtbnb",
        "pm_1NnQUf2eZvKYlo2CIObdtbnb",
        "pm_card_visa_",
        "pm_card_VISA",
    ],
)
async def test_only_a_payment_methods_name_is_taken(
    shop: Shop, method: str, log_lines: io.StringIO
) -> None:
    """A card number, or a card of somebody else's making, reaches nothing of ours."""
    opened = await shop.open()

    answer = await shop.pay(opened, method)

    assert answer.status_code == 422
    assert "We did not accept this form." in text_of(answer.text)
    assert f'href="{opened.path}"' in answer.text
    assert shop.sql("SELECT count(*) FROM payment_attempts") == [(0,)]
    assert PAN not in answer.text + log_lines.getvalue()


@pytest.mark.parametrize(
    ("method", "status"),
    [("ctoken_123", 303), ("pm_123", 422), ("pm_card_visa", 422), ("ctoken_", 422)],
)
async def test_with_stripes_form_only_its_own_tokens_are_taken(
    make_shop: MakeShop, method: str, status: int
) -> None:
    """Strangers cannot try out payment methods that Stripe.js did not just make."""
    shop = make_shop(stripe_publishable_key="pk_test_123")
    opened = await shop.open()

    answer = await shop.pay(opened, method)

    assert answer.status_code == status
    assert len(shop.door.paid) == (1 if status == 303 else 0)


async def test_a_program_with_a_key_may_pay_by_any_method(shop: Shop) -> None:
    """What an embedder saved at the processor is theirs to use."""
    opened = await shop.open()

    answer = await shop.browser.post(
        f"/v1/checkouts/{opened.checkout_id}/pay",
        json={"payment_method": "pm_1NnQUf2eZvKYlo2CIObdtbnb"},
        headers=BEARER,
    )

    assert answer.status_code == 202


def test_no_route_knows_a_cards_fields() -> None:
    """Neither forms nor models nor templates have a place for card data."""
    for route in all_routes():
        body = route.body_field
        if body is not None:
            schema = body.field_info.annotation
            assert schema is not None
            fields = set(getattr(schema, "model_fields", {}))
            assert not fields & {"number", "cvc", "cvv", "exp", "exp_month", "card"}


# Errors


@pytest.mark.parametrize(
    "error",
    [
        ValueError(SECRET),
        KeyError(SECRET),
        RuntimeError(f"postgresql://user:{SECRET}@host/db"),
        IntegrityError(f"INSERT {SECRET}", {}, Exception(SECRET)),
        RecursionError(SECRET),
        MemoryError(SECRET),
        AssertionError(SECRET),
        ExceptionGroup("g", [ValueError(SECRET)]),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_an_unexpected_error_shows_nothing_of_itself(
    shop: Shop, error: Exception, log_lines: io.StringIO
) -> None:
    """Buyers see what their row says, programs a problem; both get an id to quote."""
    opened = await shop.open()
    shop.door.error = error

    page = await shop.pay(opened)
    created = await shop.browser.post(
        "/v1/checkouts",
        json={"plan": "one-year", "email": "mara@example.com"},
        headers=BEARER | {"idempotency-key": "k"},
    )
    problem = await shop.browser.post(
        f"/v1/checkouts/{created.json()['checkout_id']}/pay",
        json={"payment_method": "pm_card_visa"},
        headers=BEARER,
    )

    assert (page.status_code, problem.status_code) == (500, 500)
    said = text_of(page.text).replace("&#39;", "'")
    assert "We are confirming your $249.00 with your bank." in said
    assert "not been charged" not in said
    assert f'href="{opened.path}"' in page.text
    assert problem.json()["request_id"] == problem.headers["x-request-id"]
    for answer in (page, problem):
        assert answer.headers["x-request-id"] in answer.text
        assert answer.headers["x-request-id"] in log_lines.getvalue()
        for inside in (SECRET, "Traceback", ".py", type(error).__name__, "SELECT"):
            assert inside not in answer.text


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/", "No payment was started here."),
        ("/account", "We could not show this page."),
    ],
)
async def test_an_error_elsewhere_says_what_is_true_there(
    shop: Shop, path: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no payment starts the page says so; of money it claims nothing."""

    def fail(*_: object, **__: object) -> None:
        raise ValueError(SECRET)

    monkeypatch.setattr(type(shop.parts.pages), "shop", fail)
    monkeypatch.setattr(type(shop.parts.pages), "sign_in", fail)

    answer = await shop.browser.get(path)

    assert answer.status_code == 500
    assert words in text_of(answer.text)
    assert SECRET not in answer.text


async def test_even_a_broken_error_page_is_answered(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When no template can be rendered, a bare page still says what is true."""

    def fail(*_: object, **__: object) -> None:
        raise ValueError(SECRET)

    monkeypatch.setattr(type(shop.parts.pages), "_render", fail)

    answer = await shop.browser.get("/")

    assert answer.status_code == 500
    assert "Please don't pay again yet." in answer.text
    assert SECRET not in answer.text
    assert answer.headers["content-security-policy"]


async def test_logs_hold_neither_addresses_nor_tokens(
    shop: Shop, log_lines: io.StringIO
) -> None:
    """A whole purchase and sign-in leave ids in the log, and nothing personal."""
    opened = await shop.open()
    await shop.pay(opened)
    await shop.browser.get(f"{opened.path}/return?secret={SECRET}")
    shop.sql("UPDATE checkouts SET stage='charging'")
    shop.charge(opened)
    await shop.browser.get("/account")
    await shop.browser.post("/account/sign-in", data={"email": "mara@example.com"})
    await shop.settle()
    link = shop.mailer.sent[0][1]
    await shop.browser.post(link)
    await shop.browser.get("/account")
    await shop.browser.get(f"/nowhere/{SECRET}")

    lines = log_lines.getvalue()
    assert str(opened.checkout_id) in lines
    assert '"route": "/c/{token}/pay"' in lines
    assert '"route": "(no route)"' in lines
    tokens = [opened.path[3:], link.rsplit("/", 1)[1], *shop.browser.cookies.values()]
    for secret in ("mara", SECRET, *tokens):
        assert secret not in lines


# Headers


def answers_of_every_kind() -> list[tuple[str, str, int]]:
    """Return requests that bring every kind of answer."""
    return [
        ("GET", "/", 200),
        ("GET", f"/c/{TOKEN}", 404),
        ("GET", f"/c/{TOKEN}/pay", 303),
        ("POST", f"/c/{TOKEN}/pay", 404),
        ("GET", "/account", 200),
        ("GET", f"/account/sign-in/{TOKEN}", 200),
        ("GET", "/account/sign-in/x", 403),
        ("POST", "/checkouts", 422),
        ("PUT", "/checkouts", 405),
        ("GET", "/nowhere", 404),
        ("POST", "/webhooks/stripe", 400),
        ("GET", "/v1/entitlements", 401),
        ("GET", "/v1/nowhere", 404),
        ("GET", "/v1/openapi.json", 200),
        ("GET", "/healthz", 200),
        ("GET", "/readyz", 200),
        ("GET", "/static/style.css", 200),
        ("GET", "/static/..%2fapp.py", 404),
    ]


@pytest.mark.parametrize(("method", "path", "status"), answers_of_every_kind())
async def test_every_answer_carries_the_headers(
    shop: Shop, method: str, path: str, status: int
) -> None:
    """Pages, errors, redirects, JSON and files: all say what a browser may do."""
    form = {"payment_method": "pm_card_visa"} if path.endswith("/pay") else None

    answer = await shop.browser.request(
        method, path, data=form if method == "POST" else None
    )

    headers = answer.headers
    assert answer.status_code == status
    policy = headers["content-security-policy"]
    for rule in (
        "default-src 'none'",
        "script-src 'self';",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "object-src 'none'",
        "form-action 'self'",
    ):
        assert rule in policy
    assert "unsafe" not in policy
    assert headers["strict-transport-security"].startswith("max-age=31536000; incl")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert "camera=()" in headers["permissions-policy"]
    secret = path.startswith(("/c/", "/account/sign-in/"))
    assert headers["referrer-policy"] == ("no-referrer" if secret else "same-origin")
    is_file = path.startswith("/static/style")
    assert ("no-store" in headers["cache-control"]) is not is_file
    assert re.fullmatch(r"[0-9a-f]{16}", headers["x-request-id"])
    assert "server" not in headers


async def test_an_error_carries_the_headers_too(shop: Shop) -> None:
    """500 and 503 are no exception."""
    opened = await shop.open()
    shop.door.error = ValueError()

    answer = await shop.pay(opened)

    assert answer.status_code == 500
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"


async def test_without_https_nobody_is_told_to_use_it(make_shop: MakeShop) -> None:
    """On a developer's plain address, HSTS would lock the browser out."""
    shop = make_shop(public_url="http://127.0.0.1:8000")

    answer = await shop.browser.get("/")

    assert "strict-transport-security" not in answer.headers


async def test_pages_bring_no_inline_script_or_style(shop: Shop) -> None:
    """The content policy holds because nothing on our pages needs an exception."""
    opened = await shop.open()
    for path in ("/", opened.path, "/account", "/nowhere"):
        html = (await shop.browser.get(path)).text
        assert not re.search(r"<script(?![^>]*\bsrc=)", html)
        assert not re.search(r"<style|\sstyle=|\son\w+=", html)
        for source in re.findall(r'(?:src|href)="([^"]+)"', html):
            assert source.startswith(("/", "#", "mailto:"))
            assert not source.startswith("//")


# Limits


@pytest.mark.parametrize(
    ("path", "most"),
    [
        ("/checkouts", 5),
        ("/c/{token}/pay", 5),
        ("/c/{token}/check", 5),
        ("/c/{token}/message", 5),
    ],
)
async def test_floods_are_stopped_with_a_clear_page(
    make_shop: MakeShop, path: str, most: int
) -> None:
    """After so many a minute: 429, when to come back, and nothing passed on."""
    shop = make_shop(rate_limit_per_minute=most)
    opened = await shop.open() if "token" in path else None
    token = opened.path.removeprefix("/c/") if opened else TOKEN

    codes = [
        (
            await shop.browser.post(
                fill(path, token),
                data=FORMS.get(path),
                # Only uvicorn may believe this, and only from a trusted proxy.
                headers={"x-forwarded-for": f"203.0.113.{number}"},
            )
        )
        for number in range(most + 2)
    ]

    assert [c.status_code for c in codes] == [303] * most + [429] * 2
    assert 0 < int(codes[-1].headers["retry-after"]) <= 60
    assert "not passed on" in text_of(codes[-1].text)
    assert (await shop.browser.get("/")).status_code == 200


def test_a_window_moves() -> None:
    """A place in the window is free again exactly when its pass has grown old."""
    now = [0.0]
    window = Window(2, timedelta(seconds=10), clock=lambda: now[0])
    window.enter("a")
    now[0] = 4
    window.enter("a")
    window.enter("b")
    now[0] = 9.5
    with pytest.raises(TooOften) as refused:
        window.enter("a")
    assert refused.value.retry_after_seconds == 1
    now[0] = 10
    window.enter("a")
    with pytest.raises(TooOften) as refused:
        window.enter("a")
    assert refused.value.retry_after_seconds == 4


def test_a_window_forgets_before_it_fills_the_memory() -> None:
    """A stranger with endless addresses costs a bounded amount of memory."""
    window = Window(1, timedelta(seconds=10))
    for number in range(60_000):
        window.enter(str(number))
    assert len(window._passes) == 50_000
    with pytest.raises(TooOften):
        window.enter("59999")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("testclient", "testclient"),
    ],
)
def test_callers_are_told_apart_by_what_they_cannot_change(
    host: str, expected: str
) -> None:
    """An IPv6 customer cannot rotate through their own network."""
    scope = {"type": "http", "client": (host, 1), "headers": []}
    assert caller_of(Request(scope)) == expected


# Methods, types, sizes, hosts, ids


@pytest.mark.parametrize("method", ["TRACE", "PUT", "DELETE", "PATCH", "BREW"])
async def test_other_methods_are_refused(shop: Shop, method: str) -> None:
    """What no route offers is 405, with what it offers; nothing is reflected."""
    for path in sorted({path for _, path in ACCESS}):
        answer = await shop.browser.request(
            method, fill(path), headers={"x-canary": SECRET}
        )

        assert answer.status_code == 405, path
        assert answer.headers["allow"], path
        assert SECRET not in answer.text


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/plain", b"plan=one-year&email=mara@example.com"),
        ("application/json", b'{"plan":"one-year","email":"mara@example.com"}'),
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=x", b"--x\r\nbroken"),
        ("application/x-www-form-urlencoded", b"\xff=%ff&%00=%00&email=%ff"),
        ("application/x-www-form-urlencoded", b"email=a&email=b&plan[]=one-year"),
    ],
)
async def test_only_forms_are_read(shop: Shop, content_type: str, body: bytes) -> None:
    """Another content type or broken bytes bring a clear page, never a stack trace."""
    opened = await shop.open()
    before = shop.fingerprint()

    for path in FORMS:
        answer = await shop.browser.post(
            fill(path, opened.path.removeprefix("/c/")),
            content=body,
            headers={"content-type": content_type},
        )

        assert answer.status_code in {400, 422}, path
        assert "<h1" in answer.text

    assert shop.fingerprint() == before


@pytest.mark.parametrize("is_said", [True, False])
@pytest.mark.parametrize("path", [*HTML_POSTS, "/v1/checkouts"])
async def test_long_bodies_are_not_read(shop: Shop, path: str, is_said: bool) -> None:
    """A megabyte is refused, whether its length was announced or not."""
    opened = await shop.open()
    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1024):
            sent += 1024
            yield b"x" * 1024

    answer = await shop.browser.post(
        fill(path, opened.path.removeprefix("/c/")),
        content=b"x" * 1024 * 1024 if is_said else chunks(),
        headers=BEARER
        | {
            "content-type": "application/json"
            if path.startswith("/v1")
            else "application/x-www-form-urlencoded"
        },
    )

    if path in FORMS or path.startswith("/v1") or is_said:
        assert answer.status_code == 413
    assert shop.door.paid == []


@pytest.mark.parametrize("length", ["-1", "1e3", "9" * 30, "abc", "٣"])
async def test_a_length_that_is_no_number_is_refused(shop: Shop, length: str) -> None:
    """A forged Content-Length is answered, not tripped over."""
    request = shop.browser.build_request("POST", "/checkouts", content=b"x")
    request.headers["content-length"] = length.encode().decode("latin-1")

    assert (await shop.browser.send(request)).status_code == 413


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:443", "shop.example@evil.example", ""]
)
async def test_a_forged_host_leads_nowhere(shop: Shop, host: str) -> None:
    """No address that we hand out follows the Host header."""
    headers = {"host": host, "x-forwarded-host": "evil.example"}
    opened = await shop.browser.post(
        "/checkouts", data=FORMS["/checkouts"], headers=headers
    )
    path = opened.headers["location"]
    page = await shop.browser.get(path, headers=headers)
    slash = await shop.browser.get("/account/", headers=headers)
    created = await shop.browser.post(
        "/v1/checkouts",
        json=FORMS["/checkouts"],
        headers=BEARER | headers | {"idempotency-key": "k"},
    )

    assert path.startswith("/c/")
    assert "evil" not in page.text
    assert slash.status_code == 404
    assert created.json()["url"].startswith(f"{PUBLIC_URL}/c/")


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example",
        "https:evil.example",
        "/\\evil.example",
        "https://a@evil.example",
    ],
)
async def test_no_parameter_chooses_where_a_redirect_leads(
    shop: Shop, target: str
) -> None:
    """`next`, `return_url` and the like are not read by any route."""
    opened = await shop.open()
    for path in (f"{opened.path}/return", f"{opened.path}/pay", "/account"):
        answer = await shop.browser.get(
            path, params=dict.fromkeys(("next", "url", "return_url", "r"), target)
        )
        location = answer.headers.get("location", opened.path)
        assert location == opened.path
        assert "evil" not in answer.text


async def test_ids_cannot_be_guessed(shop: Shop) -> None:
    """Addresses hold 256 bits, ids 122 random ones; no code counts upwards."""
    checkouts = [await shop.open(f"mara{n}@example.com") for n in range(50)]

    tokens = {opened.path.removeprefix("/c/") for opened in checkouts}
    in_order = "SELECT reference_code FROM checkouts ORDER BY created_at"
    codes = [code for (code,) in shop.sql(in_order)]
    assert len(tokens) == 50
    assert {opened.checkout_id.version for opened in checkouts} == {4}
    assert len(set(codes)) == 50
    letters = Counter("".join(tokens))
    entropy = -sum(
        count / letters.total() * math.log2(count / letters.total())
        for count in letters.values()
    )
    assert entropy * 43 > 250
    assert codes != sorted(codes)


async def test_a_checkout_is_not_found_by_its_code(shop: Shop) -> None:
    """The reference names a case on the phone; it opens nothing."""
    opened = await shop.open()
    code = shop.sql("SELECT reference_code FROM checkouts")[0][0]
    for path in (f"/c/{code}", f"/c/{opened.checkout_id}"):
        assert (await shop.browser.get(path)).status_code == 404


def test_doubles_keep_the_doors_promise() -> None:
    """The double has every method of the door that the API uses."""
    for name in ("pay", "look_again", "is_running", "request_repair", "is_open"):
        assert callable(getattr(FakeDoor, name))
        assert callable(getattr(CheckoutDoor, name))
