"""The visitor itself: it must notice what is wrong, or it proves nothing."""

from __future__ import annotations

import pytest
from playwright.sync_api import Route

from tests.browser.visiting import Visitor

_PLACE = "http://127.0.0.1:9/"


def _show(visitor: Visitor, html: str, policy: str = "") -> None:
    """Show a page of the test's own."""

    def answer(route: Route) -> None:
        headers = {"content-type": "text/html", "content-security-policy": policy}
        route.fulfill(body=html, headers=headers)

    visitor.page.route(_PLACE, answer)
    visitor.page.goto(_PLACE)


def test_a_request_to_another_machine_is_noticed(visitor: Visitor) -> None:
    """A picture from elsewhere fails the test that showed it."""
    visitor.context.route("**/*.png", lambda route: route.fulfill(body=""))
    _show(visitor, '<img src="https://elsewhere.invalid/pixel.png">')

    with pytest.raises(AssertionError, match=r"elsewhere\.invalid"):
        visitor.assert_undisturbed()
    visitor.strangers.clear()


def test_a_breach_of_the_content_policy_is_noticed(visitor: Visitor) -> None:
    """An inline script that the policy stops fails the test that showed it."""
    _show(visitor, "<script>var x = 1</script>", "script-src 'self'")

    with pytest.raises(AssertionError, match="Content Security Policy"):
        visitor.assert_undisturbed()
    visitor.complaints.clear()


def test_a_page_wider_than_a_phone_is_noticed(visitor: Visitor) -> None:
    """What would have to be scrolled sideways fails the test that showed it."""
    _show(visitor, '<p style="width: 500px">wide</p>')

    with pytest.raises(AssertionError, match="500px"):
        visitor.look("too-wide")
