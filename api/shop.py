"""The shop's pages: the plan, the checkout's one address, and the press on Pay.

`/c/{token}` shows every state of a checkout, for ever. All words about money on it come
from `customer_view`; when something goes wrong on the way to them, the row is asked
once more, and the holding page is shown when even that fails.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Form
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from api import notices
from api.buying import (
    PAYMENT_METHOD,
    EmailRefused,
    checked_email,
    hint,
    new_checkout,
    press_pay,
    read_to_show,
)
from api.limits import TooOften, caller_of
from api.own_checkout import (
    AGAIN,
    is_pressed_again,
    keep_token,
    own_token,
    way_back,
)
from api.pages import checkout_page
from api.parts import Parts, TheParts
from api.records import RecordsUnavailable
from api.sandbox_methods import SANDBOX_NAMES
from database.checkouts import CheckoutRow, find_by_token, insert_checkout
from database.pauses import read_pause
from domain.addresses import is_token, token_digest
from domain.plans import Plan
from domain.states import Stage
from domain.words import moment_in_words
from observability import logs, metrics

router = APIRouter(include_in_schema=False)

_READ = ["GET", "HEAD"]


class CheckoutForm(BaseModel):
    """What `/` sends. The price is not in it."""

    model_config = ConfigDict(extra="forbid")

    plan: str = Field(max_length=40)
    email: str = Field(max_length=320)


class PayForm(BaseModel):
    """What the pay form sends. Neither price nor card is in it."""

    model_config = ConfigDict(extra="forbid")

    payment_method: str = Field(pattern=PAYMENT_METHOD)


class NoSuchCheckout(Exception):
    """The address names no checkout: unknown, foreign and malformed look alike."""


def path_of(token: str) -> str | None:
    """Return a checkout's address; None for what cannot be a token."""
    return f"/c/{token}" if is_token(token) else None


async def _known_path(token: str) -> str:
    path = path_of(token)
    if path is None:
        raise NoSuchCheckout
    return path


#: The checkout's own address, from the token in the requested one.
ThePath = Annotated[str, Depends(_known_path)]


@router.api_route("/", methods=_READ)
async def show_plan(parts: TheParts) -> Response:
    """Show what is for sale; works with everything else down."""
    plan = next(iter(parts.plans.values()))
    return parts.pages.shop(plan, parts.clock(), paused_at=await _paused_at(parts))


@router.post("/checkouts")
async def open_checkout(
    request: Request, parts: TheParts, form: Annotated[CheckoutForm, Form()]
) -> Response:
    """Write the checkout down; from here on the buyer has an address."""
    parts.limits.checkouts.enter(caller_of(request))
    plan = parts.plans.get(form.plan)
    if plan is None:
        return parts.pages.notice(notices.refused_form("/"))
    try:
        email = checked_email(parts, form.email)
    except EmailRefused as refused:
        return parts.pages.shop(
            plan,
            parts.clock(),
            email=form.email,
            problem=str(refused),
            paused_at=await _paused_at(parts),
        )
    earlier = await _earlier(request, parts, plan, email)
    return _see(earlier) if earlier else await _open(parts, plan, email)


@router.api_route("/c/{token}", methods=_READ)
async def show_checkout(
    request: Request, parts: TheParts, token: str, path: ThePath
) -> Response:
    """Show what is true of a checkout now."""
    row = await find_checkout(parts, token)
    page = checkout_page(row, parts.settings, parts.plans, again=_is_again(request))
    metrics.PAGES_SHOWN.labels(page=page.view.page.value).inc()
    return parts.pages.checkout(page, row, path)


async def page_of(
    parts: Parts, path: str, *, within: timedelta, request_id: str
) -> Response:
    """Return a checkout's page after a fault: what its row says, as a 500.

    Raises:
        RecordsUnavailable: The row could not be read in time.
        NoSuchCheckout: There is none.
    """
    digest = token_digest(path.removeprefix("/c/"))
    row = await parts.records.read(
        lambda connection: find_by_token(connection, digest), deadline=within
    )
    if row is None:
        raise NoSuchCheckout
    page = checkout_page(row, parts.settings, parts.plans)
    metrics.PAGES_SHOWN.labels(page=page.view.page.value).inc()
    return parts.pages.checkout(page, row, path, status=500, request_id=request_id)


@router.get("/c/{token}/status", dependencies=[Depends(_known_path)])
async def show_status(request: Request, parts: TheParts, token: str) -> Response:
    """Say whether the page that is open is still the true one."""
    row = await find_checkout(parts, token)
    page = checkout_page(row, parts.settings, parts.plans, again=_is_again(request))
    return JSONResponse(
        {
            "page": page.view.page.value,
            "version": page.version,
            "settled": page.view.is_settled,
            "read_at": moment_in_words(row.now),
        }
    )


