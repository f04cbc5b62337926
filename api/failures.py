"""From an error to what the person or program is told; nothing escapes unanswered.

The answer depends on where it happened: at a checkout's address a fault is answered
with what the row says, and with the holding page when that cannot be read, because a
lost reply may hide a charge.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import notices, problems, shop, webhooks
from api.account import SignInRefused
from api.limits import TooOften
from api.notices import Notice
from api.observed import request_id_of
from api.own_checkout import own_token
from api.pages import Pages
from api.parts import Parts
from api.records import RecordsUnavailable
from api.security import ForeignForm, is_v1
from api.shop import NoSuchCheckout, path_of
from observability.logs import get_logger

_FIRST_FAULT = 500

#: When even the error page cannot be made. Says what is true at every address.
_BARE = (
    '<!doctype html><html lang="en"><title>Please don\'t pay again yet</title>'
    "<h1>Please don't pay again yet.</h1><p>We can't show this page. If your card was "
    "charged, we will find it and finish your order.</p></html>"
)

_log = get_logger("api.failures")


#: Not faults: each has its own answer below.
_EXPECTED = (
    TooOften,
    NoSuchCheckout,
    SignInRefused,
    ForeignForm,
    RequestValidationError,
    RecordsUnavailable,
    HTTPException,
)

#: How long a person who met a fault waits for what the row says.
_ROW_WITHIN = timedelta(seconds=1)


class LastResort:
    """Answers whatever was raised below it.

    At a checkout's address the row is asked once more: what it says is true whatever
    the fault was. The holding page is for when even that cannot be read or shown.
    """

    def __init__(self, app: ASGIApp, *, parts: Parts) -> None:
        self._app = app
        self._parts = parts
        self._pages = parts.pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and answer what it raises."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def send_and_look(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, send_and_look)
        except Exception as error:
            if started:
                raise  # Half an answer is out; the server cuts the connection.
            response = await self._from_row(scope, error)
            if response is None:
                response = self._answer(scope, error)
            await response(scope, receive, send)

    async def _from_row(self, scope: Scope, error: Exception) -> Response | None:
        """Return the checkout's page as its row tells it; None where there is none."""
        path = _checkout_path(scope["path"])
        if path is None or isinstance(error, _EXPECTED):
            return None
        try:
            response = await shop.page_of(
                self._parts, path, within=_ROW_WITHIN, request_id=request_id_of(scope)
            )
        except Exception as another:
            _log.warning("the row could not be shown", cause=type(another).__name__)
            return None
        _log.error("request failed; the page was made from the row", exc_info=error)
        return response

    def _answer(self, scope: Scope, error: Exception) -> Response:
        try:
            response = answer_to(scope, error, self._pages)
        except Exception:
            _log.exception("the error page could not be made")
            return HTMLResponse(_BARE, _FIRST_FAULT)
        if isinstance(error, RecordsUnavailable):
            _log.warning("database unavailable", cause=str(error))
        elif response.status_code == _FIRST_FAULT:
            _log.error("request failed", exc_info=error)
        return response


def register(app: FastAPI, pages: Pages) -> None:
    """Let the errors that the framework would answer itself be answered here too."""

    async def answer(request: Request, error: Exception) -> Response:
        return answer_to(request.scope, error, pages)

    app.add_exception_handler(HTTPException, answer)
    app.add_exception_handler(RequestValidationError, answer)


def answer_to(scope: Scope, error: Exception, pages: Pages) -> Response:
    """Return the answer to an error: JSON for programs, a page for people."""
    path = scope["path"]
    if is_v1(path):
        return problems.answer(error, request_id_of(scope))
    if path == webhooks.PATH:
        return _to_processor(error)
    notice = _notice(path, error, _own_path(scope))
    is_fault = notice.status >= _FIRST_FAULT
    response = pages.notice(notice, request_id=request_id_of(scope) if is_fault else "")
    if isinstance(error, HTTPException) and error.headers:
        response.headers.update(error.headers)
    return response


def _to_processor(error: Exception) -> Response:
    """Tell the processor's delivery whether it should come again."""
    said = {"error": "this event was not taken"}
    match error:
        case HTTPException():
            return JSONResponse(
                said, error.status_code, headers=dict(error.headers or {})
            )
        case RecordsUnavailable():
            return JSONResponse(said, 503)
        case _:
            return JSONResponse(said, 500)


def _notice(path: str, error: Exception, own_path: str | None) -> Notice:
    """Return what is true after an error.

    Args:
        path: Where it happened.
        error: What happened.
        own_path: The address of a checkout that this browser opened before.
    """
    back = _way_back(path)
    match error:
        case TooOften():
            return notices.too_often(error.retry_after_seconds, back)
        case NoSuchCheckout() | SignInRefused() | ForeignForm():
            return _refusal(error, back)
        case RequestValidationError():
            return notices.refused_form(back)
        case RecordsUnavailable():
            return notices.outage(path, _checkout_path(path), own_path)
        case HTTPException():
            return _of_status(error.status_code, back)
        case _:
            return notices.fault(path, _checkout_path(path), own_path)


def _refusal(error: Exception, back: str) -> Notice:
    if isinstance(error, NoSuchCheckout):
        return notices.NO_CHECKOUT
    if isinstance(error, SignInRefused):
        return notices.LINK_UNUSABLE
    return replace(notices.FOREIGN_FORM, link=back, link_text="Open the page")


def _of_status(status: int, back: str) -> Notice:
    known = {
        404: notices.NOT_FOUND,
        405: notices.WRONG_METHOD,
        413: notices.TOO_LARGE,
    }
    notice = known.get(status, replace(notices.FORM_REFUSED, status=status))
    return replace(notice, link=back, link_text="Back to the page")


def _own_path(scope: Scope) -> str | None:
    """Return where this browser's last checkout is; it may have been charged."""
    settings = scope["app"].state.parts.settings
    return path_of(own_token(HTTPConnection(scope), settings) or "")


def _checkout_path(path: str) -> str | None:
    if not path.startswith("/c/"):
        return None
    return path_of(path.split("/")[2])


def _way_back(path: str) -> str:
    for place in ("/account", "/support"):
        if path.startswith(place):
            return place
    return _checkout_path(path) or "/"
