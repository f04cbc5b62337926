"""The guard of the console: every route says what it asks for, or nobody gets it.

A route is marked with `allows`; the guard is a dependency of the router, so it runs in
front of each. It reads the session, asks for the role, for POSTs compares the form's
token, and where money or an address moves takes a fresh code. Whatever it refuses to
somebody who is signed in becomes a row of the audit.
"""

from __future__ import annotations

import base64
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, TypeVar
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field, field_validator
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.datastructures import FormData
from starlette.requests import Request

from api.cookies import read_cookie
from api.observed import request_id_of
from api.parts import Parts, TheParts
from api.staff.credentials import step_of_code
from api.staff.refusals import CodeNeeded, FormNotOurs, NotAllowed, SignedOut
from database import staff_sessions
from database.audit import Fact, Outcome, StaffAction, record_action
from database.staff import spend_code
from database.staff_sessions import StaffSession
from domain.addresses import token_digest
from domain.staff import Access, Role, may
from observability.logs import get_logger

#: Names of the cookies: the session, and the visit of who is not signed in yet.
SESSION = "staff"
VISIT = "staff-visit"

_TOKEN_BYTES = 32
_UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})

#: Wrong codes that one session's owner may give before it ends.
_MOST_CODES = 5
_CODES_WITHIN = timedelta(minutes=15)

_log = get_logger("api.staff")

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Rule:
    """What a route asks for."""

    access: Access
    takes_code: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Staff:
    """Whoever is signed in, as a route knows them.

    Attributes:
        session_hash: Digest of the session's token.
        form_token: What each form of theirs must carry.
        is_fresh: No code will be asked for.
    """

    staff_id: UUID
    name: str
    display_name: str
    role: Role
    session_hash: bytes
    form_token: str
    is_fresh: bool
    request_id: str

    def may_act(self) -> bool:
        """Whether buttons that change something are theirs to press."""
        return may(self.role, Access.ACT)

    def did(
        self,
        action: str,
        *,
        outcome: Outcome = Outcome.DONE,
        case_id: UUID | None = None,
        checkout_id: UUID | None = None,
        **about: Fact,
    ) -> StaffAction:
        """Return the row of the audit that says they did this."""
        return StaffAction(
            actor=self.name,
            role=self.role,
            action=action,
            outcome=outcome,
            case_id=case_id,
            checkout_id=checkout_id,
            request_id=self.request_id,
            about=about,
        )


#: Why somebody does something: a sentence for colleagues, and not blanks alone.
Reason = Annotated[str, Field(min_length=1, max_length=300, pattern=r"\S")]


class StaffForm(BaseModel):
    """What every form of the console sends besides its own fields."""

    model_config = ConfigDict(extra="forbid")

    form_token: str = Field(max_length=64)
    code: str = Field(default="", max_length=16)

    @field_validator("*", mode="before")
    @classmethod
    def _has_no_nul(cls, value: object) -> object:
        """Refuse what no row can hold: PostgreSQL takes every character but this."""
        if isinstance(value, str) and "\0" in value:
            raise ValueError("a NUL character")
        return value


class ReasonForm(StaffForm):
    """A press that takes nothing but a reason."""

    reason: Reason


#: What each route asks for, by its function. A test walks the router against it.
RULES: dict[Callable[..., Any], Rule] = {}


def allows(
    access: Access, *, takes_code: bool = False
) -> Callable[[Endpoint], Endpoint]:
    """Mark a route with what it asks for; one without a mark is for nobody.

    Args:
        access: What the account's role must allow.
        takes_code: It moves money or an address: a code of the last minutes is asked
            for.
    """

    def mark(endpoint: Endpoint) -> Endpoint:
        RULES[endpoint] = Rule(access, takes_code)
        return endpoint

    return mark