@router.post("/c/{token}/pay")
async def pay(
    request: Request,
    parts: TheParts,
    token: str,
    path: ThePath,
    form: Annotated[PayForm, Form()],
) -> Response:
    """Make the press durable, pass it on, and send the buyer back to the page."""
    parts.limits.payments.enter(caller_of(request))
    if not _is_offered(parts, form.payment_method):
        return parts.pages.notice(notices.refused_form(path))
    pressed = await press_pay(
        parts,
        lambda connection: find_by_token(connection, token_digest(token)),
        form.payment_method,
    )
    if pressed is None:
        raise NoSuchCheckout
    if pressed.requested.too_many:
        page = checkout_page(pressed.checkout, parts.settings, parts.plans)
        return parts.pages.checkout(page, pressed.checkout, path, status=429)
    return _see(path + AGAIN if is_pressed_again(pressed.checkout) else path)


@router.post("/c/{token}/another")
async def buy_another(
    request: Request, parts: TheParts, token: str, path: ThePath
) -> Response:
    """Open one more checkout for who has paid this one, and wants it twice."""
    parts.limits.checkouts.enter(caller_of(request))
    row = await find_checkout(parts, token)
    if row.stage is not Stage.CHARGED:
        return _see(path)
    plan = parts.plans.get(row.plan_id)
    if plan is None:
        return _see("/")
    return await _open(parts, plan, row.email)


@router.get("/c/{token}/pay")
async def reload_pay(path: ThePath) -> Response:
    """Lead a reload after an unlucky press back to the page."""
    return _see(path)


@router.get("/c/{token}/return")
async def return_from_bank(parts: TheParts, token: str, path: ThePath) -> Response:
    """Take the buyer back from the bank; what the address says besides is not read."""
    row = await find_checkout(parts, token)
    await hint(parts, row)
    return _see(path)


@router.post("/c/{token}/check")
async def check_now(
    request: Request, parts: TheParts, token: str, path: ThePath
) -> Response:
    """Have the processor asked now, because the buyer wants to know."""
    parts.limits.checks.enter(caller_of(request))
    row = await find_checkout(parts, token)
    if not await hint(parts, row):
        raise TooOften(_CHECK_PAUSE_SECONDS)
    return _see(path)


#: What a buyer is asked to wait who pressed "Check again" very often.
_CHECK_PAUSE_SECONDS = 10


def _is_offered(parts: Parts, payment_method: str) -> bool:
    """Whether the page's own form can have sent it; others come from card testers.

    A `pm_...` of somebody else's making must not be tried out here. What the sandbox
    offers is known by name; Stripe's form sends confirmation tokens and nothing else.
    """
    if not parts.settings.stripe_publishable_key:
        return payment_method in SANDBOX_NAMES
    return payment_method.startswith("ctoken_")


#: The plan is shown without waiting for a database that does not answer.
_PAUSE_READ = timedelta(milliseconds=500)


async def _paused_at(parts: Parts) -> datetime | None:
    """Read since when new payments are paused; None also when nobody knows."""
    try:
        pause = await parts.records.read(read_pause, deadline=_PAUSE_READ)
    except RecordsUnavailable:
        return None
    return None if pause is None else pause.paused_at


async def find_checkout(parts: Parts, token: str) -> CheckoutRow:
    """Read the checkout whose address this is, as a page shows it.

    Raises:
        NoSuchCheckout: There is none.
        RecordsUnavailable: The database did not answer.
    """
    row = await read_to_show(
        parts, lambda connection: find_by_token(connection, token_digest(token))
    )
    if row is None:
        raise NoSuchCheckout
    logs.bind(checkout_id=row.checkout_id)
    return row


async def _earlier(
    request: Request, parts: Parts, plan: Plan, email: str
) -> str | None:
    """Return where this browser's own earlier checkout answers the same wish."""
    path = path_of(own_token(request, parts.settings) or "")
    if path is None:
        return None
    try:
        row = await find_checkout(parts, path.removeprefix("/c/"))
    except NoSuchCheckout:
        return None
    query = way_back(row, plan, email)
    return None if query is None else path + query


async def _open(parts: Parts, plan: Plan, email: str) -> Response:
    new, token = new_checkout(parts, plan, email)
    await parts.records.write(lambda connection: insert_checkout(connection, new))
    logs.bind(checkout_id=new.checkout_id)
    response = _see(f"/c/{token.token}")
    keep_token(response, parts.settings, token.token)
    return response


def _is_again(request: Request) -> bool:
    # Read by hand: whatever stands in the query, the page is shown.
    return request.query_params.get("again") == "1"


def _see(path: str) -> Response:
    # Relative on purpose: no header of the request has a say in where it leads.
    return RedirectResponse(path, status_code=303)
