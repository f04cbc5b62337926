"""The account behind a magic link: who gets in, how long, and what strangers learn."""

from __future__ import annotations

import asyncio
import re

import httpx
import pytest

from tests.api.conftest import MakeShop
from tests.api.doubles import PUBLIC_URL, Shop, text_of

BROWSER = "__Host-holdfast-browser"
SESSION = "__Host-holdfast-session"


async def buy(shop: Shop, email: str = "mara@example.com") -> None:
    """Have somebody buy the plan."""
    opened = await shop.open(email)
    await shop.pay(opened)
    shop.sql("UPDATE checkouts SET stage='charging' WHERE stage='requested'")
    shop.charge(opened)


async def ask(
    shop: Shop,
    email: str = "mara@example.com",
    browser: httpx.AsyncClient | None = None,
) -> str:
    """Ask for a link and return its path from the mail."""
    used = browser or shop.browser
    await used.get("/account")
    answer = await used.post("/account/sign-in", data={"email": email})
    assert answer.status_code == 200
    await shop.settle()
    to, link = shop.mailer.sent[-1]
    assert to == email
    assert link.startswith(f"{PUBLIC_URL}/account/sign-in/")
    return link.removeprefix(PUBLIC_URL)


async def test_a_customer_gets_in_and_sees_their_orders(shop: Shop) -> None:
    """Link, button, orders: reference, plan, amount, dates and the way in."""
    await buy(shop)
    link = await ask(shop)

    button = await shop.browser.get(link)
    pressed = await shop.browser.post(link)
    orders = await shop.browser.get("/account")

    assert "Show my orders" in button.text
    assert (pressed.status_code, pressed.headers["location"]) == (303, "/account")
    said = text_of(orders.text)
    for fact in ("ORD-", "Acme one-year plan", "$249.00", "23 Nov 2026, 14:32 UTC"):
        assert fact in said
    assert "23 Nov 2027" in said
    assert 'href="https://app.example/enter">Open Acme</a>' in orders.text


async def test_nobody_sees_what_another_bought(shop: Shop) -> None:
    """An account shows the orders of its own address, and no unpaid checkouts."""
    await buy(shop, "mara@example.com")
    await buy(shop, "eve@example.com")
    await shop.open("mara@example.com")
    await shop.browser.post(await ask(shop, "eve@example.com"))

    orders = await shop.browser.get("/account")

    assert orders.text.count("ORD-") == 1
    assert "mara" not in orders.text
    codes = shop.sql(
        "SELECT reference_code FROM checkouts WHERE email='eve@example.com'"
    )
    assert codes[0][0] in orders.text


async def test_looking_at_the_link_uses_nothing_up(shop: Shop) -> None:
    """Mail scanners may look as often as they like; the button still works."""
    await buy(shop)
    link = await ask(shop)
    scanner = shop.new_browser()
    before = shop.fingerprint()

    looks = [await scanner.get(link) for _ in range(3)]
    unchanged = shop.fingerprint() == before
    pressed = await shop.browser.post(link)

    assert unchanged
    assert {look.headers["referrer-policy"] for look in looks} == {"no-referrer"}
    assert pressed.status_code == 303


async def test_of_two_presses_at_once_one_opens_a_session(shop: Shop) -> None:
    """A link works once, also for two presses in the same moment."""
    await buy(shop)
    link = await ask(shop)

    answers = await asyncio.gather(*(shop.browser.post(link) for _ in range(2)))
    later = await shop.browser.post(link)

    assert sorted(answer.status_code for answer in answers) == [303, 403]
    assert later.status_code == 403
    assert shop.sql("SELECT count(*) FROM account_sessions") == [(1,)]


async def test_another_browser_is_refused_and_told_what_to_do(shop: Shop) -> None:
    """A link that was forwarded or stolen opens nothing, and is not used up by it."""
    await buy(shop)
    link = await ask(shop)
    thief, other = shop.new_browser(), shop.new_browser()
    await other.get("/account")

    answers = [await thief.post(link), await other.post(link)]

    assert {answer.status_code for answer in answers} == {403}
    assert "in the browser that asked for it" in text_of(answers[0].text)
    assert SESSION not in thief.cookies
    assert (await shop.browser.post(link)).status_code == 303


