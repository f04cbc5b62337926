"""Money that goes back because a colleague says so: a code, a reason, ten minutes.

The row first, then the knock at the workflow; when Temporal is away the starter loop
knocks later. A page knows how many refunds there were: of two who press at once, the
second finds the first one's.
"""

from __future__ import annotations

from typing import Annotated
from uuid import UUID, uuid5

from fastapi import Form
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import Response

from api.parts import Parts, TheParts
from api.staff.guard import Reason, Staff, StaffForm, TheStaff, allows, console_router
from api.support.case import read_case_facts
from api.support.said import Said, back_to_checkout
from api.telling import tell_refund
from database.audit import Outcome, digest_of, record_action
from database.checkouts import CheckoutRow
from database.refunds import (
    RefundRefused,
    cancel_refund,
    request_refund,
)
from domain.messages import CheckoutInput
from domain.money import Money, parse_money
from domain.refunds import RefundRequest, RefundRow
from domain.staff import Access
from domain.states import RefundState

router = console_router()

#: Makes a refund's id from its checkout and its turn.
_REFUNDS = UUID("b5a1f0e9-6a41-4d2f-8a57-0f5c0a0c9d11")

#: What a press came to, by where the refund stands that it asked for.
_SAID = {
    RefundState.REQUESTED: Said.REFUND_ASKED,
    RefundState.SUBMITTING: Said.REFUND_SENT_BEFORE,
    RefundState.PENDING: Said.REFUND_SENT_BEFORE,
    RefundState.SUCCEEDED: Said.REFUND_SENT_BEFORE,
    RefundState.FAILED: Said.REFUND_CAME_BACK,
    RefundState.CANCELED: Said.REFUND_WAS_TAKEN_BACK,
}


class RefundForm(StaffForm):
    """What goes back, typed in full."""

    amount: str = Field(max_length=20)
    reason: Reason
    turn: int = Field(ge=0, le=1000)
    keeps_access: bool = False


class TakeBackForm(StaffForm):
    """Which refund the button stood beside."""

    refund_id: UUID


@router.post("/checkouts/{checkout_id}/refund")
@allows(Access.ACT, takes_code=True)
async def refund(
    parts: TheParts,
    staff: TheStaff,
    checkout_id: UUID,
    form: Annotated[RefundForm, Form()],
) -> Response:
    """Ask for a refund; it can be taken back for ten minutes."""
    case, row, record = await read_case_facts(parts, checkout_id)
    case_id = None if case is None else case.case_id
    try:
        amount = parse_money(form.amount.lstrip("$€£ "), row.price.currency)
        request = _request(checkout_id, staff, form, amount)
        if form.turn > len(record.returned):
            raise RefundRefused("This page is not one of ours. Open the case again.")
        asked = await _ask(parts, staff, (checkout_id, case_id), request)
    except (RefundRefused, ValueError) as refused:
        await _write_refusal(parts, staff, checkout_id, form)
        return parts.console.problem(
            staff, f"{refused} Nothing was sent.", f"/support/checkouts/{checkout_id}"
        )
    if asked is None:
        return back_to_checkout(checkout_id, Said.REFUND_BY_OTHER)
    if asked.state is RefundState.REQUESTED:
        await _knock(parts, row, request)
    return back_to_checkout(checkout_id, _SAID[asked.state])


