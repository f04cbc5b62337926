"""The checkout that this browser opened itself: the way back to it.

A cookie keeps the token of the last one. Whoever comes again for the same plan with the
same address is led to the checkout that is under way, or that was just paid, instead of
into a second payment. Nothing is ever found by an e-mail address alone: another browser
learns nothing from typing it.
"""

from __future__ import annotations

from datetime import timedelta

from starlette.requests import HTTPConnection
from starlette.responses import Response

from api.cookies import read_cookie, set_cookie
from database.checkouts import MOST_BUYER_ATTEMPTS, CheckoutRow
from domain.plans import Plan
from domain.states import MoneyState, Stage
from settings import Settings

#: Added to a checkout's address when somebody came to pay what is paid. It changes what
#: the page answers to their worry, and nothing that is true.
AGAIN = "?again=1"

#: Within a day a second purchase of the same is more likely a doubt than a wish.
PAID_LATELY = timedelta(days=1)

#: Presses this close together are one press: two clicks, or one that was sent twice.
SAME_PRESS_WITHIN = timedelta(seconds=10)

_PURPOSE = "checkout"
#: Longer than an outcome can stay unknown and "lately" lasts.
_SECONDS = int(timedelta(days=2).total_seconds())

_PAID = {MoneyState.CHARGED, MoneyState.DUPLICATE}


def own_token(request: HTTPConnection, settings: Settings) -> str | None:
    """Return the token of the checkout that this browser opened last."""
    return read_cookie(request, settings, _PURPOSE)


def keep_token(response: Response, settings: Settings, token: str) -> None:
    """Have this browser remember the checkout that it opened."""
    set_cookie(response, settings, _PURPOSE, token, _SECONDS)


def way_back(row: CheckoutRow, plan: Plan, email: str) -> str | None:
    """Say where in an earlier checkout a new wish belongs.

    Returns:
        What to add to the earlier one's address; None when a new one shall be opened.
    """
    if row.plan_id != plan.plan_id or row.email.lower() != email.lower():
        return None
    if row.stage is Stage.OPEN:
        can_pay = row.buyer_attempt < MOST_BUYER_ATTEMPTS and row.price == plan.price
        return "" if can_pay else None
    if row.stage is not Stage.CHARGED:
        return ""
    return AGAIN if _is_paid_lately(row) else None


def is_pressed_again(row: CheckoutRow) -> bool:
    """Say whether a press on Pay met a paid checkout, and was not its own echo."""
    if row.stage is not Stage.CHARGED:
        return False
    pressed_at = row.pay_requested_at
    return pressed_at is None or row.now - pressed_at > SAME_PRESS_WITHIN


def _is_paid_lately(row: CheckoutRow) -> bool:
    if row.money_state not in _PAID or row.charged_at is None:
        return False
    return row.now - row.charged_at < PAID_LATELY
