"""The dead-server minute, seen by a person: the edge's page, and how it ends."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import (
    Axe,
)
from playwright.sync_api import Page, expect

from stack.caddy import find_caddy
from stack.driver import Stack, fresh_data_folder, run_stack
from stack.errors import StackError
from tests.browser.conftest import Visit
from tests.browser.visiting import CHECKOUT, HOLDING, SUCCESS, Charges, Visitor
from tests.durability.breaking import kept_down

_CHECKS = "This page checks by itself every few seconds."
_STOPPED = "This page has stopped checking."


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A stack with the edge in front, for the tests of this file."""
    try:
        find_caddy()
    except StackError as error:
        pytest.skip(str(error))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HOLDFAST_RATE_LIMIT_PER_MINUTE", "100000")
        with fresh_data_folder() as data, run_stack(data, "--edge") as running:
            yield running


def _assert_accessible(page: Page) -> None:
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def test_a_press_on_a_dead_server_ends_well_by_itself(
    visitor: Visitor, stack: Stack
) -> None:
    """The person does nothing: the honest page becomes their checkout again."""
    visitor.excuse("503")
    visitor.open_checkout()
    with kept_down(stack, "api", roughly=True):
        visitor.pay()
        visitor.see(HOLDING)
        expect(visitor.page.get_by_role("status")).to_have_text(_CHECKS)
        expect(visitor.pay_button()).to_have_count(0)
        assert visitor.page.title().startswith("Please don't pay again yet")
        _assert_accessible(visitor.page)
        visitor.look("edge-holding")
    visitor.see(CHECKOUT)

    assert visitor.page.url == visitor.address
    visitor.pay()
    visitor.see(SUCCESS)
    assert visitor.charges() == Charges(succeeded=1, payment_intents=1)


def test_the_checking_can_be_stopped(visitor: Visitor, stack: Stack) -> None:
    """Whoever needs a page that stays as it is gets one, and can let it go on."""
    visitor.excuse("503")
    visitor.open_checkout()
    with kept_down(stack, "api", roughly=True):
        visitor.pay()
        visitor.see(HOLDING)
        visitor.page.get_by_role("button", name="Stop checking").click()
        expect(visitor.page.get_by_role("status")).to_have_text(_STOPPED)
    asked: list[str] = []
    visitor.page.on("request", lambda request: asked.append(request.url))
    visitor.page.wait_for_timeout(3000)  # Nothing happening cannot be waited for.

    visitor.see(HOLDING)
    assert asked == []
    visitor.page.get_by_role("button", name="Check by itself again").click()
    visitor.see(CHECKOUT)


def test_without_scripts_the_link_leads_back(visit: Visit, stack: Stack) -> None:
    """The link is the way, and nothing is promised that only a script would do."""
    visitor = visit(java_script_enabled=False)
    visitor.excuse("503")
    visitor.open_checkout()
    with kept_down(stack, "api", roughly=True):
        visitor.pay()
        visitor.see(HOLDING)
        expect(visitor.page.get_by_role("button")).to_have_count(0)
        expect(visitor.page.get_by_text("by itself")).to_have_count(0)
        again = visitor.page.get_by_role("link", name="Check again")
        again.click()
        visitor.see(HOLDING)
    again.click()
    visitor.see(CHECKOUT)

    assert visitor.page.url == visitor.address
    visitor.pay()
    visitor.see("We")


@pytest.mark.parametrize(
    ("path", "headline"),
    [
        ("/", "We can't show our plan this second."),
        ("/account", "We can't show your account this second."),
    ],
)
def test_other_pages_come_back_too(
    visitor: Visitor, stack: Stack, path: str, headline: str
) -> None:
    """What never starts a payment speaks of none, and shows itself when it can."""
    visitor.excuse("503")
    with kept_down(stack, "api", roughly=True):
        visitor.page.goto(f"{stack.at.shop}{path}")
        visitor.see(headline)
        _assert_accessible(visitor.page)
        visitor.look(f"edge-holding{path.replace('/', '-')}")
    expect(visitor.headline()).not_to_contain_text("We can't")


def test_an_address_typed_into_a_dead_shop_starts_nothing(
    visitor: Visitor, stack: Stack
) -> None:
    """Opening a checkout fails, and says that no payment was started there."""
    visitor.excuse("503")
    visitor.open_shop()
    visitor.page.get_by_label("Your e-mail address").fill(visitor.email)
    with kept_down(stack, "api", roughly=True):
        visitor.page.get_by_role("button", name="Continue to payment").click()
        visitor.see("No payment was started here.")
        _assert_accessible(visitor.page)
        visitor.look("edge-holding-checkouts")
    visitor.see(CHECKOUT)
    visitor.open_checkout()
