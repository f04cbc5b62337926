"""The list of orders, behind a link in a mail."""

from __future__ import annotations

from playwright.sync_api import Page

from tests.browser.conftest import Visit
from tests.browser.visiting import Visitor


def _ask_for_link(visitor: Visitor) -> Page:
    """Ask on the account page; the tab of the link that came."""
    visitor.page.get_by_role("link", name="Your orders").click()
    visitor.see("Your orders")
    visitor.look("account")
    field = visitor.page.get_by_label("The e-mail address you bought with")
    field.fill(visitor.email)
    visitor.page.get_by_role("button", name="Send me the link").click()
    visitor.see("Please look into your mailbox.")
    visitor.look("account-link-asked")
    mail = visitor.open_mail("sign-in")
    visitor.look("account-mail", page=mail)
    link = mail.frame_locator("iframe").get_by_role("link", name="Sign in")
    return visitor.follow(link)


def test_the_orders_open_by_a_link_in_the_browser_that_asked_alone(
    visitor: Visitor, visit: Visit
) -> None:
    """Another browser is refused and uses nothing up; the right one sees the order."""
    visitor.buy()
    reference = visitor.page.locator("dd").first.inner_text()
    page = _ask_for_link(visitor)
    stranger = visit()
    stranger.excuse("403")
    stranger.page.goto(page.url)
    stranger.page.get_by_role("button", name="Show my orders").click()
    stranger.see("This sign-in link can't be used.")
    stranger.look("account-refused")
    visitor.look("account-button", page=page)
    page.get_by_role("button", name="Show my orders").click()
    visitor.see("Your orders", page=page)

    assert reference in page.locator("main").inner_text()
    assert page.url == f"{visitor.stack.at.shop}/account"
    visitor.look("account-orders", page=page)
    page.get_by_role("button", name="Sign out").click()
    assert reference not in page.locator("main").inner_text()
