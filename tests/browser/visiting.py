"""A visitor with a real browser, and everything that must not happen meanwhile."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from playwright.sync_api import (
    BrowserContext,
    ConsoleMessage,
    Locator,
    Page,
    Request,
    WebError,
    expect,
)

from stack.driver import Stack
from tests.browser.barriers import Easel, barriers_of
from tests.durability.breaking import Fault
from tests.durability.counting import connect_owner, get_json

#: For any one thing to appear. Generous: the machine may be busy with others.
LIMIT_SECONDS = 30.0

CHECKOUT = "Acme one-year plan"
CONFIRMING = "We are confirming your $249.00 with your bank."
BANK_CHECK = "Your bank wants to confirm it is you."
DECLINED = "Your bank declined the card. You have not been charged."
UNKNOWN = "We don't know yet if your payment went through."
ALREADY_PAID = "You already paid for this."
RECEIVED = "We received your $249.00. You do not need to pay again."
HOLDING = "Please don't pay again yet."
SUCCESS = "You're in."

VISA = "Visa that pays at once"
DECLINED_CARD = "Visa that is declined, without reason"
ASKING_CARD = "Visa whose bank asks you to approve (3-D Secure)"

#: A phone and a laptop. Left at the laptop's.
_SIZES = ((390, 844), (1280, 900))
_HERE = "127.0.0.1"

_OVERFLOW = """() => {
  const root = document.documentElement;
  const outside = [...document.body.querySelectorAll("*")]
    .filter((e) => e.getBoundingClientRect().right > root.clientWidth + 1);
  return [root.scrollWidth, outside.slice(0, 3).map((e) => e.outerHTML.slice(0, 120))];
}"""


@dataclass(frozen=True, slots=True)
class Charges:
    """What the processor has of one checkout."""

    succeeded: int
    payment_intents: int


class Visitor:
    """One person at one browser with cookies of its own.

    Attributes:
        stack: What they visit.
        context: Their browser.
        page: The tab in front.
        email: Their own, so that all that is theirs can be told apart.
        address: Their checkout's, once it is open.
        complaints: Errors on the console, refusals of the content policy included.
        strangers: Requests that were for another machine.
    """

    def __init__(
        self,
        context: BrowserContext,
        stack: Stack,
        pictures: Path | None = None,
        *,
        runs_scripts: bool = True,
    ) -> None:
        self.stack = stack
        self.context = context
        self.email = f"mara-{uuid4().hex[:8]}@example.com"
        self.address = ""
        self.complaints: list[str] = []
        self.strangers: list[str] = []
        self._excused: list[str] = []
        self._pictures = pictures
        self._runs_scripts = runs_scripts
        context.set_default_timeout(LIMIT_SECONDS * 1000)
        context.on("console", self._hear)
        context.on("weberror", self._catch)
        context.on("request", self._notice)
        self.page = context.new_page()

    def open_shop(self) -> None:
        """Come to the shop."""
        self.page.goto(self.stack.at.shop)
        self.see(CHECKOUT)

    def wish(self) -> None:
        """Come to the shop, type the address, and go on."""
        self.open_shop()
        self.page.get_by_label("Your e-mail address").fill(self.email)
        self.page.get_by_role("button", name="Continue to payment").click()

    def open_checkout(self) -> None:
        """Type the address and go on to the payment."""
        self.wish()
        expect(self.pay_button()).to_be_visible()
        self.address = self.page.url
        assert urlsplit(self.address).path.startswith("/c/")

    def pay(self, card: str | None = None, *, page: Page | None = None) -> None:
        """Press Pay, with the card that is chosen already or another."""
        page = page or self.page
        if card is not None:
            page.get_by_label("Test card").select_option(label=card)
        self.pay_button(page).click()

    def buy(self) -> None:
        """Buy, with nothing going wrong."""
        self.open_checkout()
        self.pay()
        self.come_to(SUCCESS)

    def see(self, headline: str, *, page: Page | None = None) -> None:
        """Wait until the page says so."""
        expect(self.headline(page)).to_contain_text(headline)

    def come_to(self, headline: str) -> None:
        """Wait until the page says so; where no script runs, by asking again."""
        if self._runs_scripts:
            self.see(headline)
        else:
            self._ask_until(lambda: headline in _spoken(self.headline()))

    def come_to_words(self, words: re.Pattern[str]) -> None:
        """Wait for words anywhere on the page, as `come_to` does."""
        place = self.page.locator("main")
        if self._runs_scripts:
            expect(place).to_contain_text(words)
        else:
            self._ask_until(lambda: words.search(_spoken(place)) is not None)

    def _ask_until(self, is_there: Callable[[], bool]) -> None:
        deadline = time.monotonic() + LIMIT_SECONDS
        while not is_there():
            assert time.monotonic() < deadline, self.page.locator("main").inner_text()
            self.page.get_by_text("Check again", exact=True).click()

    def headline(self, page: Page | None = None) -> Locator:
        """Return the page's first line."""
        return (page or self.page).get_by_role("heading", level=1)

    def pay_button(self, page: Page | None = None) -> Locator:
        """Return what would start a payment."""
        name = re.compile(r"^(Pay|Try again)")
        return (page or self.page).get_by_role("button", name=name)

    def follow(self, link: Locator) -> Page:
        """Follow a link that opens a tab of its own."""
        with self.context.expect_page() as opened:
            link.click()
        page = opened.value
        page.wait_for_load_state()
        return page

    def open_mail(self, kind: str) -> Page:
        """Wait for the mail and open it in the mailbox, in a tab of its own."""
        found = get_json(
            f"{self.stack.at.mailbox}/api/mails/wait",
            to=self.email,
            kind=kind,
            timeout=str(LIMIT_SECONDS),
        )
        assert found["complete"], f"The {kind} did not come."
        page = self.context.new_page()
        page.goto(f"{self.stack.at.mailbox}/mails/{found['mails'][-1]['id']}")
        return page

    def look(self, name: str, *, page: Page | None = None) -> None:
        """Look at the page on a phone and on a laptop; nothing is cut off.

        Our own pages must also be usable without seeing them, or with weak eyes.

        Args:
            name: What the pictures of it are called, when somebody wants them.
            page: Another tab than the one in front.
        """
        page = page or self.page
        # The press before may have led to another page, which is still arriving.
        page.wait_for_load_state()
        for width, height in _SIZES:
            page.set_viewport_size({"width": width, "height": height})
            shown, outside = page.evaluate(_OVERFLOW)
            assert shown <= width, f"{name} is {shown} px wide at {width}: {outside}"
            if self._pictures is not None:
                _picture(page, self._pictures / f"{name}-{width}.png")
        if page.url.startswith(self.stack.at.shop):
            assert self._barriers(page) == [], name

    def _barriers(self, page: Page) -> list[str]:
        if self._runs_scripts:
            return barriers_of(page)
        # Nothing can be asked of a page that runs no scripts: another browser shows
        # the same text at the same address, and keeps the page's own scripts out.
        assert self.context.browser is not None
        with self.context.browser.new_context() as context:
            easel = Easel(context, page.url)
            return barriers_of(easel.show(page.content(), scripts=False))

    def charges(self) -> Charges:
        """Count at the processor, which alone knows what moved."""
        at, checkout_id = self.stack.at, self._checkout_id()
        summary = get_json(f"{at.processor}/sandbox/summary")
        intents = get_json(
            f"{at.processor}/sandbox/payment_intents", checkout_id=checkout_id
        )
        return Charges(
            succeeded=len(summary["checkouts"].get(checkout_id, [])),
            payment_intents=len(intents["data"]),
        )

    def hold_access(self) -> Fault:
        """Have the application hold this buyer's access for the time of a block."""
        wanted = {"action": "hold_then_act", "times": 99, "email": self.email}
        return Fault(self.stack.at.application, wanted)

    def move(self, change: str) -> None:
        """Have this checkout's row be so, as time or a person at work would."""
        with connect_owner(self.stack) as connection:
            statement = f"UPDATE checkouts SET {change} WHERE checkout_id = %s"  # noqa: S608  # Constants of tests.
            connection.execute(statement.encode(), [self._checkout_id()])

    def hold_charge(self) -> Fault:
        """Have the processor hold this checkout's charge for the time of a block."""
        match: dict[str, Any] = {
            "method": "POST",
            "path_regex": "/confirm$",
            "checkout_id": self._checkout_id(),
        }
        wanted = {"action": "hold_then_act", "match": match}
        return Fault(self.stack.at.processor, wanted)

    def excuse(self, complaint: str) -> None:
        """Expect a complaint that the test itself brings about."""
        self._excused.append(complaint)

    def assert_undisturbed(self) -> None:
        """Assert that no page complained, and that none asked another machine."""
        complaints = [
            complaint
            for complaint in self.complaints
            if not any(excuse in complaint for excuse in self._excused)
        ]
        assert not complaints, f"The console says: {complaints}"
        assert not self.strangers, f"Other machines were asked: {self.strangers}"

    def _checkout_id(self) -> str:
        with connect_owner(self.stack) as connection:
            found = connection.execute(
                "SELECT checkout_id FROM checkouts WHERE email = %s", [self.email]
            ).fetchone()
        assert found is not None, f"{self.email} has no checkout."
        return str(found[0])

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(message.text)

    def _catch(self, error: WebError) -> None:
        self.complaints.append(str(error.error))

    def _notice(self, request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme not in {"data", "blob"} and address.hostname != _HERE:
            self.strangers.append(request.url)


def _spoken(place: Locator) -> str:
    """Return what stands there as one line, however it is laid out."""
    return " ".join(place.inner_text().split())


def _picture(page: Page, path: Path) -> None:
    """Take one of the whole page, and one for people who read in the dark."""
    page.screenshot(path=path, full_page=True)
    page.emulate_media(color_scheme="dark")
    page.screenshot(path=path.with_stem(f"{path.stem}-dark"), full_page=True)
    page.emulate_media(color_scheme="light")
