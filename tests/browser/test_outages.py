"""Servers die while somebody looks at the page."""

from __future__ import annotations

from playwright.sync_api import expect

from stack.driver import Stack
from tests.browser.visiting import (
    CHECKOUT,
    CONFIRMING,
    HOLDING,
    RECEIVED,
    SUCCESS,
    Charges,
    Visitor,
)
from tests.durability.counting import connect_owner

#: Writes down every first line the page ever shows, in this one document.
_WRITE_DOWN = """() => {
  const read = () => document.querySelector("h1")?.textContent ?? "";
  window.shown = [read()];
  new MutationObserver(() => {
    if (window.shown.at(-1) !== read()) window.shown.push(read());
  }).observe(document.body, { subtree: true, childList: true, characterData: true });
}"""


def test_the_words_stay_while_the_api_is_dead_and_follow_afterwards(
    visitor: Visitor, stack: Stack
) -> None:
    """The true sentence stays on the screen, and the end comes without a reload."""
    visitor.excuse("net::ERR_")
    visitor.open_checkout()
    with visitor.hold_charge() as held:
        visitor.pay()
        visitor.see(CONFIRMING)
        held.wait()
        visitor.page.evaluate(_WRITE_DOWN)
        with visitor.page.expect_event("requestfailed"):
            killed = stack.kill("api")
        visitor.see(CONFIRMING)
        stack.wait_restarted("api", after_pid=killed)
    visitor.see(SUCCESS)

    first, *middle, last = visitor.page.evaluate("window.shown")
    assert first == CONFIRMING
    assert set(middle) <= {RECEIVED}
    assert last.startswith(SUCCESS)
    assert visitor.charges() == Charges(succeeded=1, payment_intents=1)


def test_the_holding_page_becomes_the_checkout_by_itself(
    visitor: Visitor, stack: Stack
) -> None:
    """While the records cannot be read the page claims nothing, and looks again."""
    visitor.excuse("503")
    visitor.open_checkout()
    with connect_owner(stack) as connection, connection.transaction():
        connection.execute("LOCK TABLE checkouts IN ACCESS EXCLUSIVE MODE")
        visitor.page.reload()
        visitor.see(HOLDING)
        expect(visitor.pay_button()).to_have_count(0)
        visitor.look("holding")
    visitor.see(CHECKOUT)
    visitor.pay()
    visitor.see(SUCCESS)

    assert visitor.charges() == Charges(succeeded=1, payment_intents=1)
