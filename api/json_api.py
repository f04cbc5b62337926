"""`/v1`: the same checkout for a program that embeds it, behind an API key.

Every answer carries the typed states and the same words that the pages show, so that an
embedder need not write a sentence about money either.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from hashlib import sha256
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, FastAPI, Header, Query, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from api.buying import (
    PAYMENT_METHOD,
    EmailRefused,
    checked_email,
    new_checkout,
    press_pay,
    read_to_show,
)
from api.observed import LASTS_ON_PURPOSE
from api.parts import Parts, TheParts
from api.problems import MEDIA_TYPE, Problem, ProblemBody, ProblemCode
from api.resources import CheckoutResource, EntitlementResource
from api.streams import EventStream, look_at, wait_for_change
from database.accounts import list_entitlements
from database.api_requests import ApiRequest, find_answered, remember
from database.checkouts import (
    CheckoutNotFound,
    CheckoutRow,
    insert_checkout,
    read_checkout,
)
from observability import logs

_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="ApiKey",
    description="One of the keys in `HOLDFAST_API_KEYS`.",
)


class CheckoutRequest(BaseModel):
    """What shall be bought, and by whom. The price is the plan's."""

    model_config = ConfigDict(extra="forbid")

    plan: str = Field(
        min_length=1, max_length=40, description="A plan's id.", examples=["one-year"]
    )
    email: str = Field(
        max_length=320,
        description="Where receipt and access go.",
        examples=["mara@example.com"],
    )


class PayRequestBody(BaseModel):
    """How it shall be paid. Never card data."""

    model_config = ConfigDict(extra="forbid")

    payment_method: str = Field(
        pattern=PAYMENT_METHOD,
        description="A payment method (`pm_...`) or confirmation token (`ctoken_...`) "
        "of the processor.",
        examples=["pm_card_visa"],
    )