@pytest.mark.parametrize(("age", "status"), [("9 minutes", 303), ("11 minutes", 403)])
async def test_a_link_is_good_for_ten_minutes(
    shop: Shop, age: str, status: int
) -> None:
    """A link in an old mail opens nothing."""
    await buy(shop)
    link = await ask(shop)
    shop.sql(f"UPDATE sign_in_links SET created_at = now() - interval '{age}'")  # noqa: S608  # Constants above.

    assert (await shop.browser.post(link)).status_code == status


@pytest.mark.parametrize("token", ["A" * 43, "x", "%2e%2e", "A" * 44])
async def test_a_made_up_link_opens_nothing(shop: Shop, token: str) -> None:
    """Guessing ends at the same page as everything else."""
    await shop.browser.get("/account")

    answer = await shop.browser.post(f"/account/sign-in/{token}")

    assert answer.status_code == 403


async def test_only_digests_are_kept(shop: Shop) -> None:
    """Whoever reads the database can use neither links nor sessions."""
    await buy(shop)
    link = await ask(shop)
    await shop.browser.post(link)

    kept = repr(
        shop.sql("SELECT * FROM checkouts")
        + shop.sql("SELECT * FROM sign_in_links")
        + shop.sql("SELECT * FROM account_sessions")
    )
    secrets = [link.rsplit("/", 1)[1], *shop.browser.cookies.values()]
    assert len(secrets) == 4
    for secret in secrets:
        assert len(secret) == 43
        assert secret not in kept


async def test_cookies_are_locked_to_this_host(make_shop: MakeShop) -> None:
    """`__Host-`, Secure, HttpOnly and Lax where there is https; plain names without."""
    secure = await make_shop().browser.get("/account")
    plain = await make_shop(public_url="http://127.0.0.1:8000").browser.get("/account")

    cookie = secure.headers["set-cookie"]
    assert cookie.startswith(f"{BROWSER}=")
    for attribute in ("HttpOnly", "Secure", "Path=/", "SameSite=lax"):
        assert attribute in cookie
    assert "Domain" not in cookie
    assert plain.headers["set-cookie"].startswith("holdfast-browser=")
    assert "Secure" not in plain.headers["set-cookie"]


async def test_a_session_planted_before_signing_in_is_worth_nothing(
    shop: Shop,
) -> None:
    """Signing in makes a new session token and ends the one that was there."""
    await buy(shop)
    planted = "P" * 43
    shop.browser.cookies.set(SESSION, planted, domain="shop.example")
    await shop.browser.post(await ask(shop))
    first = shop.browser.cookies[SESSION]
    await shop.browser.post(await ask(shop))
    second = shop.browser.cookies[SESSION]

    assert len({planted, first, second}) == 3
    old = shop.new_browser()
    for dead in (planted, first):
        old.cookies.set(SESSION, dead, domain="shop.example")
        assert "ORD-" not in (await old.get("/account")).text


async def test_signing_out_ends_the_session_everywhere(shop: Shop) -> None:
    """After signing out the old cookie opens nothing."""
    await buy(shop)
    await shop.browser.post(await ask(shop))
    stolen = shop.browser.cookies[SESSION]

    answer = await shop.browser.post("/account/sign-out")

    assert answer.status_code == 303
    assert f"{SESSION}=" in answer.headers["set-cookie"]
    thief = shop.new_browser()
    thief.cookies.set(SESSION, stolen, domain="shop.example")
    assert "ORD-" not in (await thief.get("/account")).text


