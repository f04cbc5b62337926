"""What an action came to, told on the page that follows it.

The words are chosen by a short key in the address, so that nobody can make our page say
something of theirs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import TypeVar
from uuid import UUID

from starlette.responses import RedirectResponse

T = TypeVar("T")

#: Between two looks at how something ends.
_BETWEEN_SECONDS = 0.2


class Said(StrEnum):
    """Each outcome that a page can tell."""

    CLAIMED = "claimed"
    GIVEN_BACK = "given-back"
    HANDED_OVER = "handed-over"
    MOVED = "moved"
    NOTED = "noted"
    HELD = "held"
    NOT_HELD = "not-held"
    CLOSED = "closed"
    OPENED = "opened"
    PAYMENT_OPENED = "payment-opened"
    REPAIR_ASKED = "repair-asked"
    REPAIR_DONE = "repair-done"
    REPAIR_BY_OTHER = "repair-by-other"
    REPAIR_WAITS = "repair-waits"
    REPAIR_STALE = "repair-stale"
    REFUND_ASKED = "refund-asked"
    REFUND_BY_OTHER = "refund-by-other"
    REFUND_SENT_BEFORE = "refund-sent-before"
    REFUND_CAME_BACK = "refund-came-back"
    REFUND_WAS_TAKEN_BACK = "refund-was-taken-back"
    REFUND_TAKEN_BACK = "refund-taken-back"
    REFUND_TAKEN_BEFORE = "refund-taken-before"
    REFUND_TOO_LATE = "refund-too-late"
    RUN_DONE = "run-done"
    RUN_GOES_ON = "run-goes-on"
    RUN_WAITS = "run-waits"
    RUN_NOT_BEGUN = "run-not-begun"
    REPAIRS_HELD = "repairs-held"
    REPAIRS_HELD_BEFORE = "repairs-held-before"
    REPAIRS_RELEASED = "repairs-released"
    MAIL_LET_GO = "mail-let-go"
    MAIL_CHANGED = "mail-changed"
    NO_MAIL_HELD = "no-mail-held"
    DAYS_ADDED = "days-added"
    ADDRESS_CORRECTED = "address-corrected"
    CHANGE_WAITS = "change-waits"
    CHANGE_BY_OTHER = "change-by-other"
    REPLY_SENT = "reply-sent"
    REPLY_WAITS = "reply-waits"
    REPLY_REFUSED = "reply-refused"
    REPLY_TWICE = "reply-twice"
    REPLY_BY_OTHER = "reply-by-other"


WORDS: dict[Said, str] = {
    Said.CLAIMED: "This case is yours now.",
    Said.GIVEN_BACK: "This case is back on the list, for whoever takes it.",
    Said.HANDED_OVER: "Handed over. Your colleague finds it on top of their list.",
    Said.MOVED: "Somebody, or the machine, was quicker: see how it stands now. "
    "Nothing was changed.",
    Said.NOTED: "Your note is written below.",
    Said.HELD: "Held. It comes back to the list by itself.",
    Said.NOT_HELD: "It is back on the list.",
    Said.CLOSED: "Closed. It stays in “Done today”, and the search finds it.",
    Said.OPENED: "A case is open, and it is yours.",
    Said.PAYMENT_OPENED: "It has a case now. Nobody holds it yet: take it.",
    Said.REPAIR_ASKED: "The repair is under way. This page shows how it ends.",
    Said.REPAIR_DONE: "The repair is done. Below is what it found and did.",
    Said.REPAIR_BY_OTHER: "Somebody asked for this repair before you. It is the same "
    "one: it runs once.",
    Said.REPAIR_WAITS: "It is written down. Temporal does not answer this second; "
    "it is told by itself as soon as it does.",
    Said.REPAIR_STALE: "This case has moved on since you opened it. Nothing was done. "
    "Look at it as it stands now.",
    Said.REFUND_ASKED: "The money goes back in ten minutes. Until then it can be taken "
    "back below.",
    Said.REFUND_BY_OTHER: "Somebody asked for a refund since you opened this page. "
    "Nothing was added to it.",
    Said.REFUND_SENT_BEFORE: "You asked for this refund before, and it was sent then. "
    "Nothing was added to it.",
    Said.REFUND_CAME_BACK: "You asked for this refund before, and the bank did not "
    "take it. Nothing goes back by this press: see below how it stands.",
    Said.REFUND_WAS_TAKEN_BACK: "This refund was taken back before it was sent. "
    "Nothing goes back by this press: if it shall after all, ask for it anew below.",
    Said.REFUND_TAKEN_BACK: "Taken back. The money stays.",
    Said.REFUND_TAKEN_BEFORE: "It was taken back before you pressed. Its money stays; "
    "no other refund was touched.",
    Said.REFUND_TOO_LATE: "It was sent already, so it cannot be taken back.",
    Said.RUN_DONE: "Compared. The first line below says what differs.",
    Said.RUN_GOES_ON: "It compares, and goes on by itself. Look again in a moment.",
    Said.RUN_WAITS: "It has not begun: another run is under way, or the worker is "
    "busy. Look at the runs below in three minutes.",
    Said.RUN_NOT_BEGUN: "Temporal does not answer this second, so nothing was "
    "compared. Press again in a minute; the schedule begins again by itself.",
    Said.REPAIRS_HELD: "Held. Differences are found and counted, and nothing is "
    "done about them.",
    Said.REPAIRS_HELD_BEFORE: "Somebody held it before you; their reason stands.",
    Said.REPAIRS_RELEASED: "Repairs are asked for again, from the next run on.",
    Said.MAIL_LET_GO: "The mail leaves within a few minutes.",
    Said.MAIL_CHANGED: "The list changed since you opened it. Nothing was let go. Look "
    "at it as it stands now.",
    Said.NO_MAIL_HELD: "No mail was held: somebody let it go before you.",
    Said.DAYS_ADDED: "The days are added. The application is told by itself, and this "
    "page shows when it knows.",
    Said.ADDRESS_CORRECTED: "Our mail goes to the new address from now on. The old one "
    "gets a notice, and while access is open the application is told by itself.",
    Said.CHANGE_WAITS: "It is changed. Temporal does not answer this second; whoever "
    "gets a mail, and the application while access is open, are told by themselves as "
    "soon as it does.",
    Said.CHANGE_BY_OTHER: "This purchase was changed since you opened this page. "
    "Nothing was added to it: see how it stands now.",
    Said.REPLY_SENT: "Your letter has left. It stands below, word for word.",
    Said.REPLY_WAITS: "Your letter is signed and kept. The mail server has not taken "
    "it yet: it is handed over again by itself.",
    Said.REPLY_REFUSED: "The mail server refused your letter for good. The case is "
    "open, and below is why.",
    Said.REPLY_TWICE: "You signed this letter before. It leaves once.",
    Said.REPLY_BY_OTHER: "A colleague answered first. Read their letter below; yours "
    "was not sent.",
}


async def look_for_a_moment(
    look: Callable[[], Awaitable[T]], is_over: Callable[[T], bool], *, looks: int
) -> T:
    """Look again and again, so that the page that follows can tell how it ended.

    Returns:
        What was seen last, over or not.
    """
    found = await look()
    for _ in range(looks - 1):
        if is_over(found):
            break
        await asyncio.sleep(_BETWEEN_SECONDS)
        found = await look()
    return found


def back_to_case(case_id: UUID, said: Said) -> RedirectResponse:
    """Lead back to a case's page and say what happened."""
    return RedirectResponse(f"/support/cases/{case_id}?said={said}", status_code=303)


def back_to_checkout(checkout_id: UUID, said: Said) -> RedirectResponse:
    """Lead back to a checkout's page and say what happened."""
    path = f"/support/checkouts/{checkout_id}?said={said}"
    return RedirectResponse(path, status_code=303)


def in_words(said: str) -> str:
    """Return what a key says; nothing for anything else."""
    try:
        return WORDS[Said(said)]
    except ValueError:
        return ""
