"""Signing in to the console: who gets in, for how long, and what strangers learn."""

from __future__ import annotations

import asyncio
import io
import re
from statistics import median
from time import perf_counter

import pytest

from api.staff.credentials import Passwords, step_of_code
from api.staff.sign_in import MOST_PER_ACCOUNT, MOST_PER_ADDRESS, REFUSED
from tests.api.conftest import MakeShop
from tests.api.doubles import OWN_PAGE, Shop, text_of
from tests.api.staffing import PASSWORD, actions, form_token_of, hire

SESSION = "__Host-holdfast-staff"


async def test_an_account_is_made_once_and_signs_in(shop: Shop) -> None:
    """Link, picture, password, code; then name, password and another code."""
    dana = await hire(shop, is_set_up=False)
    shown = await dana.browser.get(dana.setup_path)
    made = await dana.set_up()
    again = await dana.browser.get(dana.setup_path)
    out = await dana.post("/support/sign-out", page="/support")
    away = await dana.browser.get("/support")
    signed_in = await dana.sign_in()
    home = await dana.browser.get("/support")

    assert "data:image/svg+xml" in shown.text
    assert "otpauth://totp/Acme:dana?secret=" in shown.text
    assert (made.status_code, made.headers["location"]) == (303, "/support")
    assert again.status_code == 403
    assert "can&#39;t be used" in again.text
    assert (out.status_code, away.status_code) == (303, 303)
    assert away.headers["location"] == "/support/sign-in"
    assert signed_in.headers["location"] == "/support"
    assert "Sign out Dana" in text_of(home.text)
    assert [(actor, action) for actor, action, _, _ in actions(shop)] == [
        ("dana", "account.set_up"),
        ("dana", "signed_out"),
        ("dana", "signed_in"),
    ]


async def test_the_session_is_kept_as_strictly_as_a_browser_can(shop: Shop) -> None:
    """`__Host-`, no script, no other site; 256 bits, and only a digest with us."""
    dana = await hire(shop)
    answer = await dana.sign_in()
    cookies = answer.headers.get_list("set-cookie")
    session = next(line for line in cookies if line.startswith(f"{SESSION}="))

    for part in ("HttpOnly", "Secure", "SameSite=strict", "Path=/"):
        assert part in session
    token = session.split(";")[0].partition("=")[2]
    assert len(token) == 43
    kept = shop.sql("SELECT s::text FROM staff_sessions s")
    assert token not in str(kept)
    assert answer.headers["cache-control"] == "no-store"


async def test_a_new_session_ends_the_one_before(shop: Shop) -> None:
    """The token is another after each sign-in; the old one opens nothing."""
    dana = await hire(shop)
    old = dana.browser.cookies[SESSION]
    await dana.sign_in()

    thief = shop.new_browser()
    thief.cookies.set(SESSION, old, domain="shop.example")

    assert dana.browser.cookies[SESSION] != old
    assert (await thief.get("/support")).status_code == 303
    assert (await dana.browser.get("/support")).status_code == 200


@pytest.mark.parametrize(
    ("column", "age"), [("last_seen_at", "31 minutes"), ("created_at", "8 hours 1 s")]
)
async def test_a_session_ends_by_itself(shop: Shop, column: str, age: str) -> None:
    """Unused for half an hour, or eight hours old: it opens nothing."""
    dana = await hire(shop)
    shop.sql(f"UPDATE staff_sessions SET {column} = now() - interval '{age}'")  # noqa: S608  # Our own columns.

    assert (await dana.browser.get("/support")).status_code == 303


async def test_a_used_session_stays(shop: Shop) -> None:
    """Each minute of use is written down, so that idling is counted from the last."""
    dana = await hire(shop)
    shop.sql("UPDATE staff_sessions SET last_seen_at = now() - interval '20 minutes'")

    await dana.browser.get("/support")

    recent = "SELECT last_seen_at > now() - interval '1 minute' FROM staff_sessions"
    assert shop.sql(recent) == [(True,)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"password": "five quiet otters nop"},
        {"code": "000000"},
        {"name": "nobody"},
        {"name": "dana' OR 1=1 --"},
        {"password": ""},
        {"code": "２３４５６７"},
    ],
    ids=str,
)
async def test_what_is_wrong_is_not_told(shop: Shop, wrong: dict[str, str]) -> None:
    """Name, password or code: one answer, no session, a row of the audit."""
    dana = await hire(shop)
    dana.new_browser()

    answer = await dana.sign_in(**wrong)

    assert answer.status_code in {403, 422}
    if wrong != {"password": ""}:
        assert REFUSED in text_of(answer.text)
        assert actions(shop)[-1][1:3] == ("sign_in", "refused")
    assert SESSION not in dana.browser.cookies
    assert PASSWORD not in answer.text


async def test_a_closed_account_reads_like_a_wrong_password(shop: Shop) -> None:
    """Disabled by the operator: sessions are over, and nothing says why."""
    dana = await hire(shop)
    shop.sql("UPDATE staff SET disabled_at = now()")

    assert (await dana.browser.get("/support")).status_code == 303
    answer = await dana.sign_in()
    assert REFUSED in text_of(answer.text)
    assert actions(shop)[-1][3]["disabled"] is True


