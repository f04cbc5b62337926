"""A buyer with a browser: follows forms and redirects, reads headlines, no API."""

import time
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Self
from urllib.parse import urljoin

import httpx

from stack.errors import StackError


@dataclass(slots=True)
class Form:
    """A form of a page with the values it came with."""

    action: str
    values: dict[str, str] = field(default_factory=dict)


class _Reader(HTMLParser):
    """Finds the forms and the first headline."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.headline = ""
        self._in_headline = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(Form(found.get("action", "")))
        elif tag in ("input", "select", "button") and self.forms and "name" in found:
            self.forms[-1].values[found["name"]] = found.get("value", "")
        # It may hold its sentences apart, each in an element of its own.
        if tag == "h1" and not self.headline:
            self._in_headline = True

    def handle_endtag(self, tag: str) -> None:
        if tag == "h1":
            self._in_headline = False

    def handle_data(self, data: str) -> None:
        if self._in_headline:
            self.headline = " ".join(f"{self.headline} {data}".split())


@dataclass(frozen=True, slots=True)
class Sight:
    """What the buyer saw, and since when.

    Attributes:
        at: monotonic seconds.
        headline: the page's first line; None when nothing answered.
    """

    at: float
    headline: str | None


class Buyer:
    """One buyer and everything they saw.

    Attributes:
        seen: each time the headline changed, in order.
        address: the page they are on.
    """

    def __init__(self, shop: str) -> None:
        self.seen: list[Sight] = []
        self.address = shop
        # Short: a person who waits longer presses reload.
        self._browser = httpx.Client(
            follow_redirects=True, trust_env=False, timeout=httpx.Timeout(5, connect=1)
        )

    def __enter__(self) -> Self:
        """Open the browser."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the browser."""
        self._browser.close()

    def look(self) -> str | None:
        """Load the page again; its headline, or None when nothing answers."""
        try:
            reply = self._browser.get(self.address)
            headline = _read(reply).headline if reply.is_success else None
        except httpx.TransportError:
            headline = None
        if not self.seen or self.seen[-1].headline != headline:
            self.seen.append(Sight(time.monotonic(), headline))
        return headline

    def submit(self, action_ends: str, **typed: str) -> None:
        """Fill in the page's form whose address ends so, and press its button.

        Raises:
            StackError: there is no such form, or it was not accepted.
        """
        page = _read(self._browser.get(self.address))
        form = next((f for f in page.forms if f.action.endswith(action_ends)), None)
        if form is None:
            raise StackError(f"{self.address} has no form for {action_ends}.")
        target = urljoin(self.address, form.action)
        reply = self._browser.post(
            target,
            data={**form.values, **typed},
            headers={"Origin": str(httpx.URL(target).copy_with(raw_path=b"/"))[:-1]},
        )
        if not reply.is_success:
            raise StackError(f"{target} answered {reply.status_code}.")
        self.address = str(reply.url)


def _read(reply: httpx.Response) -> _Reader:
    reader = _Reader()
    reader.feed(reply.text)
    return reader