@router.post("/checkouts/{checkout_id}/refund/take-back")
@allows(Access.ACT)
async def take_back(
    parts: TheParts,
    staff: TheStaff,
    checkout_id: UUID,
    form: Annotated[TakeBackForm, Form()],
) -> Response:
    """Take the refund back that stands beside the button, if it was not sent."""
    case, row, _ = await read_case_facts(parts, checkout_id)
    case_id = None if case is None else case.case_id

    async def work(connection: AsyncConnection) -> tuple[RefundRow | None, bool]:
        found, is_taken = await cancel_refund(
            connection, checkout_id, form.refund_id, staff.name
        )
        await record_action(
            connection,
            staff.did(
                "refund.taken_back",
                outcome=Outcome.DONE if is_taken else Outcome.REFUSED,
                case_id=case_id,
                checkout_id=checkout_id,
                refund=str(form.refund_id),
                **({} if is_taken or found is None else {"why": found.state.value}),
            ),
        )
        return found, is_taken

    taken, is_taken = await parts.records.write(work)
    if taken is None or not is_taken:
        return back_to_checkout(checkout_id, _not_taken(taken))
    request = RefundRequest(
        refund_id=taken.refund_id,
        amount=taken.amount,
        actor=staff.name,
        reason="taken back",
        ends_access=taken.ends_access,
    )
    await _knock(parts, row, request)
    return back_to_checkout(checkout_id, Said.REFUND_TAKEN_BACK)


def _not_taken(refund: RefundRow | None) -> Said:
    if refund is None:
        return Said.REPAIR_STALE
    if refund.state is RefundState.CANCELED:
        return Said.REFUND_TAKEN_BEFORE
    return Said.REFUND_TOO_LATE


def _request(
    checkout_id: UUID, staff: Staff, form: RefundForm, amount: Money
) -> RefundRequest:
    return RefundRequest(
        refund_id=uuid5(_REFUNDS, f"{checkout_id}:{form.turn}"),
        amount=amount,
        actor=staff.name,
        reason=form.reason.strip(),
        ends_access=not form.keeps_access,
    )


async def _ask(
    parts: Parts,
    staff: Staff,
    about: tuple[UUID, UUID | None],
    request: RefundRequest,
) -> RefundRow | None:
    """Make a request durable once, and write down what became of the press.

    The checkout's lock lets one ask at a time, so that what the audit has of two who
    press at once is what became of each. Who presses twice is written down once, unless
    what they asked for is over or on its way: then the second press came to nothing.

    Returns:
        The refund as it stands; None when another stands in its place.
    """
    checkout_id, case_id = about

    async def work(connection: AsyncConnection) -> RefundRow | None:
        asked, is_new = await request_refund(connection, checkout_id, request)
        is_theirs = not _is_of_another(request, asked)
        if is_theirs and not is_new and asked.state is RefundState.REQUESTED:
            return asked
        await record_action(
            connection,
            staff.did(
                "refund.asked",
                outcome=Outcome.DONE if is_new else Outcome.REFUSED,
                case_id=case_id,
                checkout_id=checkout_id,
                refund=str(request.refund_id),
                amount_minor=request.amount.amount_minor,
                currency=request.amount.currency,
                ends_access=request.ends_access,
                reason_sha256=digest_of(request.reason),
                **({} if is_new else {"why": f"found one {asked.state}"}),
            ),
        )
        return asked if is_theirs else None

    return await parts.records.write(work)


async def _write_refusal(
    parts: Parts, staff: Staff, checkout_id: UUID, form: RefundForm
) -> None:
    row = staff.did(
        "refund.asked",
        outcome=Outcome.REFUSED,
        checkout_id=checkout_id,
        # Whatever was typed there: rows of the audit are never erased.
        amount_sha256=digest_of(form.amount),
    )
    await parts.records.write(lambda c: record_action(c, row))


def _is_of_another(request: RefundRequest, asked: RefundRow) -> bool:
    """Whether another refund stands where this one was meant to."""
    return (asked.actor, asked.amount, asked.ends_access) != (
        request.actor,
        request.amount,
        request.ends_access,
    )


async def _knock(parts: Parts, row: CheckoutRow, request: RefundRequest) -> None:
    """Tell the workflow; when Temporal is away the row waits for the starter loop."""
    checkout = CheckoutInput(
        checkout_id=row.checkout_id, reference_code=row.reference_code
    )
    await tell_refund(parts, checkout, request)