async def test_a_code_opens_once(shop: Shop) -> None:
    """Somebody who watched the code being typed cannot use it, nor an older one."""
    dana = await hire(shop)
    shop.clock.move(minutes=2)
    code = dana.code()
    first = await dana.sign_in(code=code)
    dana.new_browser()
    again = await dana.sign_in(code=code)
    shop.clock.move(seconds=-30)
    older = await dana.sign_in(code=dana.code())

    assert first.status_code == 303
    assert (again.status_code, older.status_code) == (403, 403)


async def test_of_two_who_use_one_code_at_once_one_gets_in(shop: Shop) -> None:
    """The same form twice in the same moment, from two browsers: one session."""
    dana = await hire(shop)
    shop.clock.move(minutes=2)
    code = dana.code()
    browsers = [shop.new_browser() for _ in range(4)]
    forms = []
    for browser in browsers:
        page = await browser.get("/support/sign-in")
        forms.append({"form_token": form_token_of(page.text), "name": "dana"})

    answers = await asyncio.gather(
        *(
            browser.post(
                "/support/sign-in", data=form | {"password": PASSWORD, "code": code}
            )
            for browser, form in zip(browsers, forms, strict=True)
        )
    )

    assert sorted(answer.status_code for answer in answers) == [303, 403, 403, 403]


@pytest.mark.parametrize(
    ("seconds", "is_taken"), [(-60, False), (-30, True), (0, True), (30, True)]
)
async def test_clocks_may_be_half_a_minute_apart(
    shop: Shop, seconds: int, is_taken: bool
) -> None:
    """The code of the half minute before and after is taken, no other."""
    dana = await hire(shop)
    shop.clock.move(minutes=5, seconds=seconds)
    code = dana.code()
    shop.clock.move(seconds=-seconds)

    answer = await dana.sign_in(code=code)

    assert (answer.status_code == 303) is is_taken


async def test_a_stranger_cannot_lock_anybody_out(shop: Shop) -> None:
    """Tries for an account end soon; its owner's own browser is counted apart."""
    dana = await hire(shop)
    stranger = shop.new_browser()
    page = await stranger.get("/support/sign-in")
    form = {"form_token": form_token_of(page.text), "name": "dana", "password": "x"}

    codes = [
        (await stranger.post("/support/sign-in", data=form | {"code": "1"})).status_code
        for _ in range(MOST_PER_ACCOUNT + 3)
    ]
    owner = await dana.sign_in()

    assert codes == [403] * MOST_PER_ACCOUNT + [429] * 3
    assert owner.status_code == 303
    throttled = [row for row in actions(shop) if row[3].get("why") == "too often"]
    assert len(throttled) == 1


async def test_an_address_ends_its_tries_over_all_accounts(shop: Shop) -> None:
    """Nobody walks through the names; replicas count together, in the database."""
    stranger = shop.new_browser()
    page = await stranger.get("/support/sign-in")
    form = {"form_token": form_token_of(page.text), "password": "x", "code": "1"}
    shop.sql(
        "INSERT INTO staff_tries SELECT sha256('address:127.0.0.1'), now(), %s",
        MOST_PER_ADDRESS,
    )

    answer = await stranger.post("/support/sign-in", data=form | {"name": "eve"})

    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0
    assert "not passed on" in text_of(answer.text)


async def test_a_window_of_tries_ends(shop: Shop) -> None:
    """After a quarter of an hour it is counted anew."""
    dana = await hire(shop)
    shop.sql(
        "UPDATE staff_tries SET tries = 99, window_began_at = now() - interval '16 min'"
    )

    assert (await dana.sign_in()).status_code == 303


async def test_an_unknown_name_costs_as_much_time(shop: Shop) -> None:
    """Without a digest to compare with, one is computed all the same."""
    passwords = Passwords()
    stored = await passwords.digest(PASSWORD)
    await passwords.match(None, "warm")

    async def spent(digest: str | None) -> float:
        began = perf_counter()
        assert not await passwords.match(digest, "five quiet otters nop")
        return perf_counter() - began

    known = [await spent(stored) for _ in range(5)]
    unknown = [await spent(None) for _ in range(5)]

    assert 0.5 < median(unknown) / median(known) < 2
    assert not await passwords.match(None, PASSWORD)
    assert await passwords.match(stored, PASSWORD)
    del shop


async def test_passwords_are_argon2id_with_the_work_owasp_asks_for(shop: Shop) -> None:
    """19 MiB or more, two passes or more; weaker digests are renewed at sign-in."""
    dana = await hire(shop)
    stored = shop.sql("SELECT password_hash FROM staff")[0][0]
    found = re.match(r"\$argon2id\$v=19\$m=(\d+),t=(\d+),p=1\$", stored)
    assert found is not None
    assert int(found[1]) >= 19 * 1024
    assert int(found[2]) >= 2

    from argon2 import PasswordHasher

    weak = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    shop.sql("UPDATE staff SET password_hash = %s", weak)
    assert (await dana.sign_in()).status_code == 303
    assert shop.sql("SELECT password_hash FROM staff")[0][0] != weak


