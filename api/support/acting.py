"""What staff do with a case: take it, hand it over, note, hold, close.

Every action and its row of the audit are one transaction. Of two who act at once, the
second changes nothing and is told so.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated
from uuid import UUID

from fastapi import Form
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api.parts import Parts, TheParts
from api.staff.guard import (
    Reason,
    ReasonForm,
    Staff,
    StaffForm,
    TheStaff,
    allows,
    console_router,
)
from api.support.case import PAYMENT
from api.support.holding import held_until
from api.support.said import Said, back_to_case
from api.support.views import seen_of
from database import console
from database.audit import Outcome, StaffAction, digest_of, record_action
from database.cases import open_payment_case
from database.checkouts import CheckoutNotFound, read_checkout
from database.staff import find_staff
from domain.causes import Cause
from domain.staff import Access, may

router = console_router()

_MOST_TEXT = 4000


class OwnerForm(StaffForm):
    """Who held the case when the page was made; empty for nobody."""

    expected: str = Field(default="", max_length=40)


class HandOverForm(OwnerForm):
    """To whom a case goes."""

    to: str = Field(max_length=40)


class NoteForm(StaffForm):
    """A note."""

    text: str = Field(min_length=1, max_length=_MOST_TEXT, pattern=r"\S")


class SeenForm(StaffForm):
    """What the case was open for when its page was made; see `seen_of`."""

    seen: str = Field(min_length=1, max_length=160)


class HoldForm(SeenForm):
    """How long a case may wait, and why; no time ends a hold."""

    until: str = Field(default="", max_length=10)
    reason: str = Field(default="", max_length=300)


class CloseForm(SeenForm):
    """Why a case is done."""

    reason: Reason


class PaymentForm(StaffForm):
    """A payment that nothing of ours stands for."""

    payment_intent: str = Field(pattern=PAYMENT)


@router.post("/cases/{case_id}/claim")
@allows(Access.ACT)
async def claim(
    parts: TheParts, staff: TheStaff, case_id: UUID, form: Annotated[OwnerForm, Form()]
) -> Response:
    """Take a case, from the list or from a colleague who holds it."""
    is_theirs = await _give(
        parts,
        staff,
        case_id,
        owner=staff.name,
        expected=form.expected,
        action="claimed",
    )
    return back_to_case(case_id, Said.CLAIMED if is_theirs else Said.MOVED)


@router.post("/cases/{case_id}/release")
@allows(Access.ACT)
async def release(
    parts: TheParts, staff: TheStaff, case_id: UUID, form: Annotated[OwnerForm, Form()]
) -> Response:
    """Put a case back on the list."""
    is_free = await _give(
        parts, staff, case_id, owner=None, expected=form.expected, action="released"
    )
    return back_to_case(case_id, Said.GIVEN_BACK if is_free else Said.MOVED)


@router.post("/cases/{case_id}/hand-over")
@allows(Access.ACT)
async def hand_over(
    parts: TheParts,
    staff: TheStaff,
    case_id: UUID,
    form: Annotated[HandOverForm, Form()],
) -> Response:
    """Give a case to a colleague."""
    colleague = await parts.records.read(lambda c: find_staff(c, form.to))
    if (
        colleague is None
        or colleague.is_disabled
        or not may(colleague.role, Access.ACT)
    ):
        row = staff.did(
            "case.handed_over",
            outcome=Outcome.REFUSED,
            case_id=case_id,
            before=form.expected or None,
            after=None if colleague is None else colleague.name,
            why="cannot take a case",
        )
        await parts.records.write(lambda c: record_action(c, row))
        return parts.console.problem(
            staff,
            "That colleague cannot take a case. Nothing was changed.",
            f"/support/cases/{case_id}",
        )
    is_given = await _give(
        parts,
        staff,
        case_id,
        owner=colleague.name,
        expected=form.expected,
        action="handed_over",
    )
    return back_to_case(case_id, Said.HANDED_OVER if is_given else Said.MOVED)


@router.post("/cases/{case_id}/notes")
@allows(Access.ACT)
async def note(
    parts: TheParts, staff: TheStaff, case_id: UUID, form: Annotated[NoteForm, Form()]
) -> Response:
    """Write a note for colleagues; the customer never reads it."""

    async def work(connection: AsyncConnection) -> bool:
        if await console.read_case(connection, case_id) is None:
            return False
        note_id = await console.add_note(
            connection, case_id, author=staff.name, text=form.text
        )
        row = staff.did(
            "case.noted",
            case_id=case_id,
            note=str(note_id),
            text_sha256=digest_of(form.text),
        )
        await record_action(connection, row)
        return True

    is_written = await parts.records.write(work)
    return back_to_case(case_id, Said.NOTED if is_written else Said.MOVED)


@router.post("/cases/{case_id}/hold")
@allows(Access.ACT)
async def hold(
    parts: TheParts, staff: TheStaff, case_id: UUID, form: Annotated[HoldForm, Form()]
) -> Response:
    """Let a case wait until a time, or end that."""
    until = held_until(form.until, parts.clock(), parts.settings.support_times)
    if form.until and (until is None or not form.reason.strip()):
        refused = staff.did(
            "case.held",
            outcome=Outcome.REFUSED,
            case_id=case_id,
            why="no time or reason",
        )
        await parts.records.write(lambda c: record_action(c, refused))
        return parts.console.problem(
            staff,
            "A hold needs a time and a reason. Nothing was changed.",
            f"/support/cases/{case_id}",
            status=422,
        )

    action = "case.held" if until else "case.hold_ended"

    async def work(connection: AsyncConnection) -> bool:
        if not await console.hold_case(connection, case_id, until, form.reason.strip()):
            return False
        row = staff.did(
            action,
            case_id=case_id,
            until=until.isoformat() if until else None,
            reason_sha256=digest_of(form.reason),
        )
        await record_action(connection, row)
        return True

    stale = staff.did(action, outcome=Outcome.REFUSED, case_id=case_id, why="moved")
    is_done = await _as_seen(parts, case_id, form.seen, stale, work)
    said = Said.HELD if until else Said.NOT_HELD
    return back_to_case(case_id, said if is_done else Said.MOVED)


@router.post("/cases/{case_id}/close")
@allows(Access.ACT)
async def close(
    parts: TheParts, staff: TheStaff, case_id: UUID, form: Annotated[CloseForm, Form()]
) -> Response:
    """Close a case: somebody says that nothing is left to do."""

    async def work(connection: AsyncConnection) -> bool:
        if not await console.resolve_case(connection, case_id):
            return False
        note_id = await console.add_note(
            connection, case_id, author=staff.name, text=f"Closed: {form.reason}"
        )
        row = staff.did(
            "case.closed",
            case_id=case_id,
            note=str(note_id),
            reason_sha256=digest_of(form.reason),
        )
        await record_action(connection, row)
        return True

    stale = staff.did(
        "case.closed", outcome=Outcome.REFUSED, case_id=case_id, why="moved"
    )
    is_closed = await _as_seen(parts, case_id, form.seen, stale, work)
    return back_to_case(case_id, Said.CLOSED if is_closed else Said.MOVED)


@router.post("/checkouts/{checkout_id}/case")
@allows(Access.ACT)
async def open_case(
    parts: TheParts,
    staff: TheStaff,
    checkout_id: UUID,
    form: Annotated[ReasonForm, Form()],
) -> Response:
    """Open a checkout's case because somebody wants to look into it."""

    async def work(connection: AsyncConnection) -> UUID:
        try:
            await read_checkout(connection, checkout_id)
        except CheckoutNotFound:
            raise HTTPException(404) from None
        case_id = await console.open_case_by_hand(
            connection, checkout_id, owner=staff.name, detail=form.reason
        )
        row = staff.did("case.opened", case_id=case_id, checkout_id=checkout_id)
        await record_action(connection, row)
        return case_id

    return back_to_case(await parts.records.write(work), Said.OPENED)


