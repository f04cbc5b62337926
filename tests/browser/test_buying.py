"""A purchase as nearly everyone lives it."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.visiting import (
    DECLINED,
    DECLINED_CARD,
    SUCCESS,
    VISA,
    Charges,
    Visitor,
)


def test_a_buyer_gets_in_and_finds_the_way_back_from_the_receipt(
    visitor: Visitor,
) -> None:
    """Four steps, no reload by hand, and every link of the receipt leads home."""
    visitor.open_shop()
    visitor.look("shop")
    visitor.open_checkout()
    visitor.look("checkout")
    visitor.pay()
    visitor.see(SUCCESS)
    visitor.look("success")
    mail = visitor.open_mail("receipt")
    visitor.look("receipt", page=mail)
    letter = mail.frame_locator("iframe")
    application = visitor.follow(letter.get_by_role("link", name="Open Acme"))
    order = visitor.follow(letter.get_by_role("link", name="Your order's page"))

    assert visitor.page.url == visitor.address
    visitor.see("You’re in.", page=application)
    visitor.look("application", page=application)
    visitor.see(SUCCESS, page=order)
    assert order.url == visitor.address
    assert visitor.charges() == Charges(succeeded=1, payment_intents=1)


def test_the_success_page_opens_the_application(visitor: Visitor) -> None:
    """The button on the page leads where the receipt's does."""
    visitor.buy()
    visitor.page.get_by_role("link", name="Open Acme").click()

    visitor.see("You’re in.")


def test_after_a_decline_another_card_pays_on_the_same_page(visitor: Visitor) -> None:
    """A decline says that nothing was charged, and the next card is charged once."""
    visitor.open_checkout()
    visitor.pay(DECLINED_CARD)
    visitor.see(DECLINED)
    visitor.look("declined")
    assert visitor.charges().succeeded == 0
    visitor.pay(VISA)
    visitor.see(SUCCESS)

    assert visitor.page.url == visitor.address
    assert visitor.charges() == Charges(succeeded=1, payment_intents=1)


def test_a_mistyped_address_is_told_and_kept(visitor: Visitor) -> None:
    """What the browser lets pass and we do not is said beside the field."""
    visitor.excuse("422")
    visitor.open_shop()
    field = visitor.page.get_by_label("Your e-mail address")
    field.fill("mara@example")
    visitor.page.get_by_role("button", name="Continue to payment").click()

    expect(visitor.page.locator("#email-problem")).to_be_visible()
    expect(field).to_have_value("mara@example")
    expect(field).to_be_focused()
    visitor.look("shop-problem")
