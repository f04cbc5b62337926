"""The way back to one's own checkout: nobody pays twice for want of an address."""

from __future__ import annotations

import httpx
import pytest

from tests.api.conftest import MakeShop
from tests.api.doubles import Opened, Shop, text_of

ALREADY = "You already paid for this on 23 Nov 2026, 14:32 UTC."
NO_SECOND = "No second payment was made."


async def _paid(
    shop: Shop, *, access: str = "ACTIVE", charged_at: str = "2026-11-23 14:32Z"
) -> Opened:
    """Open, pay and be charged; the press is a while ago."""
    opened = await shop.open()
    await shop.pay(opened)
    shop.sql("UPDATE checkouts SET stage='charging'")
    shop.charge(opened, access=access, charged_at=charged_at)
    shop.sql("UPDATE checkouts SET pay_requested_at = now() - interval '11 s'")
    return opened


async def _wish(
    shop: Shop, email: str = "mara@example.com", *, browser: httpx.AsyncClient | None
) -> str:
    """Fill the form of `/` in and return where it leads."""
    answer = await (browser or shop.browser).post(
        "/checkouts", data={"plan": "one-year", "email": email}
    )
    assert answer.status_code == 303
    return str(answer.headers["location"])


async def test_a_second_wish_leads_to_the_checkout_that_is_open(shop: Shop) -> None:
    """Opened, pressed, or being charged: the same browser finds the same checkout."""
    opened = await shop.open()
    before = await _wish(shop, "MARA@example.com", browser=None)
    await shop.pay(opened)
    requested = await _wish(shop, browser=None)
    shop.sql("UPDATE checkouts SET stage='charging'")
    charging = await _wish(shop, browser=None)

    assert {before, requested, charging} == {opened.path}
    assert shop.sql("SELECT count(*) FROM checkouts") == [(1,)]


async def test_a_second_wish_after_a_payment_is_told_so(shop: Shop) -> None:
    """Who has just paid is led there, reads so, and may buy another on purpose."""
    opened = await _paid(shop, charged_at="now")

    where = await _wish(shop, browser=None)
    page = await shop.browser.get(where)
    another = await shop.browser.post(f"{opened.path}/another")

    assert where == f"{opened.path}?again=1"
    assert "You already paid for this." in text_of(page.text)
    assert "Buy another one" in page.text
    assert "/pay" not in page.text
    assert another.status_code == 303
    assert another.headers["location"] != opened.path
    fresh = await shop.browser.get(another.headers["location"])
    assert "Pay $249.00" in fresh.text
    assert shop.sql("SELECT DISTINCT email FROM checkouts") == [("mara@example.com",)]


@pytest.mark.parametrize(
    "change",
    [
        "money_state = 'REFUNDED'",
        "email = 'other@example.com'",
        "plan_id = 'ten-years'",
    ],
)
async def test_another_wish_opens_another_checkout(shop: Shop, change: str) -> None:
    """Returned, for somebody else or something else: that is a new wish."""
    opened = await _paid(shop, charged_at="now")
    shop.sql(f"UPDATE checkouts SET {change}")  # noqa: S608  # Constants above.

    assert await _wish(shop, browser=None) not in {
        opened.path,
        f"{opened.path}?again=1",
    }


async def test_a_purchase_of_yesterday_is_no_doubt_any_more(shop: Shop) -> None:
    """More than a day after a payment the same wish is a wish for another one."""
    opened = await _paid(shop)

    assert not (await _wish(shop, browser=None)).startswith(opened.path)


async def test_a_price_that_changed_is_not_the_old_one(make_shop: MakeShop) -> None:
    """A checkout that was left open sells at today's price."""
    old, new = make_shop(), make_shop()
    opened = await old.open()
    new.parts.settings.plans[0].amount_minor = 19900
    new.browser.cookies.update(old.browser.cookies)

    assert await _wish(new, browser=None) != opened.path


