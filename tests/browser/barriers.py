"""What would keep somebody from using a page: axe's rules, in light and in dark."""

from __future__ import annotations

from mimetypes import guess_type
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import BrowserContext, Page, Route

_STATIC = Path(__file__).parents[2] / "api" / "static"
_SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")

#: Asked for what is wrong alone, axe writes no report of all that is right.
_RUN = """async () => {
  const found = await axe.run({resultTypes: ["violations"]});
  return found.violations.map((one) => [one.id, one.nodes[0].html.slice(0, 160)]);
}"""


def barriers_of(page: Page) -> list[str]:
    """Return every violation that axe finds, with the place it is at."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    found: list[str] = []
    for scheme in _SCHEMES:
        page.emulate_media(color_scheme=scheme)
        found += [f"{rule} ({scheme}): {html}" for rule, html in page.evaluate(_RUN)]
    page.emulate_media(color_scheme="light")
    return found


class Easel:
    """One tab that shows page after page, without a server behind it.

    Every page is loaded anew, with its own styles and, if wanted, its own scripts; a
    browser for each would only cost time.

    Args:
        context: Whose browser.
        address: Where the pages seem to be.
    """

    def __init__(self, context: BrowserContext, address: str) -> None:
        self._address = address
        self._html = ""
        self._scripts = True
        self._page = context.new_page()
        self._page.add_init_script(AXE_SCRIPT)
        self._page.route("**/*", self._answer)

    def show(self, html: str, *, scripts: bool) -> Page:
        """Show a text as the page; its scripts run only if they may."""
        self._html, self._scripts = html, scripts
        self._page.goto(self._address)
        return self._page

    def _answer(self, route: Route) -> None:
        request = route.request
        path = urlsplit(request.url).path
        if request.resource_type == "document":
            route.fulfill(body=self._html, content_type="text/html; charset=utf-8")
        elif request.resource_type == "script" and not self._scripts:
            route.abort()
        elif path.startswith("/static/"):
            file = _STATIC / Path(path).name
            route.fulfill(body=file.read_bytes(), content_type=guess_type(file)[0])
        else:
            # An answer without news: no page that follows its state changes.
            route.fulfill(status=429)