@router.post("/payments/case")
@allows(Access.ACT)
async def open_case_of_payment(
    parts: TheParts, staff: TheStaff, form: Annotated[PaymentForm, Form()]
) -> Response:
    """Open the case of a payment that no checkout of ours knows."""
    payment = form.payment_intent

    async def work(connection: AsyncConnection) -> UUID | None:
        await open_payment_case(
            connection,
            payment,
            "find out whose payment it is",
            Cause.CHARGE_WITHOUT_CHECKOUT,
            f"{staff.display_name} found it at the processor.",
        )
        case_id = await console.find_orphan(connection, payment)
        row = staff.did("case.opened", case_id=case_id, payment=payment)
        await record_action(connection, row)
        return case_id

    case_id = await parts.records.write(work)
    assert case_id is not None  # noqa: S101  # Opened above, or before.
    return back_to_case(case_id, Said.PAYMENT_OPENED)


class _Moved(Exception):
    """The case is not any more what the page showed."""


async def _as_seen(
    parts: Parts,
    case_id: UUID,
    seen: str,
    stale: StaffAction,
    work: Callable[[AsyncConnection], Awaitable[bool]],
) -> bool:
    """Do something to a case if it is still what the page showed.

    Whoever closes what they read does not close what came after it. The work comes
    first, because its update locks the case's row, which a message that arrives
    updates too: what is read then is the last word, and the work is undone by it.
    """

    async def check(connection: AsyncConnection) -> None:
        is_done = await work(connection)
        case = await console.read_case(connection, case_id)
        if not is_done or case is None or seen_of(case) != seen:
            raise _Moved

    try:
        await parts.records.write(check)
    except _Moved:
        await parts.records.write(lambda c: record_action(c, stale))
        return False
    return True


async def _give(
    parts: Parts,
    staff: Staff,
    case_id: UUID,
    *,
    owner: str | None,
    expected: str,
    action: str,
) -> bool:
    """Change a case's owner if it is still who the page showed."""

    async def work(connection: AsyncConnection) -> bool:
        is_done = await console.set_owner(
            connection, case_id, owner=owner, expected=expected or None
        )
        row: StaffAction = staff.did(
            f"case.{action}",
            outcome=Outcome.DONE if is_done else Outcome.REFUSED,
            case_id=case_id,
            before=expected or None,
            after=owner,
        )
        await record_action(connection, row)
        return is_done

    return await parts.records.write(work)
