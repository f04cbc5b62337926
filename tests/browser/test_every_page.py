"""Every page there is: without barriers, with and without scripts, not cut off."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser.barriers import Easel, barriers_of
from tests.specimens.console import pages as console_pages
from tests.specimens.pages import PATH, SPECIMENS, Specimen, specimen_settings

CONSOLE = list(console_pages(specimen_settings()))


@pytest.fixture(scope="module")
def easel(chromium: Browser) -> Iterator[Easel]:
    """A phone's browser for all of them."""
    with chromium.new_context(viewport={"width": 390, "height": 844}) as context:
        yield Easel(context, f"http://shop.example{PATH}")


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
@pytest.mark.parametrize("specimen", SPECIMENS, ids=lambda specimen: specimen.name)
def test_every_page_is_without_barriers(
    easel: Easel, specimen: Specimen, scripts: bool
) -> None:
    """No page has a violation of axe's rules, in light or dark, on a phone."""
    page = easel.show(specimen.render(specimen_settings()), scripts=scripts)

    assert barriers_of(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_pages_are_seen_in_their_own_looks(easel: Easel) -> None:
    """Styles are there, dark differs from light, and scripts run when they may."""
    shop = SPECIMENS[0].render(specimen_settings())
    paper = "getComputedStyle(document.body).backgroundColor"
    scripts = """performance.getEntriesByType("resource").filter(
        (one) => one.initiatorType === "script" && one.responseStatus === 200).length"""
    looks, ran = [], []
    for may_run in (True, False):
        page = easel.show(shop, scripts=may_run)
        page.emulate_media(color_scheme="light" if may_run else "dark")
        looks.append(page.evaluate(paper))
        ran.append(page.evaluate(scripts) > 0)
    page.emulate_media(color_scheme="light")

    assert looks == ["rgb(251, 250, 248)", "rgb(21, 24, 26)"]
    assert ran == [True, False]


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize(("name", "html"), CONSOLE, ids=[name for name, _ in CONSOLE])
def test_every_page_of_the_console_is_without_barriers(
    chromium: Browser, name: str, html: str, width: int
) -> None:
    """Folded parts too: no violation, and nothing that is cut off at either width."""
    with chromium.new_context(viewport={"width": width, "height": 900}) as context:
        easel = Easel(context, f"http://shop.example/support/{name}")
        # Its own script looks again while a repair runs, which would start all over.
        page = easel.show(html, scripts=False)
        for fold in page.locator("details").all():
            fold.evaluate("fold => { fold.open = true; }")

        assert barriers_of(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_barrier_is_noticed(easel: Easel) -> None:
    """A field without a label and pale words, planted, are found."""
    html = (
        "<!doctype html><html lang=en><title>x</title><main><h1>x</h1><input>"
        "<p style='color:#999;background:#aaa'>pale</p></main></html>"
    )
    found = barriers_of(easel.show(html, scripts=True))

    assert {"label", "color-contrast"} <= {barrier.split()[0] for barrier in found}
    assert {"(light):", "(dark):"} <= {barrier.split()[1] for barrier in found}
