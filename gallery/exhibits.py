"""What hangs in the gallery: every page and every mail, with whom it is for.

Pages and mails come from `tests/specimens`, so what is looked at is what is tested.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape

from api.pages import Pages, order_line, view_of
from domain.customer_view import CATALOGUE
from domain.emails import EmailKind
from domain.refunds import Returned
from domain.states import AccessState, MoneyState
from gallery.holding import PLACES, holding_page
from settings import Settings
from tests.specimens import mails, pages

_HEADLINE = re.compile(r"<h1[^>]*>(.*?)</h1>", re.DOTALL)
_TAG = re.compile(r"<[^>]*>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exhibit:
    """One page or mail, ready to be looked at.

    Attributes:
        family: The folder of its pictures.
        name: The name of its pictures; unique in the family.
        state: What it is an example of; the docs show the first of each.
        feeling: What the person in front of it feels.
        claim: What it says first.
        subject: Of a mail; empty for a page.
        html: The page itself.
    """

    family: str
    name: str
    state: str
    feeling: str
    claim: str
    subject: str = ""
    html: str

    def picture(self, width: int, *, is_dark: bool = False) -> str:
        """Return the file's name of a picture, from the gallery's folder."""
        return f"{self.family}/{self.name}-{width}{'-dark' if is_dark else ''}.png"


#: What a reader feels where no checkout is at hand; the catalogue has the others.
_FEELINGS = {
    "shop": "Curious, and careful: what does it cost, and is anything hidden?",
    "shop-problem": "Caught out by a typing error, and wants to go on.",
    "fault-at-a-checkout": CATALOGUE["holding"].feeling,
    "fault-elsewhere": "Startled: is what I bought still there?",
    "not-started": "Unsure whether pressing the button already bought something.",
    "no-checkout": "Lost: the address is incomplete or old, and money may be in it.",
    "not-found": "Lost, and wants the way back.",
    "wrong-method": "Lost, and wants the way back.",
    "too-large": "Puzzled: what was wrong with what I sent?",
    "form-refused": "Worried: did the press count?",
    "foreign-form": "Worried: did the press count?",
    "link-unusable": "Impatient: the link from the mail does not open.",
    "orders-hidden": "Wants to see the orders, and finds a door.",
    "too-often": "Impatient, and has pressed many times.",
    "sign-in": "Wants to see the orders, without one more password.",
    "sign-in-problem": "Caught out by a typing error, and wants to go on.",
    "link-asked": "Waits for the mail, and wonders whether the address was right.",
    "sign-in-button": "Nearly there.",
    "orders": "Looks for the receipt, or for the date when it ends.",
    "orders-none": "Expected a purchase here: is it lost?",
}

#: The same for each place of the edge's page.
_AT_THE_EDGE = {
    "checkout": CATALOGUE["holding"].feeling,
    "opening": "Unsure whether pressing the button already bought something.",
    "shop": "Wanted to buy, and doubts that this shop is alive.",
    "account": "Startled: is what I bought still there?",
    "elsewhere": CATALOGUE["holding"].feeling,
}

#: And for whoever opens a mail.
_MAIL_FEELINGS: dict[EmailKind | None, str] = {
    EmailKind.RECEIPT: "Relieved; wants in, and something to keep.",
    EmailKind.RECEIVED: CATALOGUE["received_late"].feeling,
    EmailKind.RECEIVED_STILL: "Impatient: an hour, and still no door.",
    EmailKind.RECEIVED_PERSON: "Doubts that anybody is there at all.",
    EmailKind.CHECKING: CATALOGUE["unknown"].feeling,
    EmailKind.CHECKING_STILL: "Has looked at the bank's app twice; wants an end.",
    EmailKind.CHECKING_PERSON: "Doubts that anybody is there at all.",
    EmailKind.CHECKING_LATE: CATALOGUE["unknown_longer"].feeling,
    EmailKind.BANK_CHECK: CATALOGUE["bank_check"].feeling,
    EmailKind.NOT_CHARGED: CATALOGUE["not_charged"].feeling,
    EmailKind.DECLINED: "Embarrassed, and half decided to leave it.",
    EmailKind.CHARGED_TWICE: CATALOGUE["duplicate"].feeling,
    EmailKind.REFUNDED: CATALOGUE["refunding"].feeling,
    EmailKind.REFUND_FAILED: "Distrustful: it was promised, and it did not come.",
    EmailKind.REFUND_ARRIVED: CATALOGUE["refunded"].feeling,
    EmailKind.GOT_IN: "Had a bad day with us, and may still be outside.",
    EmailKind.ENDING_IN_30: "Afraid of a renewal that nobody asked for.",
    EmailKind.ENDING_IN_7: "Wants to keep it, without a gap.",
    EmailKind.OPEN_AGAIN: "Had given up, or forgotten it.",
    EmailKind.ADDRESS_CHANGED: "Wanted it; or knows nothing of it, and is alarmed.",
    None: "Impatient: came to see the orders, and waits for this link.",
}


def exhibits() -> tuple[Exhibit, ...]:
    """Return everything, in the order of a purchase."""
    settings = pages.specimen_settings()
    return (
        *_pages(settings),
        *_account(settings),
        *_edge(settings),
        *_mails(),
    )


def _pages(settings: Settings) -> Iterator[Exhibit]:
    for specimen in pages.SPECIMENS:
        state = specimen.name
        if specimen.row is not None:
            state = view_of(specimen.row, again=specimen.again).state
        elif specimen.name.startswith("holding"):
            state = "holding"
        feeling = CATALOGUE[state].feeling if state in CATALOGUE else _FEELINGS[state]
        html = specimen.render(settings)
        yield _page("pages", specimen.name, html, feeling, state=state)


def _account(settings: Settings) -> Iterator[Exhibit]:
    """Yield the pages of the account, which no checkout's state shows."""
    bought = [
        pages.make_row(MoneyState.CHARGED, AccessState.ACTIVE),
        pages.make_row(
            MoneyState.REFUNDED,
            AccessState.ENDED,
            returned=Returned(amount=pages.PRICE, at=pages.NOW),
        ),
    ]
    view = Pages(settings, clock=lambda: pages.NOW)
    lines = [order_line(row, settings) for row in bought]
    problem = "An e-mail address has an @-sign."
    shown = {
        "sign-in": view.sign_in(),
        "sign-in-problem": view.sign_in(
            email="mara.example.com", problem=problem, status=422
        ),
        "link-asked": view.link_asked(),
        "sign-in-button": view.sign_in_button("/account/sign-in/q3vXo0"),
        "orders": view.orders("m•••@example.com", lines),
        "orders-none": view.orders("m•••@example.com", []),
    }
    for name, response in shown.items():
        html = bytes(response.body).decode()
        yield _page("account", name, html, _FEELINGS[name], state=name)


def _edge(settings: Settings) -> Iterator[Exhibit]:
    """Yield what stands there when the server is dead."""
    back = {"checkout": pages.PATH, "account": "/account"}
    for place in PLACES:
        html = holding_page(place, back.get(place, "/"), settings)
        yield _page("edge", place, html, _AT_THE_EDGE[place], state=f"edge-{place}")


def _page(family: str, name: str, html: str, feeling: str, *, state: str) -> Exhibit:
    found = _HEADLINE.search(html)
    if found is None:
        raise ValueError(f"the page {name} has no headline")
    claim = " ".join(unescape(_TAG.sub(" ", found[1])).split())
    return Exhibit(
        family=family, name=name, state=state, feeling=feeling, claim=claim, html=html
    )


def _mails() -> Iterator[Exhibit]:
    for specimen in mails.specimens():
        yield Exhibit(
            family="mails",
            name=specimen.name,
            state=f"mail-{specimen.kind or 'sign-in'}",
            feeling=_MAIL_FEELINGS[specimen.kind],
            claim=specimen.letter.headline,
            subject=specimen.letter.subject,
            html=specimen.letter.as_html(),
        )