def new_token() -> str:
    """Return 256 random bits, URL-safe."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


def form_token_of(cookie: str) -> str:
    """Return what the forms carry of whom this cookie's value belongs to.

    It shows nothing of the cookie, and cannot be made without it.
    """
    mac = hmac.new(cookie.encode(), b"form of the console", "sha256")
    return base64.urlsafe_b64encode(mac.digest()).rstrip(b"=").decode()


async def guard(request: Request, parts: TheParts) -> None:
    """Let a request through to its route, or raise what keeps it out."""
    rule = RULES.get(request.scope["endpoint"])
    if rule is None:
        _log.error("a route of the console says nobody may use it")
        raise NotAllowed
    if rule.access is Access.PUBLIC:
        await _check_visit(request, parts)
        return
    staff = await _signed_in(request, parts)
    if not may(staff.role, rule.access):
        await refuse(parts, staff, "role", route=_route_of(request))
        raise NotAllowed
    if request.method in _UNSAFE:
        await _check_form(request, parts, staff, rule)
    request.state.staff = staff


async def refuse(parts: Parts, staff: Staff, why: str, route: str = "") -> None:
    """Write down that somebody who is signed in was refused."""
    row = staff.did("refused", outcome=Outcome.REFUSED, why=why, route=route)
    await record(parts, row)


async def record(parts: Parts, action: StaffAction) -> None:
    """Write one row of the audit in a transaction of its own."""
    link = await parts.records.write(lambda c: record_action(c, action))
    # Outside the database's reach: a chain that was cut off is noticed by it.
    _log.info("staff action", action=action.action, link=str(link))


async def _check_visit(request: Request, parts: Parts) -> None:
    if request.method not in _UNSAFE:
        return
    visit = read_cookie(request, parts.settings, VISIT)
    if visit is None or not _is_token(await request.form(), visit):
        raise FormNotOurs


async def _signed_in(request: Request, parts: Parts) -> Staff:
    token = read_cookie(request, parts.settings, SESSION)
    case_id = _case_of(request)
    if token is None:
        raise SignedOut(case_id)
    session_hash = token_digest(token)

    async def find(connection: AsyncConnection) -> StaffSession | None:
        return await staff_sessions.find_session(connection, session_hash)

    session = await parts.records.read(find)
    if session is None:
        raise SignedOut(case_id)
    if session.is_due_a_touch:
        await parts.records.write(
            lambda c: staff_sessions.touch_session(c, session_hash)
        )
    return Staff(
        staff_id=session.staff_id,
        name=session.name,
        display_name=session.display_name,
        role=session.role,
        session_hash=session_hash,
        form_token=form_token_of(token),
        is_fresh=session.is_fresh,
        request_id=request_id_of(request.scope),
    )


async def _check_form(request: Request, parts: Parts, staff: Staff, rule: Rule) -> None:
    form = await request.form()
    token = read_cookie(request, parts.settings, SESSION) or ""
    if not _is_token(form, token):
        await refuse(parts, staff, "form token", route=_route_of(request))
        raise FormNotOurs
    if rule.takes_code and not staff.is_fresh:
        await _take_code(parts, staff, form)


async def _take_code(parts: Parts, staff: Staff, form: FormData) -> None:
    """Have the form's code make the session fresh.

    Raises:
        CodeNeeded: There was none, or a wrong or used one.
        SignedOut: There were so many wrong ones that the session is over.
    """
    fields = {
        key: value
        for key, value in form.items()
        if isinstance(value, str) and key != "code"
    }
    typed = form.get("code")
    if not isinstance(typed, str) or not typed.strip():
        raise CodeNeeded(fields)
    counted = await parts.records.write(
        lambda c: staff_sessions.count_try(
            c, f"code:{staff.name}", most=_MOST_CODES, within=_CODES_WITHIN
        )
    )
    if counted.retry_after_seconds is not None:
        await parts.records.write(
            lambda c: staff_sessions.end_session(c, staff.session_hash)
        )
        await refuse(parts, staff, "too many codes")
        raise SignedOut
    if not await _is_code(parts, staff, typed):
        await refuse(parts, staff, "code")
        raise CodeNeeded(fields, "That code is not right, or was used before.")


async def _is_code(parts: Parts, staff: Staff, typed: str) -> bool:
    async def work(connection: AsyncConnection) -> bool:
        session = await staff_sessions.find_session(connection, staff.session_hash)
        if session is None:
            raise SignedOut
        secret = parts.staff_secrets.totp_secret(session.source)
        step = step_of_code(secret, typed, parts.clock())
        if step is None or not await spend_code(connection, staff.staff_id, step):
            return False
        await staff_sessions.note_code(connection, staff.session_hash)
        await staff_sessions.forget_tries(connection, f"code:{staff.name}")
        await record_action(connection, staff.did("code.given"))
        return True

    return await parts.records.write(work)


def _is_token(form: FormData, cookie: str) -> bool:
    sent = form.get("form_token")
    return isinstance(sent, str) and hmac.compare_digest(
        sent.encode("utf-8", "replace"), form_token_of(cookie).encode()
    )


def _case_of(request: Request) -> UUID | None:
    try:
        return UUID(str(request.path_params.get("case_id", "")))
    except ValueError:
        return None


def _route_of(request: Request) -> str:
    """Return the route's template, which holds nothing that anybody typed."""
    return f"{request.method} {request.scope['route'].path}"


async def _staff(request: Request) -> Staff:
    staff: Staff = request.state.staff
    return staff


#: How a route asks for whoever is signed in.
TheStaff = Annotated[Staff, Depends(_staff)]


def console_router() -> APIRouter:
    """Return a router of the console, with the guard in front of all its routes."""
    return APIRouter(
        prefix="/support", include_in_schema=False, dependencies=[Depends(guard)]
    )