async def _api_key(
    parts: TheParts,
    given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> bytes:
    """Return the digest of the key that was given, if it is one of ours."""
    offered = given.credentials.encode() if given else b""
    found = b""
    # All keys are compared, each in constant time: no answer comes sooner than another.
    for key in parts.settings.api_keys:
        known = key.get_secret_value().encode()
        if hmac.compare_digest(known, offered):
            found = known
    if not found:
        raise Problem(
            401,
            "Send an API key of this installation as `Authorization: Bearer <key>`.",
            headers={"www-authenticate": "Bearer"},
        )
    return sha256(b"api-key:" + found).digest()


ApiKey = Annotated[bytes, Depends(_api_key)]

_IdempotencyKey = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="Your own name for this checkout, up to 255 visible ASCII "
        "characters: the same key and body bring the same checkout.",
    ),
]


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the errors of a route; 401 and those of any route included."""
    texts = {
        401: "No API key of this installation.",
        404: "No such checkout.",
        413: "The body is longer than 64 KiB.",
        415: "The body is not `message/rfc822`.",
        422: "The request is not as described here.",
        409: "`payments_paused`: no new payments are taken; nothing was requested.",
        429: "All tries of this checkout are used up, or `too_many_streams`.",
        500: "Our fault; the outcome is unknown.",
        503: "Our records do not answer; the outcome is unknown.",
    }
    wanted = sorted({401, 422, 500, 503, *statuses})
    return {n: {"model": ProblemBody, "description": texts[n]} for n in wanted}


router = APIRouter(prefix="/v1")


@router.post(
    "/checkouts",
    status_code=201,
    summary="Open a checkout",
    operation_id="openCheckout",
    response_description="A new checkout.",
    responses={
        200: {
            "model": CheckoutResource,
            "description": "The checkout that this key made before.",
            "headers": {
                "Idempotent-Replayed": {"schema": {"type": "string", "enum": ["true"]}}
            },
        },
        **errors(413),
    },
)
async def open_checkout(
    parts: TheParts,
    key: ApiKey,
    idempotency_key: _IdempotencyKey,
    body: CheckoutRequest,
    response: Response,
) -> CheckoutResource:
    """Open a checkout. Nothing is asked of the processor yet.

    Send the buyer to `url`, or pay by `POST /v1/checkouts/{checkout_id}/pay`.
    """
    request = ApiRequest(
        api_key_hash=key,
        idempotency_key=idempotency_key,
        body_hash=sha256(body.model_dump_json().encode()).digest(),
    )
    row = await _made_before(parts, request)
    if row is None:
        made = await parts.records.write(_make(parts, request, body))
        if made is not None:
            return CheckoutResource.of(made, parts)
        # Another request with this key was first, a moment ago.
        row = await _made_before(parts, request)
    if row is None:
        raise Problem(503, "Send the same request again: its twin was interrupted.")
    response.status_code = 200
    response.headers["idempotent-replayed"] = "true"
    return CheckoutResource.of(row, parts)


@router.post(
    "/checkouts/{checkout_id}/pay",
    status_code=202,
    summary="Pay a checkout",
    operation_id="payCheckout",
    response_description="The request to pay is durable; read the checkout for more.",
    responses=errors(404, 409, 413, 429),
)
async def pay(
    parts: TheParts, _: ApiKey, checkout_id: UUID, body: PayRequestBody
) -> CheckoutResource:
    """Ask for the charge. Asking again while one runs, or after it, changes nothing."""

    async def find(connection: AsyncConnection) -> CheckoutRow | None:
        return await read_checkout(connection, checkout_id)

    try:
        pressed = await press_pay(parts, find, body.payment_method)
    except CheckoutNotFound:
        raise _no_checkout() from None
    if pressed is not None and pressed.requested.too_many:
        raise Problem(
            429, "All tries of this checkout are used up. Open a new checkout."
        )
    if pressed is not None and pressed.requested.is_paused:
        raise Problem(
            409,
            "New payments are paused, so nothing was requested or charged. Read the "
            "checkout for the words; the buyer is written to when it is open again.",
            code=ProblemCode.PAYMENTS_PAUSED,
        )
    return CheckoutResource.of(await _read(parts, checkout_id), parts)


#: The longest that a request may wait for a change: proxies give up after 30 s or more.
MOST_WAIT_SECONDS = 25


class Waiting(BaseModel):
    """What a request for a checkout may wait for."""

    wait_seconds: int = Field(
        default=0,
        ge=0,
        le=MOST_WAIT_SECONDS,
        description="How long to wait for another version than `unless_version`.",
    )
    unless_version: str = Field(
        default="", max_length=64, description="The `version` that you have."
    )


@router.get(
    "/checkouts/{checkout_id}",
    summary="Read a checkout, or wait for its next state",
    operation_id="readCheckout",
    responses=errors(404, 429),
)
async def read(
    request: Request,
    parts: TheParts,
    key: ApiKey,
    checkout_id: UUID,
    waiting: Annotated[Waiting, Query()],
) -> CheckoutResource:
    """Read what is true of a checkout now.

    With `wait_seconds` and `unless_version` the answer comes as soon as the version is
    another one, and otherwise in the end, with the version that you have.
    """
    if not waiting.wait_seconds or not waiting.unless_version:
        return CheckoutResource.of(await _read(parts, checkout_id), parts)
    logs.bind(checkout_id=checkout_id)
    request.scope[LASTS_ON_PURPOSE] = True
    with parts.followers.hold(key):
        try:
            return await wait_for_change(
                parts,
                checkout_id,
                unless_version=waiting.unless_version,
                seconds=waiting.wait_seconds,
                has_left=request.is_disconnected,
            )
        except CheckoutNotFound:
            raise _no_checkout() from None


@router.get(
    "/checkouts/{checkout_id}/events",
    status_code=200,
    response_class=EventStream,
    summary="Follow a checkout by server-sent events",
    operation_id="followCheckout",
    response_description="An event `checkout` with a CheckoutResource as its data and "
    "its `version` as its id: the state now, then each change. `unavailable` while our "
    "records do not answer.",
    responses={
        204: {"description": "Settled, and `Last-Event-ID` has it: do not come back."},
        **errors(404, 429),
    },
)
async def follow(
    parts: TheParts,
    key: ApiKey,
    checkout_id: UUID,
    last_event_id: Annotated[
        str,
        Header(
            alias="Last-Event-ID",
            max_length=64,
            description="The last version seen; it is not sent again.",
        ),
    ] = "",
) -> Response:
    """Follow a checkout after Pay was pressed, until it is settled.

    A stream ends when the checkout is settled and after some minutes. Connect again
    with `Last-Event-ID`, as browsers do by themselves; 204 tells them to stop.
    """
    logs.bind(checkout_id=checkout_id)
    try:
        first = await look_at(parts, checkout_id)
    except CheckoutNotFound:
        raise _no_checkout() from None
    if first is not None and first.is_settled and first.version == last_event_id:
        return Response(status_code=204)
    return EventStream(
        parts, key=key, checkout_id=checkout_id, first=first, seen=last_event_id
    )


@router.get(
    "/entitlements",
    summary="List a customer's entitlements",
    operation_id="listEntitlements",
    responses=errors(),
)
async def list_by_customer(
    parts: TheParts,
    _: ApiKey,
    email: Annotated[
        str, Query(min_length=3, max_length=320, examples=["mara@example.com"])
    ],
) -> list[EntitlementResource]:
    """List what was bought under an address, newest first; empty for strangers."""
    try:
        address = checked_email(parts, email)
    except EmailRefused:
        raise Problem(422, "Send a complete e-mail address as `email`.") from None
    rows = await parts.records.read(lambda c: list_entitlements(c, address))
    return [EntitlementResource.of(row) for row in rows]


def describe(app: FastAPI) -> None:
    """Make `/v1/openapi.json` say that errors are problem documents."""
    plain: Callable[[], dict[str, Any]] = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            _retype_errors(plain())
        return plain()

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way.


def _retype_errors(schema: dict[str, Any]) -> None:
    for path in schema["paths"].values():
        for operation in path.values():
            for status, response in operation["responses"].items():
                if int(status) >= 400:  # noqa: PLR2004  # Errors begin here.
                    # FastAPI gives errors the media type of the answer that failed.
                    (described,) = response["content"].values()
                    response["content"] = {MEDIA_TYPE: described}


async def _made_before(parts: Parts, request: ApiRequest) -> CheckoutRow | None:
    async def work(connection: AsyncConnection) -> CheckoutRow | None:
        answered = await find_answered(connection, request)
        if answered is None:
            return None
        if not answered.is_same_body:
            raise Problem(
                422,
                "This Idempotency-Key was used with another body. "
                "Use a new key for a new checkout.",
            )
        return await read_checkout(connection, answered.checkout_id)

    return await parts.records.read(work)


def _make(
    parts: Parts, request: ApiRequest, body: CheckoutRequest
) -> Callable[[AsyncConnection], Any]:
    """Return the work that makes a checkout and binds the key to it, or neither."""
    plan = parts.plans.get(body.plan)
    if plan is None:
        raise Problem(422, f"Send one of these as `plan`: {', '.join(parts.plans)}.")
    try:
        email = checked_email(parts, body.email)
    except EmailRefused as refused:
        raise Problem(422, f"Correct `email`: {refused}") from None
    new, _ = new_checkout(parts, plan, email)
    logs.bind(checkout_id=new.checkout_id)

    async def work(connection: AsyncConnection) -> CheckoutRow | None:
        async with connection.begin_nested() as savepoint:
            await insert_checkout(connection, new)
            if not await remember(connection, request, new.checkout_id):
                await savepoint.rollback()
                return None
        return await read_checkout(connection, new.checkout_id)

    return work


async def _read(parts: Parts, checkout_id: UUID) -> CheckoutRow:

    async def find(connection: AsyncConnection) -> CheckoutRow | None:
        return await read_checkout(connection, checkout_id)

    try:
        row = await read_to_show(parts, find)
    except CheckoutNotFound:
        raise _no_checkout() from None
    if row is None:
        raise _no_checkout()
    logs.bind(checkout_id=row.checkout_id)
    return row


def _no_checkout() -> Problem:
    return Problem(
        404, "Check the id: it is `checkout_id` of the answer that opened the checkout."
    )
