"""Servers die while somebody looks at the page."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Route, expect

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
from tests.durability.breaking import frozen
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


SILENT = re.compile(
    r"We can't reach our server this second\. What you read above was true on "
    r"\d+ \w+ \d{4}, \d\d:\d\d UTC, and may have moved on since\. "
    r"You do not need to do anything: we keep looking\."
)


def _line(visitor: Visitor) -> Locator:
    return visitor.page.get_by_role("status").get_by_text(SILENT)


def test_an_open_page_says_by_itself_that_the_server_is_silent(
    visitor: Visitor, stack: Stack
) -> None:
    """While the server is dead the page says so, keeps its words, and recovers."""
    visitor.excuse("net::ERR_")
    visitor.open_checkout()
    with visitor.hold_charge() as held:
        visitor.pay()
        visitor.see(CONFIRMING)
        held.wait()
        expect(_line(visitor)).to_have_count(0)
        stack.stop_child("api")
        expect(_line(visitor)).to_be_visible()
        visitor.see(CONFIRMING)
        if_dead = visitor.page.locator("main").inner_text()
        stack.start_child("api")
        expect(_line(visitor)).to_have_count(0)
        visitor.see(CONFIRMING)
    visitor.see(SUCCESS)

    assert "Please do not pay a second time." in if_dead
    assert visitor.charges() == Charges(succeeded=1, payment_intents=1)


def test_a_frozen_server_is_noticed_too(visitor: Visitor, stack: Stack) -> None:
    """A server that takes the question and never answers is as good as dead."""
    visitor.open_checkout()
    with visitor.hold_charge() as held:
        visitor.pay()
        visitor.see(CONFIRMING)
        held.wait()
        with frozen(stack.pid("api")):
            expect(_line(visitor)).to_be_visible()
            visitor.see(CONFIRMING)
        expect(_line(visitor)).to_have_count(0)
    visitor.see(SUCCESS)


@pytest.mark.parametrize("status", [400, 404, 429, 500, 502, 503])
def test_no_error_wipes_a_true_sentence(visitor: Visitor, status: int) -> None:
    """Whatever an error's page holds, the page that is open keeps its last words."""
    visitor.excuse(str(status))
    visitor.open_checkout()
    with visitor.hold_charge() as held:
        visitor.pay()
        visitor.see(CONFIRMING)
        held.wait()
        visitor.page.evaluate(_WRITE_DOWN)
        looks: list[str] = []

        def answer(route: Route) -> None:
            looks.append(route.request.url)
            route.fulfill(status=status, body="<h1>Bad gateway</h1>")

        visitor.page.route(f"{visitor.address}**", answer)
        for _ in range(3):
            with visitor.page.expect_response(f"{visitor.address}/status"):
                pass
        visitor.see(CONFIRMING)
        assert visitor.page.evaluate("window.shown") == [CONFIRMING]
        visitor.page.unroute(f"{visitor.address}**")
    visitor.see(SUCCESS)

    assert looks
