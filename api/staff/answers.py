"""From what keeps somebody out of the console to what they read."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from api import notices
from api.notices import Notice
from api.parts import Parts
from api.staff.refusals import (
    CodeNeeded,
    FormNotOurs,
    NotAllowed,
    SetupUnusable,
    SignedOut,
)

_NOTICES: dict[type[Exception], Notice] = {
    NotAllowed: notices.NOT_YOURS,
    FormNotOurs: notices.STALE_FORM,
    SetupUnusable: notices.SETUP_UNUSABLE,
}


def register(app: FastAPI, parts: Parts) -> None:
    """Have each answered."""

    async def ask_who(request: Request, error: Exception) -> Response:
        del request
        case_id = error.case_id if isinstance(error, SignedOut) else None
        query = "" if case_id is None else f"?case={case_id}"
        return RedirectResponse(f"/support/sign-in{query}", status_code=303)

    async def ask_for_code(request: Request, error: Exception) -> Response:
        needed = error if isinstance(error, CodeNeeded) else CodeNeeded({})
        return parts.staff_pages.code(request.url.path, needed)

    async def tell(request: Request, error: Exception) -> Response:
        del request
        return parts.pages.notice(_NOTICES[type(error)])

    app.add_exception_handler(SignedOut, ask_who)
    app.add_exception_handler(CodeNeeded, ask_for_code)
    for refusal in _NOTICES:
        app.add_exception_handler(refusal, tell)
