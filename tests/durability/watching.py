"""A buyer who reloads the page ten times a second, and what may be said to them.

The page is held against the processor's own record of when the money moved. Nothing
else can prove that a sentence was true at the moment it was shown.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Self

import httpx

RELOAD_SECONDS = 0.1

#: An answer slower than this is as good as none: people press Pay again.
PATIENCE_SECONDS = 10.0

HOLDING = "Please don't pay again yet."
CONFIRMING = "We are confirming your $249.00 with your bank."
RECEIVED = "We received your $249.00. You do not need to pay again."
WITHDRAWN = "You have not been charged. You can safely try again."
BANK_CHECK = "Your bank wants to confirm it is you."
SUCCESS = "You're in."

#: What nobody may read who was charged.
_CLAIMS_NO_CHARGE = ("not been charged", "try again", "nothing was charged")
#: What nobody may read who was not.
_CLAIMS_CHARGE = ("we received your", "you're in", "you paid")

_FIRST_FAULT = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """One look at the page.

    Attributes:
        began_at: Epoch seconds when the request was sent.
        ended_at: Epoch seconds when the answer was there, or its absence was certain.
        status: HTTP status; None when nothing answered.
        headline: The page's first line; empty when nothing answered.
        offers_payment: The page holds a form that pays.
        text: All that a person can read on it.
        trouble: How the connection failed; empty when it did not.
    """

    began_at: float
    ended_at: float
    status: int | None
    headline: str
    offers_payment: bool
    text: str
    trouble: str = ""

    @property
    def claims_charge(self) -> bool:
        """It says that the money was received."""
        return any(words in self.text.lower() for words in _CLAIMS_CHARGE)

    @property
    def claims_no_charge(self) -> bool:
        """It says that no money moved, or asks for it."""
        said = any(words in self.text.lower() for words in _CLAIMS_NO_CHARGE)
        return said or self.offers_payment


class _PageReader(HTMLParser):
    """Collects what a person sees: text, first headline, forms that pay."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.headline = ""
        self.offers_payment = False
        self._inside = ""
        self._is_in_headline = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        # A headline may hold its sentences apart, so that each breaks well.
        self._is_in_headline = self._is_in_headline or tag == "h1"
        action = dict(attrs).get("action") or ""
        if tag == "form" and action.endswith("/pay"):
            self.offers_payment = True

    def handle_endtag(self, tag: str) -> None:
        if tag == self._inside:
            self._inside = ""
        if tag == "h1":
            self._is_in_headline = False

    def handle_data(self, data: str) -> None:
        if self._inside in {"script", "style"}:
            return
        self.words.append(data)
        if self._is_in_headline:
            self.headline = " ".join(f"{self.headline} {data}".split())


def read_page(reply: httpx.Response, began_at: float) -> Sighting:
    """Turn an answer into what a person saw."""
    reader = _PageReader()
    reader.feed(reply.text)
    return Sighting(
        began_at=began_at,
        ended_at=time.time(),
        status=reply.status_code,
        headline=reader.headline,
        offers_payment=reader.offers_payment,
        text=" ".join(" ".join(reader.words).split()),
    )


def no_answer(error: httpx.TransportError, began_at: float) -> Sighting:
    """Turn a connection that failed into what a person saw: nothing."""
    return Sighting(
        began_at=began_at,
        ended_at=time.time(),
        status=None,
        headline="",
        offers_payment=False,
        text="",
        trouble=type(error).__name__,
    )


