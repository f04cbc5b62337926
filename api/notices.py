"""Every page that is not a checkout's own: what it says, in one place.

A notice speaks about money only where its author can prove the sentence for everyone
who may see it. `holding` is what any trouble at a checkout's address comes to: it
claims nothing, since a reply that was lost may hide a charge.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from domain.customer_view import HOLDING as HOLDING_VIEW
from domain.customer_view import CustomerView


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A page with a fact, what to do, and one way on.

    Attributes:
        status: HTTP status.
        headline: The fact; also the beginning of the title.
        sentences: What it means and what to do.
        link: Where the one link leads; a path of our own.
        link_text: What the link says.
        retry_after_seconds: When asking again makes sense; None for never by itself.
        follow: A checkout's path, when the page shall change by itself once the
            checkout can be shown again.
    """

    status: int
    headline: str
    sentences: tuple[str, ...]
    link: str = "/"
    link_text: str = "See the plan"
    retry_after_seconds: int | None = None
    follow: str | None = None


_HOLDING = Notice(
    status=503,
    headline=HOLDING_VIEW.headline,
    sentences=HOLDING_VIEW.sentences,
    link_text="Check again",
    retry_after_seconds=5,
)

#: For who may come from a checkout of their own that hangs.
_IF_YOU_PAID = (
    "If you were paying a moment ago, please don't pay again yet.",
    "Your checkout's own address shows where your payment stands.",
)

#: For addresses that never start a payment. It claims nothing of the reader's money:
#: they may have paid in a checkout that this browser did not open, and that hangs.
NOT_STARTED = Notice(
    status=503,
    headline="No payment was started here.",
    sentences=(
        "We could not open your checkout this second. Nothing was kept of it.",
        *_IF_YOU_PAID,
    ),
    link_text="Back to the plan",
    retry_after_seconds=5,
)

NO_CHECKOUT = Notice(
    status=404,
    headline="This address leads to no checkout.",
    sentences=(
        "Please check that it is complete: mail programs sometimes cut long addresses.",
        "If you paid, write to us with the time and the amount. We will find it.",
    ),
)

NOT_FOUND = Notice(
    status=404,
    headline="There is no page at this address.",
    sentences=("Please check that it is complete.",),
)

WRONG_METHOD = Notice(
    status=405,
    headline="This address does not take that kind of request.",
    sentences=("Nothing was passed on.",),
)

TOO_LARGE = Notice(
    status=413,
    headline="That was more than we read.",
    sentences=("Nothing of it was kept or passed on.",),
)

FORM_REFUSED = Notice(
    status=422,
    headline="We did not accept this form.",
    sentences=(
        "It was not filled in the way our own page does it. "
        "Nothing of it was kept or passed on.",
    ),
)

FOREIGN_FORM = Notice(
    status=403,
    headline="This request did not come from our own page.",
    sentences=(
        "To keep your money safe, we take forms only from our own pages. "
        "Nothing was passed on.",
        "Please open the page again and press the button there.",
    ),
)

LINK_UNUSABLE = Notice(
    status=403,
    headline="This sign-in link can't be used.",
    sentences=(
        "A link works once, for 10 minutes, in the browser that asked for it.",
        "Please ask for a new one here.",
    ),
    link="/account",
    link_text="Ask for a new link",
)

ORDERS_HIDDEN = Notice(
    status=503,
    headline="We can't show your account this second.",
    sentences=("Your orders stay as they are.",),
    link="/account",
    link_text="Check again",
    retry_after_seconds=5,
)

NOT_YOURS = Notice(
    status=403,
    headline="Your account does not go that far.",
    sentences=(
        "Nothing was changed. That you tried is in the audit.",
        "Whoever runs the shop can make you an account that may.",
    ),
    link="/support",
    link_text="Back to the cases",
)

STALE_FORM = Notice(
    status=403,
    headline="This form is from another session.",
    sentences=(
        "Nothing was passed on. Please open the page again and press the button there.",
    ),
    link="/support",
    link_text="Open the console",
)

SETUP_UNUSABLE = Notice(
    status=403,
    headline="This set-up link can't be used.",
    sentences=(
        "A link works once, within 24 hours.",
        "Whoever runs the shop makes a new one with: cli.py staff reset",
    ),
    link="/support/sign-in",
    link_text="Sign in",
)

_CONSOLE_DARK = Notice(
    status=503,
    headline="We can't reach our records this second.",
    sentences=(
        "A press may have counted or not: the case shows it. Customers' pages "
        "say what was true last.",
    ),
    link="/support",
    link_text="Look again",
    retry_after_seconds=5,
)

_FAULT = Notice(
    status=500,
    headline="We could not show this page.",
    sentences=(
        "That is our fault, and it was written down for us.",
        "If you bought something, the address of your checkout shows where it stands.",
    ),
)


def holding(path: str | None) -> Notice:
    """Say what is true whatever happened to a press on Pay.

    Args:
        path: The checkout's own address; None when it could not be read.
    """
    if path is None:
        return _HOLDING
    return replace(_HOLDING, link=path, follow=path)


def too_often(seconds: int, link: str) -> Notice:
    """Say that a request was not carried out because there were too many."""
    return Notice(
        status=429,
        headline="That was more often than we allow.",
        sentences=(
            "This last request was not passed on.",
            f"Please wait {_in_words(seconds)}.",
        ),
        link=link,
        link_text="Back to the page",
        retry_after_seconds=seconds,
    )


def refused_form(link: str) -> Notice:
    """Say that a form was refused, with the way back to its page."""
    return replace(FORM_REFUSED, link=link, link_text="Back to the page")


def fault(path: str, checkout_path: str | None, own_path: str | None = None) -> Notice:
    """Say what is true after an error that nobody expected.

    Args:
        path: Where it happened.
        checkout_path: The checkout's own address, when it happened there.
        own_path: The address of a checkout that this browser opened before.
    """
    if path.startswith("/c/"):
        return replace(holding(checkout_path), status=500)
    if path in _OPENING:
        return replace(_not_opened(own_path), status=500, retry_after_seconds=None)
    return _FAULT


def outage(path: str, checkout_path: str | None, own_path: str | None = None) -> Notice:
    """Say what is true while the database does not answer; arguments as in `fault`."""
    if path.startswith("/c/"):
        return holding(checkout_path)
    if path.startswith("/account"):
        return ORDERS_HIDDEN
    if path.startswith("/support"):
        return _CONSOLE_DARK
    return _not_opened(own_path)


#: Where a checkout is opened, and none is paid.
_OPENING = {"/", "/checkouts"}


def _not_opened(own_path: str | None) -> Notice:
    """Nothing was started here; but an earlier checkout may have been charged."""
    return NOT_STARTED if own_path is None else holding(own_path)


def _in_words(seconds: int) -> str:
    if seconds > 90:  # noqa: PLR2004  # Beyond it, minutes read better.
        return f"{-(-seconds // 60)} minutes"
    return "1 second" if seconds == 1 else f"{seconds} seconds"


def message_kept(view: CustomerView, path: str, when: str, *, wrote: str) -> Notice:
    """Say that a message came in: what is true meanwhile, and when somebody is there.

    Args:
        view: What the checkout's own page says this moment.
        path: Where that page is.
        when: See `domain.working_hours`.
        wrote: When the message that we have was written, as `at 14:32 UTC`.
    """
    return Notice(
        status=200,
        headline="We have your message.",
        sentences=(
            f"You wrote it {wrote}.",
            view.headline,
            *view.sentences,
            f"A person answers you by e-mail. {when}",
        ),
        link=path,
        link_text="Back to your order",
    )
