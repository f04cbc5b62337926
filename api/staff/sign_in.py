"""Signing in to the console, setting an account up, and signing out.

An unknown name, a wrong password, a wrong code and a closed account get the same answer
after the same work. Tries are counted per address and per account; who signs in from a
browser that did so before is counted apart, so that no stranger can lock them out.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated
from uuid import UUID

from fastapi import Form
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from api.cookies import read_cookie, set_cookie
from api.limits import TooOften, caller_of
from api.observed import request_id_of
from api.parts import Parts, TheParts
from api.staff.credentials import step_of_code
from api.staff.guard import (
    SESSION,
    VISIT,
    StaffForm,
    TheStaff,
    allows,
    console_router,
    form_token_of,
    new_token,
    record,
)
from api.staff.pages import Enrolment
from api.staff.refusals import SetupUnusable
from database import staff_sessions
from database.audit import Fact, Outcome, StaffAction, record_action
from database.staff import (
    StaffRow,
    find_by_setup,
    find_staff,
    set_up,
    spend_code,
    strengthen,
)
from domain.addresses import is_token, token_digest
from domain.staff import (
    Access,
    CodeSource,
    StaffKeyMissing,
    enrolment_uri,
    password_problem,
)

router = console_router()

#: The mark of a browser that signed in to an account before.
BROWSER = "staff-browser"

WITHIN = timedelta(minutes=15)
MOST_PER_ADDRESS = 30
MOST_PER_ACCOUNT = 10

_SESSION_SECONDS = int(staff_sessions.SESSION_VALID_FOR.total_seconds())
_VISIT_SECONDS = int(timedelta(hours=1).total_seconds())
_BROWSER_SECONDS = int(timedelta(days=180).total_seconds())

#: Longer than any password of ours: what is longer still is no try.
_MOST_TYPED = 1024

#: Of an account that does not exist; so that as much is computed as for one that does.
_NOBODYS = bytes(16)

REFUSED = "Name, password and code do not belong together, or the code was used before."


class SignInForm(StaffForm):
    """What the sign-in form sends."""

    name: str = Field(max_length=64)
    password: str = Field(max_length=_MOST_TYPED)
    case_id: str = Field(default="", max_length=36)


class SetUpForm(StaffForm):
    """What the form sends that makes an account somebody's."""

    password: str = Field(max_length=_MOST_TYPED)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claim:
    """What somebody says, and how much of it is right."""

    row: StaffRow | None
    is_password_right: bool
    step: int | None
    is_browser_known: bool


@router.api_route("/sign-in", methods=["GET", "HEAD"])
@allows(Access.PUBLIC)
async def show_sign_in(
    request: Request, parts: TheParts, case: UUID | None = None
) -> Response:
    """Ask who it is."""
    token = read_cookie(request, parts.settings, VISIT) or new_token()
    page = parts.staff_pages.sign_in(
        form_token_of(token), case_id="" if case is None else str(case)
    )
    return _visiting(page, parts, token)


@router.post("/sign-in")
@allows(Access.PUBLIC)
async def sign_in(
    request: Request, parts: TheParts, form: Annotated[SignInForm, Form()]
) -> Response:
    """Open a session for whoever is who they say they are."""
    claim = await _examine(request, parts, form)
    token = new_token()
    if claim.row is None or not await _open(request, parts, claim, token):
        await record(parts, _refused(request, claim))
        return parts.staff_pages.sign_in(
            form.form_token, case_id=form.case_id, name=form.name, problem=REFUSED
        )
    return _signed_in(parts, claim.row, token, _case_path(form.case_id))


@router.api_route("/setup/{token}", methods=["GET", "HEAD"])
@allows(Access.PUBLIC)
async def show_set_up(request: Request, parts: TheParts, token: str) -> Response:
    """Show the second factor and ask for a password; looking uses nothing up."""
    row = await _account_of(parts, token)
    visit = read_cookie(request, parts.settings, VISIT) or new_token()
    page = parts.staff_pages.set_up(
        form_token_of(visit), request.url.path, _enrolment(parts, row)
    )
    return _visiting(page, parts, visit)


