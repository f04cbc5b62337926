"""Takes pictures of exhibits in Chromium, without a stack or a port."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from mimetypes import guess_type
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, Route, sync_playwright

from gallery.exhibits import Exhibit
from stack.doctor import find_chromium

WIDTHS = (1280, 390)
#: In the shape of the tiles of the contact sheets, so that no tile has an empty end.
_HEIGHTS = {1280: 1000, 390: 780}

#: Looked at in the dark too; the style is the same for all others.
DARK = {
    "pages/checkout", "pages/unknown", "pages/success", "pages/refunded",
    "account/orders", "edge/checkout", "mails/receipt", "mails/checking",
}  # fmt: skip

_ADDRESS = "https://shop.example/exhibit"
_STATIC = Path(__file__).parents[1] / "api" / "static"
#: It shall ask nobody outside, and it may run as root in a container without a GPU.
_OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


class NoChromium(RuntimeError):
    """There is no Chromium on this machine's path; pictures need one."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the system's Chromium.

    Raises:
        NoChromium: There is none.
    """
    place = find_chromium()
    if place is None:
        raise NoChromium(NoChromium.__doc__)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=place, args=_OPTIONS)
        yield browser
        browser.close()


def take_pictures(browser: Browser, shown: tuple[Exhibit, ...], out: Path) -> None:
    """Write every exhibit's pictures into a folder."""
    dark = tuple(each for each in shown if f"{each.family}/{each.name}" in DARK)
    for width in WIDTHS:
        _take(browser, shown, out, width, is_dark=False)
        _take(browser, dark, out, width, is_dark=True)


def take_sheet(browser: Browser, page: Path, picture: Path, width: int) -> None:
    """Write a picture of a page of pictures that stands in a file."""
    tab = browser.new_page(viewport={"width": width, "height": 600})
    tab.goto(page.as_uri())
    tab.screenshot(path=picture, full_page=True)
    tab.close()


def _take(
    browser: Browser,
    shown: tuple[Exhibit, ...],
    out: Path,
    width: int,
    *,
    is_dark: bool,
) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": _HEIGHTS[width]},
        color_scheme="dark" if is_dark else "light",
        reduced_motion="reduce",
    )
    tab = context.new_page()
    for exhibit in shown:
        path = out / exhibit.picture(width, is_dark=is_dark)
        path.parent.mkdir(parents=True, exist_ok=True)
        _show(tab, exhibit)
        tab.screenshot(path=path, full_page=True, animations="disabled")
    context.close()


def _show(tab: Page, exhibit: Exhibit) -> None:
    def answer(route: Route) -> None:
        place = urlsplit(route.request.url).path
        if route.request.resource_type == "document":
            route.fulfill(body=exhibit.html, content_type="text/html; charset=utf-8")
        elif place.startswith("/static/"):
            file = _STATIC / Path(place).name
            kind = guess_type(file.name)[0] or "application/octet-stream"
            route.fulfill(body=file.read_bytes(), content_type=kind)
        else:
            # An answer without news: no page that follows its state changes.
            route.fulfill(status=429)

    tab.unroute_all()
    tab.route("**/*", answer)
    tab.goto(_ADDRESS, wait_until="load")
