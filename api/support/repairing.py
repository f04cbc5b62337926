"""The one press: a repair is asked for once, whoever presses, however often.

The row comes first, so that it is known what was asked. Its id is made of the checkout
as the page showed it; a second press, or a colleague's, means the same row.
"""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Form
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import Response

from api.parts import Parts, TheParts
from api.staff.guard import Staff, StaffForm, TheStaff, allows, console_router
from api.support.case import read_case_facts
from api.support.said import Said, back_to_checkout, look_for_a_moment
from api.support.views import repair_facts
from api.telling import tell_repair
from database import console
from database.audit import Outcome, StaffAction, record_action
from database.checkouts import CheckoutRow
from database.console import Asked
from database.emails import owe_again
from domain.case_view import CaseFacts, repair_id_of
from domain.messages import CheckoutInput, RepairRequest
from domain.staff import Access

router = console_router()

#: Most repairs are over by then, and the page that follows can tell how they ended.
_LOOKS = 4

#: The reason of who gave none.
_IN_CONSOLE = "asked for in the console"


class RepairForm(StaffForm):
    """Which repair the page proposed."""

    repair_id: UUID
    reason: str = Field(default="", max_length=300)


@router.post("/checkouts/{checkout_id}/repair")
@allows(Access.ACT)
async def repair(
    parts: TheParts,
    staff: TheStaff,
    checkout_id: UUID,
    form: Annotated[RepairForm, Form()],
) -> Response:
    """Have what is missing done, and wait a moment for how it ends."""
    case, row, record = await read_case_facts(parts, checkout_id)
    case_id = None if case is None else case.case_id
    facts = repair_facts(row, record.mails, record.repairs)
    is_known = any(one.repair_id == form.repair_id for one in record.repairs)
    if not (is_known or form.repair_id == repair_id_of(facts)):
        stale = _did(staff, case_id, checkout_id, form.repair_id, Outcome.REFUSED)
        await parts.records.write(lambda c: record_action(c, stale))
        return back_to_checkout(checkout_id, Said.REPAIR_STALE)
    request = RepairRequest(
        repair_id=form.repair_id,
        actor=staff.name,
        reason=form.reason.strip() or _IN_CONSOLE,
    )
    asked = await write_repair(parts, staff, case_id, facts, request)
    if asked is None:
        return back_to_checkout(checkout_id, Said.REPAIR_STALE)
    if not await knock(parts, row, asked):
        return back_to_checkout(checkout_id, Said.REPAIR_WAITS)
    said = await _said(parts, checkout_id, asked, staff.name)
    return back_to_checkout(checkout_id, said)


async def write_repair(
    parts: Parts,
    staff: Staff,
    case_id: UUID | None,
    facts: CaseFacts,
    request: RepairRequest,
) -> Asked | None:
    """Make a repair durable once, and write down who pressed.

    Returns:
        How it stands; None when its id is another checkout's.
    """
    checkout_id = facts.checkout_id

    async def work(connection: AsyncConnection) -> Asked | None:
        asked = await console.ask_repair(connection, checkout_id, request)
        if asked is not None and asked.is_new and facts.is_receipt_owed:
            # A receipt that was refused, or came back, leaves by a person's word alone.
            await owe_again(connection, checkout_id)
        action = _did(
            staff,
            case_id,
            checkout_id,
            request.repair_id,
            Outcome.REFUSED if asked is None else Outcome.DONE,
            is_new=asked is not None and asked.is_new,
        )
        await record_action(connection, action)
        return asked

    return await parts.records.write(work)


def _did(
    staff: Staff,
    case_id: UUID | None,
    checkout_id: UUID,
    repair_id: UUID,
    outcome: Outcome,
    *,
    is_new: bool = False,
) -> StaffAction:
    return staff.did(
        "repair.asked",
        outcome=outcome,
        case_id=case_id,
        checkout_id=checkout_id,
        repair=str(repair_id),
        is_new=is_new,
    )


async def knock(parts: Parts, row: CheckoutRow, asked: Asked) -> bool:
    """Have the workflow do it, unless it is done; False when Temporal is away."""
    if asked.outcome is not None:
        return True
    checkout = CheckoutInput(
        checkout_id=row.checkout_id, reference_code=row.reference_code
    )
    # As the first one's: the workflow takes the same id once.
    first = RepairRequest(
        repair_id=asked.repair_id, actor=asked.actor, reason=asked.reason
    )
    return await tell_repair(parts, checkout, first)


async def _said(parts: Parts, checkout_id: UUID, asked: Asked, name: str) -> Said:
    if not asked.is_new and asked.actor != name:
        return Said.REPAIR_BY_OTHER
    now = await look_for_a_moment(
        lambda: parts.records.read(
            lambda c: console.read_repair(c, checkout_id, asked.repair_id)
        ),
        lambda now: now is not None and now.outcome is not None,
        looks=_LOOKS,
    )
    is_done = now is not None and now.outcome is not None
    return Said.REPAIR_DONE if is_done else Said.REPAIR_ASKED