class Watcher:
    """Reloads one page in a thread until the block ends.

    Args:
        address: The checkout's page.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._sightings: list[Sighting] = []
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        """Begin to watch."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop watching; what was seen stays."""
        self._stop.set()
        self._thread.join()

    @property
    def sightings(self) -> list[Sighting]:
        """Everything seen so far, in order."""
        with self._changed:
            return list(self._sightings)

    def seen(self) -> list[str]:
        """The headlines in order, each run of equal ones once; "" for no answer."""
        told: list[str] = []
        for sighting in self.sightings:
            if not told or told[-1] != sighting.headline:
                told.append(sighting.headline)
        return told

    def wait_for(self, headline: str, *, limit_seconds: float = 30) -> Sighting:
        """Return the first look, asked for from now on, whose headline begins so."""
        asked_at = time.time()
        return self.wait_until(
            lambda look: (
                look.began_at >= asked_at and look.headline.startswith(headline)
            ),
            limit_seconds=limit_seconds,
            what=f"the page to say “{headline}”",
        )

    def wait_until(
        self, found: Callable[[Sighting], bool], *, limit_seconds: float, what: str
    ) -> Sighting:
        """Return the first look of all that is as wanted, as soon as there is one."""
        deadline = time.monotonic() + limit_seconds
        looked = 0
        with self._changed:
            while True:
                for sighting in self._sightings[looked:]:
                    if found(sighting):
                        return sighting
                looked = len(self._sightings)
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
        said = self.seen()
        raise AssertionError(f"Waited {limit_seconds} s for {what}. Seen: {said}")

    def wait_seconds(self, seconds: float) -> None:
        """Go on watching for so long: the test's own measure of time."""
        until = time.time() + seconds
        self.wait_until(
            lambda look: look.ended_at >= until,
            limit_seconds=seconds + PATIENCE_SECONDS,
            what="time to pass",
        )

    def _watch(self) -> None:
        limits = httpx.Timeout(PATIENCE_SECONDS, connect=2)
        with httpx.Client(trust_env=False, timeout=limits) as browser:
            while not self._stop.is_set():
                sighting = self._look(browser)
                with self._changed:
                    self._sightings.append(sighting)
                    self._changed.notify_all()
                self._stop.wait(RELOAD_SECONDS)

    def _look(self, browser: httpx.Client) -> Sighting:
        began_at = time.time()
        try:
            return read_page(browser.get(self._address), began_at)
        except httpx.TransportError as error:
            return no_answer(error, began_at)


def assert_truthful(sightings: list[Sighting], charged_at: float | None) -> None:
    """Assert that no page ever said anything untrue; see :func:`find_lies`."""
    assert sightings, "Nobody looked at the page."
    assert find_lies(sightings, charged_at) == []


def find_lies(sightings: list[Sighting], charged_at: float | None) -> list[str]:
    """Return a line for each look at which a page said anything untrue.

    A request that was under way while the money moved may say either: it is held only
    against what was certain when it was sent, or still was when it was answered.

    Args:
        sightings: Everything that was seen, in order.
        charged_at: Epoch seconds of the charge, by the processor; None without one.
    """
    return [
        f"{look.ended_at - sightings[0].began_at:.1f} s: {fault}: "
        f"{look.status} “{look.headline}” {look.trouble}"
        for index, look in enumerate(sightings)
        if (fault := _lie(look, charged_at, sightings[:index]))
    ]


def _lie(look: Sighting, charged_at: float | None, earlier: list[Sighting]) -> str:
    """Return what is wrong with one look; empty when nothing is."""
    if look.status is None:
        # A shop that is down says nothing. One that is up may not keep people waiting.
        return "no answer in time" if "ReadTimeout" in look.trouble else ""
    if "Traceback" in look.text:
        return "a stack trace"
    if look.status >= _FIRST_FAULT:
        return "" if look.headline == HOLDING else "an error page of other words"
    if charged_at is not None and look.began_at >= charged_at and look.claims_no_charge:
        return "charged, but it says not"
    if look.claims_charge and (charged_at is None or look.ended_at < charged_at):
        return "not charged, but it says so"
    return _step_back(look, earlier)


def _step_back(look: Sighting, earlier: list[Sighting]) -> str:
    """Return what was taken back that an earlier page had said."""
    before = [e for e in earlier if e.status == httpx.codes.OK]
    if any(e.claims_charge for e in before) and not look.claims_charge:
        return "“received” was taken back"
    was_in = any(e.headline.startswith(SUCCESS) for e in before)
    if was_in and not look.headline.startswith(SUCCESS):
        return "“You're in” was taken back"
    return ""