@pytest.mark.parametrize(
    "password", ["short", "password1234", "aaaaaaaaaaaaaaa", "dana dana dana"]
)
async def test_an_easy_password_is_not_taken(shop: Shop, password: str) -> None:
    """The link still works afterwards, for a better one."""
    dana = await hire(shop, is_set_up=False)

    answer = await dana.set_up(password=password)

    assert answer.status_code == 422
    assert (await dana.set_up()).status_code == 303


async def test_setting_up_takes_the_second_factor(shop: Shop) -> None:
    """Without the app's code nobody can make an account theirs."""
    dana = await hire(shop, is_set_up=False)

    answer = await dana.set_up(code="000000")

    assert answer.status_code == 422
    assert "code is not right" in text_of(answer.text)
    assert shop.sql("SELECT password_hash FROM staff") == [(None,)]


async def test_a_set_up_link_grows_old(shop: Shop) -> None:
    """After 24 hours it opens nothing."""
    dana = await hire(shop, is_set_up=False)
    shop.sql("UPDATE staff SET setup_until = now() - interval '1 second'")

    assert (await dana.browser.get(dana.setup_path)).status_code == 403


async def test_a_form_without_the_sessions_token_does_nothing(shop: Shop) -> None:
    """Also from our own origin: the audit has it, and the session stays."""
    dana = await hire(shop)
    eli = await hire(shop, "eli")
    elis = form_token_of((await eli.browser.get("/support")).text)

    for token in ("", "x", elis):
        answer = await dana.browser.post(
            "/support/sign-out", data={"form_token": token}
        )
        assert answer.status_code == 403
        assert "another session" in text_of(answer.text)
        assert actions(shop)[-1][:3] == ("dana", "refused", "refused")
    assert actions(shop)[-1][3]["why"] == "form token"
    assert (await dana.browser.get("/support")).status_code == 200


async def test_a_sign_in_that_another_page_made_up_does_nothing(shop: Shop) -> None:
    """A stranger cannot sign somebody in to an account of the stranger's."""
    dana = await hire(shop)
    victim = shop.new_browser()
    await victim.get("/support/sign-in")
    shop.clock.move(minutes=1)

    answer = await victim.post(
        "/support/sign-in",
        data={"name": "dana", "password": PASSWORD, "code": dana.code()}
        | {"form_token": form_token_of((await dana.browser.get("/support")).text)},
        headers=OWN_PAGE,
    )

    assert answer.status_code == 403
    assert SESSION not in victim.cookies


async def test_nothing_of_it_is_logged(shop: Shop, log_lines: io.StringIO) -> None:
    """No password, code, token or secret stands in any line; the chain's links do."""
    dana = await hire(shop)
    secret = shop.parts.staff_secrets.totp_secret(dana.source)
    await dana.sign_in()
    await dana.sign_in(password="a wrong password")

    logged = log_lines.getvalue()
    for word in (PASSWORD, "a wrong password", secret, dana.setup_path[-43:]):
        assert word not in logged
    assert dana.browser.cookies[SESSION] not in logged
    assert re.search(r'"link": "\d+:[0-9a-f]{64}"', logged)


async def test_after_signing_in_one_is_where_one_wanted_to_go(shop: Shop) -> None:
    """A link in an alert leads to its case; nothing else is taken for an address."""
    dana = await hire(shop)
    case_id = "11111111-2222-4333-8444-555555555555"

    there = await dana.sign_in(case_id=case_id)
    elsewhere = await dana.sign_in(case_id="//evil.example")

    assert there.headers["location"] == f"/support/cases/{case_id}"
    assert elsewhere.headers["location"] == "/support"


async def test_a_lost_secret_closes_accounts_and_says_nothing(
    shop: Shop, make_shop: MakeShop
) -> None:
    """When the installation's secret left the settings, no code fits any more."""
    dana = await hire(shop)
    other = make_shop(secret_keys="another-secret-0123456789-abcdefghijkl")
    browser = other.new_browser()
    page = await browser.get("/support/sign-in")

    answer = await browser.post(
        "/support/sign-in",
        data={
            "form_token": form_token_of(page.text),
            "name": "dana",
            "password": PASSWORD,
            "code": dana.code(),
        },
    )

    assert answer.status_code == 403


def test_codes_are_read_with_a_blank_and_nothing_else() -> None:
    """`123 456` as apps show it; anything that is no code is none."""
    from datetime import UTC, datetime

    import pyotp

    secret, now = "JBSWY3DPEHPK3PXP" * 2, datetime(2026, 11, 23, 14, 32, tzinfo=UTC)
    code = pyotp.TOTP(secret).at(now)

    assert step_of_code(secret, f"{code[:3]} {code[3:]}", now) is not None
    for typed in ("", "1", code + "0", code[:-1], "\0" * 6, "٣" * 6):
        assert step_of_code(secret, typed, now) is None
