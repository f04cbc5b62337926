"""Every page there is: without barriers, with and without scripts, not cut off."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser

from stack.driver import Stack
from tests.browser.barriers import barriers_of, show
from tests.specimens.console import pages as console_pages
from tests.specimens.pages import PATH, SPECIMENS, Specimen, specimen_settings

CONSOLE = list(console_pages(specimen_settings()))


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
@pytest.mark.parametrize("specimen", SPECIMENS, ids=lambda specimen: specimen.name)
def test_every_page_is_without_barriers(
    stack: Stack, chromium: Browser, specimen: Specimen, scripts: bool
) -> None:
    """No page has a violation of axe's rules, in light or dark, on a phone."""
    html = specimen.render(specimen_settings())
    with chromium.new_context(viewport={"width": 390, "height": 844}) as context:
        page = show(context, f"{stack.at.shop}{PATH}", html, scripts=scripts)

        assert barriers_of(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize(("name", "html"), CONSOLE, ids=[name for name, _ in CONSOLE])
def test_every_page_of_the_console_is_without_barriers(
    stack: Stack, chromium: Browser, name: str, html: str, width: int
) -> None:
    """Folded parts too: no violation, and nothing that is cut off at either width."""
    with chromium.new_context(viewport={"width": width, "height": 900}) as context:
        address = f"{stack.at.shop}/support/{name}"
        # Its own script looks again while a repair runs, which would start all over.
        page = show(context, address, html, scripts=False)
        for fold in page.locator("details").all():
            fold.evaluate("fold => { fold.open = true; }")

        assert barriers_of(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_barrier_is_noticed(stack: Stack, chromium: Browser) -> None:
    """A field without a label and pale words, planted, are found."""
    html = (
        "<!doctype html><html lang=en><title>x</title><main><h1>x</h1><input>"
        "<p style='color:#999;background:#aaa'>pale</p></main></html>"
    )
    with chromium.new_context() as context:
        found = barriers_of(show(context, f"{stack.at.shop}/x", html, scripts=True))

    assert {"label", "color-contrast"} <= {barrier.split()[0] for barrier in found}
