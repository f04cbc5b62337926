"""Errors of `/v1` as `application/problem+json` (RFC 9457), each saying what to do."""

from __future__ import annotations

from enum import StrEnum
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from api.followers import TooManyFollowers
from api.limits import TooOften
from api.records import RecordsUnavailable
from api.security import BodyTooLarge, ForeignForm

MEDIA_TYPE = "application/problem+json"


class ProblemCode(StrEnum):
    """A problem that a program may want to tell from others of its status."""

    #: The shop takes no new payments; nothing was requested.
    PAYMENTS_PAUSED = "payments_paused"
    #: So many streams and waiting requests are open that no more is taken.
    TOO_MANY_STREAMS = "too_many_streams"


class Problem(Exception):
    """A request that was not carried out, and what its sender can do."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        code: ProblemCode | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.code = code
        self.headers = headers or {}


class Wrong(BaseModel):
    """One thing that is wrong with a request."""

    where: str = Field(examples=["body.email"])
    what: str = Field(examples=["Field required"])


class ProblemBody(BaseModel):
    """What stands in the body of every error."""

    type: str = Field(examples=["about:blank"])
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(description="What to do next.")
    code: ProblemCode | None = Field(
        default=None, description="Which problem of this status, where there are two."
    )
    request_id: str = Field(description="Quote it when you write to support.")
    errors: list[Wrong] | None = Field(
        default=None, description="For 422: what is wrong, without the values sent."
    )


#: For errors that the framework finds before any route of ours is asked.
_DETAILS = {
    400: "The body could not be read. Send JSON as described in /v1/openapi.json.",
    404: "There is nothing at this address. See /v1/openapi.json for what there is.",
    405: "Use one of the methods in the Allow header.",
}

_OUTAGE = (
    "We could not reach our records, so the outcome of this request is unknown. "
    "Send it again as it is, with the same Idempotency-Key: a checkout is made once "
    "per key and charged once at the most."
)

_FOREIGN = (
    "Send it from a program, to an address below /v1. This one takes forms from our "
    "own pages alone; nothing was passed on."
)

_FAULT = (
    "This is our fault and was logged. The outcome is unknown: read the checkout, or "
    "send the same request again with the same Idempotency-Key."
)


def answer(error: Exception, request_id: str) -> Response:
    """Turn any error into its problem."""
    match error:
        case Problem():
            return _body(
                error.status,
                error.detail,
                request_id,
                code=error.code,
                headers=error.headers,
            )
        case RequestValidationError():
            return _body(
                422,
                "Correct what `errors` names and send the request again.",
                request_id,
                errors=[_wrong(one) for one in error.errors()],
            )
        case TooOften() | TooManyFollowers():
            return _too_much(error, request_id)
        case RecordsUnavailable():
            return _body(503, _OUTAGE, request_id, headers={"retry-after": "5"})
        case ForeignForm() | HTTPException():
            return _unrouted(error, request_id)
        case _:
            return _body(500, _FAULT, request_id)


def _too_much(error: TooOften | TooManyFollowers, request_id: str) -> Response:
    """Answer what would be welcome later, or once there is less of it."""
    if isinstance(error, TooOften):
        seconds = str(error.retry_after_seconds)
        detail = f"Wait {seconds} s and send the request again."
        return _body(429, detail, request_id, headers={"retry-after": seconds})
    whose = "with this key" if error.is_of_key else "at this server"
    return _body(
        429 if error.is_of_key else 503,
        f"So many streams and waiting requests are open {whose} that no more is taken. "
        "Close some, or read the checkout without waiting.",
        request_id,
        code=ProblemCode.TOO_MANY_STREAMS,
        headers={"retry-after": "5"},
    )


def _unrouted(error: ForeignForm | HTTPException, request_id: str) -> Response:
    """Answer what was found before any route of ours was asked."""
    if isinstance(error, ForeignForm):
        return _body(403, _FOREIGN, request_id)
    detail = _DETAILS.get(error.status_code, _DETAILS[400])
    if isinstance(error, BodyTooLarge):
        detail = f"Send less: the limit for a body is {error.most // 1024} KiB here."
    headers = dict(error.headers or {})
    return _body(error.status_code, detail, request_id, headers=headers)


def _body(
    status: int,
    detail: str,
    request_id: str,
    *,
    code: ProblemCode | None = None,
    headers: dict[str, str] | None = None,
    errors: list[Wrong] | None = None,
) -> Response:
    body = ProblemBody(
        type="about:blank",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        code=code,
        request_id=request_id,
        errors=errors,
    )
    return JSONResponse(
        body.model_dump(exclude_none=True),
        status,
        headers=headers,
        media_type=MEDIA_TYPE,
    )


def _wrong(one: dict[str, Any]) -> Wrong:
    # Never `input`: it may be a card number that does not belong here.
    return Wrong(where=".".join(str(part) for part in one["loc"]), what=one["msg"])
