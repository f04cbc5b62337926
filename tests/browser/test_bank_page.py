"""The bank asks the buyer to approve, on a page of its own (3-D Secure)."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.visiting import (
    ASKING_CARD,
    BANK_CHECK,
    DECLINED,
    SUCCESS,
    Charges,
    Visitor,
)


@pytest.fixture
def asked(visitor: Visitor) -> Visitor:
    """A buyer who reads the bank's question."""
    visitor.open_checkout()
    visitor.pay(ASKING_CARD)
    visitor.see(BANK_CHECK)
    visitor.look("bank-check")
    _go_to_bank(visitor)
    return visitor


def _go_to_bank(visitor: Visitor) -> None:
    visitor.page.get_by_role("link", name="Go to your bank's page").click()
    visitor.see("Is this payment yours?")


def test_approved_at_the_bank_is_paid(asked: Visitor) -> None:
    """Approving leads back to the checkout, which says so by itself."""
    asked.look("bank")
    asked.page.get_by_role("button", name="Approve").click()
    asked.see(SUCCESS)

    assert asked.page.url == asked.address
    assert asked.charges() == Charges(succeeded=1, payment_intents=1)


def test_refused_at_the_bank_is_not_charged(asked: Visitor) -> None:
    """Refusing leads back to a page that says so and takes another card."""
    asked.page.get_by_role("button", name="Refuse").click()
    asked.see(DECLINED)

    assert asked.page.url == asked.address
    expect(asked.pay_button()).to_be_visible()
    assert asked.charges().succeeded == 0
    asked.look("bank-refused")


def test_the_bank_page_can_be_closed_and_found_again(asked: Visitor) -> None:
    """The checkout's address asks again, as often as it is opened, until answered."""
    asked.page.close()
    asked.page = asked.context.new_page()
    asked.page.goto(asked.address)
    asked.see(BANK_CHECK)
    expect(asked.pay_button()).to_have_count(0)
    _go_to_bank(asked)
    asked.page.get_by_role("button", name="Approve").click()
    asked.see(SUCCESS)

    assert asked.charges() == Charges(succeeded=1, payment_intents=1)
