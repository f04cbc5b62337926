"""Changes of a purchase: days that are added, and an address that is put right.

The row, what it does, its repair and its line of the audit are one transaction; then
the workflow is told, which tells the application. A page knows how many changes there
were: of two who press at once, the second finds the first one's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import Form
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import Response

from api.buying import EmailRefused, checked_email
from api.parts import Parts, TheParts
from api.staff.guard import Reason, Staff, StaffForm, TheStaff, allows, console_router
from api.support.case import read_case_facts
from api.support.repairing import knock
from api.support.said import Said, back_to_checkout
from database.audit import Fact, Outcome, StaffAction, digest_of, record_action
from database.changes import (
    Change,
    ChangeRefused,
    Wish,
    add_days,
    correct_address,
)
from database.console import read_repair
from domain.changes import MOST_DAYS, days_problem
from domain.replies import Verified
from domain.staff import Access

router = console_router()

#: Makes a change, or finds the one that was made; and says which it was.
Make = Callable[[AsyncConnection], Awaitable[tuple[Change, bool]]]


class ChangeForm(StaffForm):
    """Why a purchase is changed, and how many changes the page knew of."""

    reason: Reason
    turn: int = Field(ge=0, le=1000)

    def wish_of(self, staff: Staff) -> Wish:
        """Return it as the wish of whoever sent it."""
        return Wish(turn=self.turn, actor=staff.name, reason=self.reason.strip())


class DaysForm(ChangeForm):
    """How many days are added."""

    days: int = Field(ge=-1000, le=1000)


class AddressForm(ChangeForm):
    """Where mail shall go, and how it is known that they may say so."""

    email: str = Field(min_length=1, max_length=254)
    verified: Verified


@dataclass(frozen=True, slots=True, kw_only=True)
class _Deed:
    """What is done, in the audit and on the page that follows.

    Attributes:
        is_made_by: Whether a change that was found is the one that is asked for.
        about: Facts for the audit: no address and nobody's words.
    """

    action: str
    said: Said
    is_made_by: Callable[[Change], bool]
    about: dict[str, Fact]


@router.post("/checkouts/{checkout_id}/days")
@allows(Access.ACT)
async def days(
    parts: TheParts,
    staff: TheStaff,
    checkout_id: UUID,
    form: Annotated[DaysForm, Form()],
) -> Response:
    """Make a plan longer."""

    async def make(connection: AsyncConnection) -> tuple[Change, bool]:
        problem = days_problem(staff.role, form.days)
        if problem:
            raise ChangeRefused(problem)
        wish, most = form.wish_of(staff), MOST_DAYS[staff.role]
        return await add_days(connection, checkout_id, wish, form.days, most_days=most)

    deed = _Deed(
        action="days.added",
        said=Said.DAYS_ADDED,
        is_made_by=lambda made: made.days == form.days,
        about={"days": form.days, "reason_sha256": digest_of(form.reason.strip())},
    )
    return await _change(parts, staff, checkout_id, make, deed)


@router.post("/checkouts/{checkout_id}/address")
@allows(Access.ACT, takes_code=True)
async def address(
    parts: TheParts,
    staff: TheStaff,
    checkout_id: UUID,
    form: Annotated[AddressForm, Form()],
) -> Response:
    """Send a purchase's mail to another address from now on."""
    email = problem = ""
    try:
        email = checked_email(parts, form.email)
    except EmailRefused as refused:
        problem = str(refused)

    async def make(connection: AsyncConnection) -> tuple[Change, bool]:
        if problem:
            raise ChangeRefused(problem)
        wish = form.wish_of(staff)
        return await correct_address(
            connection, checkout_id, wish, email, form.verified
        )

    deed = _Deed(
        action="address.corrected",
        said=Said.ADDRESS_CORRECTED,
        is_made_by=lambda made: made.new_email == email,
        about={
            "verified": form.verified.value,
            "reason_sha256": digest_of(form.reason.strip()),
        },
    )
    return await _change(parts, staff, checkout_id, make, deed)


async def _change(
    parts: Parts, staff: Staff, checkout_id: UUID, make: Make, deed: _Deed
) -> Response:
    """Make a change once, write down who did, and tell the workflow."""
    case, row, _ = await read_case_facts(parts, checkout_id)

    def did(outcome: Outcome, **more: Fact) -> StaffAction:
        return staff.did(
            deed.action,
            outcome=outcome,
            case_id=None if case is None else case.case_id,
            checkout_id=checkout_id,
            **deed.about,
            **more,
        )

    def is_theirs(made: Change) -> bool:
        return made.actor == staff.name and deed.is_made_by(made)

    async def work(connection: AsyncConnection) -> tuple[Change, bool]:
        made, is_new = await make(connection)
        if is_new:
            done = did(Outcome.DONE, change=str(made.change_id))
            await record_action(connection, done)
        elif not is_theirs(made):
            other = did(Outcome.REFUSED, why="changed since")
            await record_action(connection, other)
        return made, is_new

    try:
        made, is_new = await parts.records.write(work)
    except ChangeRefused as refused:
        refusal = did(Outcome.REFUSED)
        await parts.records.write(lambda c: record_action(c, refusal))
        words, back = (
            f"{refused} Nothing was changed.",
            f"/support/checkouts/{checkout_id}",
        )
        return parts.console.problem(staff, words, back)
    if not is_new and not is_theirs(made):
        return back_to_checkout(checkout_id, Said.CHANGE_BY_OTHER)
    asked = await parts.records.read(
        lambda c: read_repair(c, checkout_id, made.change_id)
    )
    is_told = asked is None or await knock(parts, row, asked)
    return back_to_checkout(checkout_id, deed.said if is_told else Said.CHANGE_WAITS)
