"""Each state of a payment, as the person in front of it lives through it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.browser.visiting import (
    ALREADY_PAID,
    CONFIRMING,
    RECEIVED,
    SUCCESS,
    UNKNOWN,
    Charges,
    Visitor,
)

_ONE = Charges(succeeded=1, payment_intents=1)
_LEAVE = re.compile(r"You can close this page\. We will e-mail m•••@example\.com\.")


@pytest.fixture(params=[True, False], ids=["scripts", "no-scripts"])
def buyer(request: pytest.FixtureRequest, visit: Visit) -> Visitor:
    """A buyer whose browser runs scripts, and one whose does not."""
    return visit(java_script_enabled=request.param)


def _see(buyer: Visitor, headline: str) -> None:
    """Wait for the page, or without scripts, open it again until it is there."""
    buyer.come_to(headline)
    expect(buyer.pay_button()).to_have_count(0)


def test_waiting_is_told_in_words_that_change_with_the_time(buyer: Visitor) -> None:
    """At once, after ten seconds and after a minute the page says what fits."""
    buyer.open_checkout()
    with buyer.hold_charge() as held:
        buyer.pay()
        held.wait()
        _see(buyer, CONFIRMING)
        buyer.look("confirming")
        buyer.move("pay_requested_at = now() - interval '15 s'")
        buyer.come_to_words(_LEAVE)
        _see(buyer, CONFIRMING)
        buyer.look("confirming-longer")
        buyer.move("pay_requested_at = now() - interval '3 minutes'")
        _see(buyer, UNKNOWN)
        expect(buyer.page.get_by_text("Please don't pay again.")).to_be_visible()
        expect(buyer.page.get_by_role("button", name="Check again")).to_be_visible()
        buyer.look("unknown")
    _see(buyer, SUCCESS)

    assert buyer.charges() == _ONE


def test_paid_and_not_in_yet_is_told_first(buyer: Visitor) -> None:
    """While the application does not answer, the money fact stands on top."""
    buyer.open_checkout()
    with buyer.hold_access() as held:
        buyer.pay()
        held.wait()
        _see(buyer, RECEIVED)
        buyer.look("received")
        buyer.come_to_words(re.compile("That is our fault, and we are sorry."))
        buyer.look("received-late")
    _see(buyer, SUCCESS)

    assert buyer.charges() == _ONE


@pytest.mark.parametrize(
    ("change", "headline"),
    [
        ("money_state = 'DUPLICATE'", "You were charged twice."),
        (
            "money_state = 'REFUNDING', access_state = 'ENDED'",
            "Your $249.00 is on its way back to you.",
        ),
        (
            "money_state = 'REFUNDED', access_state = 'ENDED'",
            "We returned your $249.00.",
        ),
        ("access_state = 'ENDED'", "Your plan has ended."),
    ],
    ids=["duplicate", "refunding", "refunded", "ended"],
)
def test_what_comes_after_a_purchase_is_told(
    buyer: Visitor, change: str, headline: str
) -> None:
    """Charged twice, returned or over: the same address says so, and sells nothing."""
    buyer.buy()
    buyer.move(change)
    buyer.page.reload()

    _see(buyer, headline)
    buyer.look(f"after-{headline.split()[1]}")


def test_an_old_tab_that_pays_again_is_told_that_it_is_paid(buyer: Visitor) -> None:
    """A press on a form that was left open leads to the answer, and to no charge."""
    buyer.open_checkout()
    old = buyer.context.new_page()
    old.goto(buyer.address)
    buyer.pay()
    _see(buyer, SUCCESS)
    buyer.move("pay_requested_at = pay_requested_at - interval '1 minute'")
    old.get_by_role("button", name="Pay $249.00").click()
    buyer.page = old
    _see(buyer, ALREADY_PAID)
    expect(buyer.headline()).to_contain_text("No second payment was made.")
    buyer.look("already-paid")

    assert buyer.charges() == _ONE


def test_coming_back_to_the_shop_finds_the_own_purchase(buyer: Visitor) -> None:
    """The same wish leads to what was bought; another one is bought on purpose only."""
    buyer.buy()
    buyer.wish()
    _see(buyer, ALREADY_PAID)
    assert buyer.page.url == f"{buyer.address}?again=1"
    buyer.page.get_by_role("button", name="Buy another one").click()
    expect(buyer.pay_button()).to_be_visible()

    assert not buyer.page.url.startswith(buyer.address)


def test_coming_back_while_it_is_open_goes_on_there(buyer: Visitor) -> None:
    """Who lost the tab and starts anew is led to the checkout that is under way."""
    buyer.open_checkout()
    with buyer.hold_charge() as held:
        buyer.pay()
        held.wait()
        buyer.wish()
        _see(buyer, CONFIRMING)
        assert buyer.page.url == buyer.address
    _see(buyer, SUCCESS)

    assert buyer.charges() == _ONE