async def test_an_address_typed_elsewhere_reveals_nothing(shop: Shop) -> None:
    """Another browser that types the same address gets a checkout of its own."""
    opened = await _paid(shop)
    stranger = shop.new_browser()

    where = await _wish(shop, browser=stranger)
    page = await stranger.get(where)

    assert not where.startswith(opened.path)
    assert "already paid" not in page.text
    assert "Pay $249.00" in page.text


async def test_the_cookie_is_locked_to_this_host(make_shop: MakeShop) -> None:
    """`__Host-`, Secure, HttpOnly, Lax where there is https; a plain name without."""
    form = {"plan": "one-year", "email": "mara@example.com"}
    secure = await make_shop().browser.post("/checkouts", data=form)
    plain = await make_shop(public_url="http://shop.example").browser.post(
        "/checkouts", data=form
    )

    kept = secure.headers["set-cookie"]
    assert kept.startswith("__Host-holdfast-checkout=")
    for word in ("HttpOnly", "Secure", "SameSite=lax", "Path=/"):
        assert word in kept
    assert plain.headers["set-cookie"].startswith("holdfast-checkout=")


@pytest.mark.parametrize("value", ["", "x", "A" * 43, "A" * 44, "../../account"])
async def test_a_cookie_of_nobodys_changes_nothing(shop: Shop, value: str) -> None:
    """A cut, foreign or forged cookie opens a new checkout, as without one."""
    answer = await shop.browser.post(
        "/checkouts",
        data={"plan": "one-year", "email": "mara@example.com"},
        headers={"cookie": f"__Host-holdfast-checkout={value}"},
    )

    assert answer.status_code == 303
    assert shop.sql("SELECT count(*) FROM checkouts") == [(1,)]


async def test_pay_on_a_paid_checkout_says_that_it_is_paid(shop: Shop) -> None:
    """An old tab's press leads to the answer that a worried buyer needs."""
    opened = await _paid(shop)

    answer = await shop.pay(opened)
    page = await shop.browser.get(answer.headers["location"])
    status = await shop.browser.get(f"{opened.path}/status?again=1")

    assert answer.headers["location"] == f"{opened.path}?again=1"
    assert f"You already paid for this. {NO_SECOND}" in text_of(page.text)
    assert "You paid $249.00 on 23 Nov 2026, 14:32 UTC." in text_of(page.text)
    assert "Open Acme" in page.text
    assert f'data-version="{status.json()["version"]}"' in page.text


async def test_the_second_click_of_a_double_click_worries_nobody(shop: Shop) -> None:
    """Two presses within seconds are one; the buyer reads that they are in."""
    opened = await _paid(shop)
    shop.sql("UPDATE checkouts SET pay_requested_at = now()")

    answer = await shop.pay(opened)

    assert answer.headers["location"] == opened.path


async def test_while_access_is_being_opened_the_answer_is_the_same(shop: Shop) -> None:
    """Paid but not in yet: the sentence is there, on the page that follows."""
    opened = await _paid(shop, access="PENDING")

    page = await shop.browser.get(f"{opened.path}?again=1")

    assert f"{ALREADY} {NO_SECOND}" in text_of(page.text)
    assert "We received your $249.00." in text_of(page.text)
    assert f'data-follow="{opened.path}/status?again=1"' in page.text
    assert "Buy another one" not in page.text


@pytest.mark.parametrize("again", ["1", "0", "", "yes", "1&again=2", "%00", "é"])
async def test_the_query_changes_no_fact(shop: Shop, again: str) -> None:
    """Whatever stands in the query: an unpaid checkout is never called paid."""
    opened = await shop.open()

    page = await shop.browser.get(f"{opened.path}?again={again}")

    assert page.status_code == 200
    assert "already paid" not in page.text
    assert "Pay $249.00" in page.text


async def test_buying_another_needs_a_paid_one(shop: Shop) -> None:
    """While a checkout is open or in doubt, no second one is opened from it."""
    opened = await shop.open()
    await shop.pay(opened)

    answer = await shop.browser.post(f"{opened.path}/another")

    assert answer.headers["location"] == opened.path
    assert shop.sql("SELECT count(*) FROM checkouts") == [(1,)]
