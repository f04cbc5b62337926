"""What would keep somebody from using a page: axe's rules, in light and in dark."""

from __future__ import annotations

from typing import Any, Literal

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page, Route

_SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


def barriers_of(page: Page) -> list[str]:
    """Return every violation that axe finds, with the place it is at."""
    found: list[str] = []
    for scheme in _SCHEMES:
        page.emulate_media(color_scheme=scheme)
        violations: list[dict[str, Any]] = Axe().run(page).response["violations"]
        found += [
            f"{violation['id']} ({scheme}): {violation['nodes'][0]['html'][:160]}"
            for violation in violations
        ]
    page.emulate_media(color_scheme="light")
    return found


def show(context: BrowserContext, address: str, html: str, *, scripts: bool) -> Page:
    """Show a text as the page at an address; its styles come from where they are.

    Args:
        context: Whose browser.
        address: Where the page seems to be.
        html: The page.
        scripts: Whether the page's own scripts may run.
    """
    page = context.new_page()

    def answer(route: Route) -> None:
        if route.request.url == address:
            route.fulfill(body=html, content_type="text/html; charset=utf-8")
        elif route.request.resource_type == "script" and not scripts:
            route.abort()
        else:
            route.continue_()

    page.route("**/*", answer)
    page.goto(address)
    return page
