"""Browsers that run no scripts: buttons and links carry the whole purchase."""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.browser.visiting import (
    ASKING_CARD,
    BANK_CHECK,
    CONFIRMING,
    LIMIT_SECONDS,
    SUCCESS,
    Charges,
    Visitor,
)


@pytest.fixture
def plain(visit: Visit) -> Visitor:
    """A buyer whose browser runs no scripts."""
    visitor = visit(java_script_enabled=False)
    visitor.open_checkout()
    return visitor


def _check_until(visitor: Visitor, headline: str) -> None:
    """Press "Check again" as a patient person does."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while headline not in visitor.headline().inner_text():
        assert time.monotonic() < deadline, f"{headline} did not come."
        visitor.page.get_by_role("link", name="Check again").click()


def test_a_purchase_works_by_buttons_and_links(plain: Visitor) -> None:
    """The page promises nothing that takes a script, and asking again shows the end."""
    with plain.hold_charge() as held:
        plain.pay()
        plain.see(CONFIRMING)
        held.wait()
        plain.page.get_by_role("link", name="Check again").click()
        plain.see(CONFIRMING)
        expect(plain.page.get_by_text("updates by itself")).to_be_hidden()
        plain.look("confirming-without-scripts")
    _check_until(plain, SUCCESS)

    assert plain.page.url == plain.address
    assert plain.charges() == Charges(succeeded=1, payment_intents=1)


def test_the_bank_is_reached_and_left_without_scripts(plain: Visitor) -> None:
    """The way to the bank and back is links and redirects alone."""
    plain.pay(ASKING_CARD)
    _check_until(plain, BANK_CHECK)
    plain.page.get_by_role("link", name="Go to your bank's page").click()
    plain.page.get_by_role("button", name="Approve").click()
    _check_until(plain, SUCCESS)

    assert plain.charges() == Charges(succeeded=1, payment_intents=1)


def test_pressed_twice_without_scripts_is_one_charge(plain: Visitor) -> None:
    """Nothing holds the second press back here but the server."""
    plain.pay_button().dblclick()
    _check_until(plain, SUCCESS)

    assert plain.charges() == Charges(succeeded=1, payment_intents=1)