@pytest.mark.parametrize(
    ("change", "is_in"),
    [
        ("last_seen_at = now() - interval '29 minutes'", True),
        ("last_seen_at = now() - interval '31 minutes'", False),
        ("created_at = now() - interval '11 hours 59 minutes'", True),
        ("created_at = now() - interval '12 hours 1 minute'", False),
        ("ended_at = now()", False),
    ],
)
async def test_sessions_end_by_themselves(shop: Shop, change: str, is_in: bool) -> None:
    """Half an hour idle or twelve hours in all, and the server forgets."""
    await buy(shop)
    await shop.browser.post(await ask(shop))
    shop.sql(f"UPDATE account_sessions SET {change}")  # noqa: S608  # Constants above.

    orders = await shop.browser.get("/account")

    assert ("ORD-" in orders.text) is is_in


async def test_use_keeps_a_session_awake(shop: Shop) -> None:
    """The idle time counts from the last use."""
    await buy(shop)
    await shop.browser.post(await ask(shop))
    for _ in range(3):
        shop.sql("UPDATE account_sessions SET last_seen_at = now() - interval '20 min'")
        assert "ORD-" in (await shop.browser.get("/account")).text

    assert shop.sql(
        "SELECT last_seen_at > now() - interval '1 minute' FROM account_sessions"
    ) == [(True,)]


async def test_strangers_learn_nothing_about_who_is_a_customer(shop: Shop) -> None:
    """Known and unknown addresses get the same status, headers and body."""
    await buy(shop)
    answers = []
    for email in ("mara@example.com", "eve@example.com"):
        answer = await shop.new_browser().post(
            "/account/sign-in", data={"email": email}
        )
        cookie = re.sub(r"=[\w-]{43};", "=X;", answer.headers.pop("set-cookie"))
        del answer.headers["x-request-id"]
        answers.append((answer.status_code, dict(answer.headers), answer.text, cookie))
    await shop.settle()

    assert answers[0] == answers[1]
    assert [to for to, _ in shop.mailer.sent] == ["mara@example.com"]
    assert shop.sql("SELECT count(*) FROM sign_in_links") == [(2,)]


async def test_links_are_limited_by_mailbox_and_by_caller(shop: Shop) -> None:
    """Nobody's mailbox can be flooded, known to us or not, and the page says when."""
    await buy(shop)
    for email in ("mara@example.com", "eve@example.com"):
        codes = [
            (
                await shop.browser.post("/account/sign-in", data={"email": email})
            ).status_code
            for _ in range(5)
        ]
        assert codes == [200] * 4 + [429]
    await shop.settle()
    for number in range(10):
        await shop.browser.post(
            "/account/sign-in", data={"email": f"m{number}@example.com"}
        )
    last = await shop.browser.post("/account/sign-in", data={"email": "z@example.com"})

    assert len(shop.mailer.sent) == 4
    assert last.status_code == 429
    assert int(last.headers["retry-after"]) > 0


async def test_the_link_never_follows_the_host_header(shop: Shop) -> None:
    """A forged Host does not get into a mail."""
    await buy(shop)

    await shop.browser.post(
        "/account/sign-in",
        data={"email": "mara@example.com"},
        headers={"host": "evil.example", "x-forwarded-host": "evil.example"},
    )
    await shop.settle()

    assert shop.mailer.sent[0][1].startswith(f"{PUBLIC_URL}/account/sign-in/")


@pytest.mark.parametrize(
    "email", ["", "mara", "mara@example.com\r\nBcc: e@example.com"]
)
async def test_a_broken_address_is_told(shop: Shop, email: str) -> None:
    """A mistyped address is the only thing that the form complains about."""
    answer = await shop.browser.post("/account/sign-in", data={"email": email})
    await shop.settle()

    assert answer.status_code == 422
    assert shop.mailer.sent == []


async def test_a_mail_server_that_is_down_tells_strangers_nothing(shop: Shop) -> None:
    """The answer does not depend on whether a mail could be sent."""
    await buy(shop)

    async def fail(to: str, link: str) -> None:
        raise ConnectionError(to, link)

    shop.mailer.send_sign_in_link = fail  # type: ignore[method-assign]
    answer = await shop.browser.post(
        "/account/sign-in", data={"email": "mara@example.com"}
    )
    await shop.settle()

    assert answer.status_code == 200