@router.post("/setup/{token}")
@allows(Access.PUBLIC)
async def use_set_up(
    request: Request, parts: TheParts, token: str, form: Annotated[SetUpForm, Form()]
) -> Response:
    """Use the link up: the password is theirs, and they are signed in."""
    await _count(request, parts, f"address:{caller_of(request)}", MOST_PER_ADDRESS)
    row = await _account_of(parts, token)
    enrolment = _enrolment(parts, row)
    problem = password_problem(
        form.password, (row.name, row.display_name, parts.settings.company_name)
    )
    step = step_of_code(enrolment.secret, form.code, parts.clock())
    if problem is None and step is None:
        problem = "That code is not right. Please take the one that is shown now."
    session = new_token()
    if problem is None and step is not None:
        stored = await parts.passwords.digest(form.password)
        await _make_theirs(
            request, parts, row, (token_digest(token), stored, step), session
        )
        return _signed_in(parts, row, session, "/support")
    return parts.staff_pages.set_up(
        form.form_token, request.url.path, enrolment, problem=problem or ""
    )


@router.post("/sign-out")
@allows(Access.READ)
async def sign_out(
    parts: TheParts, staff: TheStaff, form: Annotated[StaffForm, Form()]
) -> Response:
    """End the session here and in the records."""
    del form  # The guard has looked at it.

    async def work(connection: AsyncConnection) -> None:
        await staff_sessions.end_session(connection, staff.session_hash)
        await record_action(connection, staff.did("signed_out"))

    await parts.records.write(work)
    response = RedirectResponse("/support/sign-in", status_code=303)
    set_cookie(response, parts.settings, SESSION, "", 0, samesite="strict")
    return response


async def _examine(request: Request, parts: Parts, form: SignInForm) -> _Claim:
    """Do all the work of a sign-in, whatever is wrong with it.

    Raises:
        TooOften: It was tried too often; nothing was looked at.
    """
    name = form.name.strip().casefold()
    await _count(request, parts, f"address:{caller_of(request)}", MOST_PER_ADDRESS)
    row = await parts.records.read(lambda c: find_staff(c, name))
    is_known = _is_browser_known(request, parts, row)
    await _count(request, parts, _bucket(name, is_known=is_known), MOST_PER_ACCOUNT)
    stored = None if row is None or row.is_disabled else row.password_hash
    is_right = await parts.passwords.match(stored, form.password)
    step = step_of_code(_secret_of(parts, row), form.code, parts.clock())
    return _Claim(
        row=row, is_password_right=is_right, step=step, is_browser_known=is_known
    )


async def _open(request: Request, parts: Parts, claim: _Claim, token: str) -> bool:
    """Spend the code and open a session; False when anything was not right."""
    row, step = claim.row, claim.step
    if row is None or step is None or not claim.is_password_right:
        return False
    previous = read_cookie(request, parts.settings, SESSION)
    stored = row.password_hash or ""
    stronger = ""
    if parts.passwords.is_outdated(stored):
        stronger = await _anew(request, parts)

    async def work(connection: AsyncConnection) -> bool:
        if not await spend_code(connection, row.staff_id, step):
            return False
        if previous is not None:
            await staff_sessions.end_session(connection, token_digest(previous))
        await staff_sessions.open_session(
            connection, token_hash=token_digest(token), staff_id=row.staff_id
        )
        bucket = _bucket(row.name, is_known=claim.is_browser_known)
        await staff_sessions.forget_tries(connection, bucket)
        if stronger:
            await strengthen(connection, row.staff_id, stored, stronger)
        await record_action(connection, _action(request, row, "signed_in"))
        return True

    return await parts.records.write(work)


async def _anew(request: Request, parts: Parts) -> str:
    """Digest the password again, with the work that is asked for now."""
    typed = (await request.form()).get("password")
    return await parts.passwords.digest(typed) if isinstance(typed, str) else ""


async def _make_theirs(
    request: Request,
    parts: Parts,
    row: StaffRow,
    proof: tuple[bytes, str, int],
    session: str,
) -> None:
    setup_hash, stored, step = proof

    async def work(connection: AsyncConnection) -> None:
        if not await set_up(
            connection, setup_hash=setup_hash, password_hash=stored, step=step
        ):
            raise SetupUnusable
        await staff_sessions.open_session(
            connection, token_hash=token_digest(session), staff_id=row.staff_id
        )
        await record_action(connection, _action(request, row, "account.set_up"))

    await parts.records.write(work)


