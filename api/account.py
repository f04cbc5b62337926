"""A customer's orders, behind a link that is sent to their mailbox.

The same answer, after the same work, goes to customers and strangers: whether a mail is
sent is found out and done after the answer. A link works once, for ten minutes, in the
browser that asked for it, and only by a press: mail scanners follow links, not buttons.
"""

from __future__ import annotations

import secrets
from typing import Annotated

from fastapi import APIRouter, Form
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from api.buying import EmailRefused, checked_email
from api.cookies import read_cookie, set_cookie
from api.limits import caller_of
from api.pages import order_line
from api.parts import Parts, TheParts
from database import accounts
from database.checkouts import list_by_email
from domain.addresses import is_token, token_digest
from domain.states import Stage
from observability.logs import get_logger

router = APIRouter(include_in_schema=False)

#: 256 bits each, for links, browsers and sessions alike.
_TOKEN_BYTES = 32

#: How long a browser may take from asking to using; the link itself ends long before.
_BROWSER_SECONDS = 3600
_SESSION_SECONDS = int(accounts.SESSION_VALID_FOR.total_seconds())

_log = get_logger("api.account")


class SignInRefused(Exception):
    """The link is used, old, unknown, or another browser's; which one is not told."""


class SignInForm(BaseModel):
    """What the sign-in form sends."""

    model_config = ConfigDict(extra="forbid")

    email: str = Field(max_length=320)


@router.api_route("/account", methods=["GET", "HEAD"])
async def show_account(request: Request, parts: TheParts) -> Response:
    """Show the orders of whoever is signed in, or ask who it is."""
    email = await _signed_in(request, parts)
    if email is None:
        response = parts.pages.sign_in()
        if read_cookie(request, parts.settings, "browser") is None:
            set_cookie(
                response, parts.settings, "browser", _new_token(), _BROWSER_SECONDS
            )
        return response
    rows = await parts.records.read(lambda connection: list_by_email(connection, email))
    orders = [
        order_line(row, parts.settings) for row in rows if row.stage is Stage.CHARGED
    ]
    return parts.pages.orders(email, orders)


@router.post("/account/sign-in")
async def ask_for_link(
    request: Request, parts: TheParts, form: Annotated[SignInForm, Form()]
) -> Response:
    """Promise a link to whoever asks; send one to a customer."""
    parts.limits.links_asked.enter(caller_of(request))
    try:
        email = checked_email(parts, form.email).lower()
    except EmailRefused as refused:
        return parts.pages.sign_in(email=form.email, problem=str(refused), status=422)
    parts.limits.links_sent.enter(email)
    browser = read_cookie(request, parts.settings, "browser") or _new_token()
    token = _new_token()
    await parts.records.write(
        lambda connection: accounts.insert_sign_in_link(
            connection,
            token_hash=token_digest(token),
            browser_hash=token_digest(browser),
            email=email,
        )
    )
    parts.background.start(_send_link(parts, email, token), name="sign-in mail")
    response = parts.pages.link_asked()
    set_cookie(response, parts.settings, "browser", browser, _BROWSER_SECONDS)
    return response


@router.get("/account/sign-in/{token}")
async def show_button(parts: TheParts, token: str) -> Response:
    """Show the button; looking at it any number of times uses nothing up."""
    if not is_token(token):
        raise SignInRefused
    return parts.pages.sign_in_button(f"/account/sign-in/{token}")


@router.post("/account/sign-in/{token}")
async def sign_in(request: Request, parts: TheParts, token: str) -> Response:
    """Use the link up and open a session with a token of its own."""
    parts.limits.sign_ins.enter(caller_of(request))
    browser = read_cookie(request, parts.settings, "browser")
    if browser is None or not is_token(token):
        raise SignInRefused
    session = _new_token()
    previous = read_cookie(request, parts.settings, "session")

    async def work(connection: AsyncConnection) -> None:
        email = await accounts.use_sign_in_link(
            connection,
            token_hash=token_digest(token),
            browser_hash=token_digest(browser),
        )
        if email is None:
            raise SignInRefused
        if previous is not None:
            await accounts.end_session(connection, token_digest(previous))
        await accounts.open_session(
            connection, token_hash=token_digest(session), email=email
        )

    await parts.records.write(work)
    response = RedirectResponse("/account", status_code=303)
    set_cookie(response, parts.settings, "session", session, _SESSION_SECONDS)
    return response


@router.post("/account/sign-out")
async def sign_out(request: Request, parts: TheParts) -> Response:
    """End the session here and in the records."""
    session = read_cookie(request, parts.settings, "session")
    if session is not None:
        await parts.records.write(
            lambda connection: accounts.end_session(connection, token_digest(session))
        )
    response = RedirectResponse("/account", status_code=303)
    set_cookie(response, parts.settings, "session", "", 0)
    return response


async def _signed_in(request: Request, parts: Parts) -> str | None:
    token = read_cookie(request, parts.settings, "session")
    if token is None:
        return None
    digest = token_digest(token)
    session = await parts.records.read(lambda c: accounts.find_session(c, digest))
    if session is None:
        return None
    if session.is_due_a_touch:
        await parts.records.write(lambda c: accounts.touch_session(c, digest))
    return session.email


async def _send_link(parts: Parts, email: str, token: str) -> None:
    """Send the link if this address ever bought something."""
    if not await parts.records.read(lambda c: accounts.is_customer(c, email)):
        return
    # Never the Host header: a stranger could have the link lead to a host of theirs.
    link = f"{parts.settings.public_url}/account/sign-in/{token}"
    await parts.mailer.send_sign_in_link(email, link)
    _log.info("sign-in link sent")


def _new_token() -> str:
    return secrets.token_urlsafe(_TOKEN_BYTES)