async def _count(request: Request, parts: Parts, what: str, most: int) -> None:
    counted = await parts.records.write(
        lambda c: staff_sessions.count_try(c, what, most=most, within=WITHIN)
    )
    if counted.retry_after_seconds is None:
        return
    if counted.is_first_refused:  # The rest of a flood would only fill the audit.
        await record(
            parts,
            _unknown(request, "sign_in", why="too often", of=what.partition(":")[0]),
        )
    raise TooOften(counted.retry_after_seconds)


async def _account_of(parts: Parts, token: str) -> StaffRow:
    if not is_token(token):
        raise SetupUnusable
    row = await parts.records.read(lambda c: find_by_setup(c, token_digest(token)))
    if row is None:
        raise SetupUnusable
    return row


def _enrolment(parts: Parts, row: StaffRow) -> Enrolment:
    secret = parts.staff_secrets.totp_secret(row.source)
    return Enrolment(
        name=row.name,
        display_name=row.display_name,
        uri=enrolment_uri(row.name, parts.settings.company_name, secret),
        secret=secret,
    )


def _secret_of(parts: Parts, row: StaffRow | None) -> str:
    """Return the secret of the codes; for nobody one that no app was ever told."""
    secrets = parts.staff_secrets
    nobodys = CodeSource(key_id=secrets.newest, salt=_NOBODYS)
    try:
        return secrets.totp_secret(nobodys if row is None else row.source)
    except StaffKeyMissing:
        return secrets.totp_secret(nobodys)


def _is_browser_known(request: Request, parts: Parts, row: StaffRow | None) -> bool:
    mark = read_cookie(request, parts.settings, BROWSER)
    if row is None or mark is None:
        return False
    try:
        expected = parts.staff_secrets.browser_mark(row.source)
    except StaffKeyMissing:
        return False
    return hmac.compare_digest(mark, expected)


def _bucket(name: str, *, is_known: bool) -> str:
    return f"{'known' if is_known else 'account'}:{name}"


def _action(
    request: Request,
    row: StaffRow,
    action: str,
    outcome: Outcome = Outcome.DONE,
    **about: Fact,
) -> StaffAction:
    return StaffAction(
        actor=row.name,
        role=row.role,
        action=action,
        outcome=outcome,
        request_id=request_id_of(request.scope),
        about={"address": caller_of(request)} | about,
    )


def _unknown(request: Request, action: str, **about: Fact) -> StaffAction:
    return StaffAction(
        # Never what was typed: people type passwords into the wrong field.
        actor="unknown",
        role=None,
        action=action,
        outcome=Outcome.REFUSED,
        request_id=request_id_of(request.scope),
        about={"address": caller_of(request)} | about,
    )


def _refused(request: Request, claim: _Claim) -> StaffAction:
    if claim.row is None:
        return _unknown(request, "sign_in", why="no such account")
    return _action(
        request,
        claim.row,
        "sign_in",
        Outcome.REFUSED,
        password_right=claim.is_password_right,
        code_right=claim.step is not None,
        browser_known=claim.is_browser_known,
        disabled=claim.row.is_disabled,
    )


def _visiting(page: Response, parts: Parts, token: str) -> Response:
    set_cookie(page, parts.settings, VISIT, token, _VISIT_SECONDS, samesite="strict")
    return page


def _signed_in(parts: Parts, row: StaffRow, token: str, path: str) -> Response:
    response = RedirectResponse(path, status_code=303)
    settings = parts.settings
    set_cookie(response, settings, SESSION, token, _SESSION_SECONDS, samesite="strict")
    set_cookie(
        response,
        settings,
        BROWSER,
        parts.staff_secrets.browser_mark(row.source),
        _BROWSER_SECONDS,
        samesite="strict",
    )
    return response


def _case_path(case_id: str) -> str:
    """Return where they wanted to go: a case of ours, never an address."""
    try:
        return f"/support/cases/{UUID(case_id)}"
    except ValueError:
        return "/support"
