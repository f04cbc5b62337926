"""The page of a case: what the processor says, what we say, what the customer heard."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Query
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api.parts import Parts, TheParts
from api.staff.guard import Staff, TheStaff, allows, console_router
from api.support.asking import Shown, ask_processor
from api.support.choices import Option
from api.support.holding import hold_options
from api.support.pages import PaymentPage
from api.support.said import in_words
from api.support.views import (
    CasePage,
    case_page,
    orphan_page,
    payment_of,
    payment_url,
    processor_facts,
)
from database import console
from database.checkouts import CheckoutNotFound, CheckoutRow, read_checkout
from database.console import CaseRow, Record
from database.staff import list_staff
from domain.payments import PaymentIntentStatus
from domain.staff import Access, may

router = console_router()

#: What the processor calls a payment.
PAYMENT = r"^pi_[A-Za-z0-9_]{1,200}$"

SaidKey = Annotated[str, Query(max_length=40)]


@router.api_route("/cases/{case_id}", methods=["GET", "HEAD"])
@allows(Access.READ)
async def show_case(
    parts: TheParts, staff: TheStaff, case_id: UUID, said: SaidKey = ""
) -> Response:
    """Show a case, asking the processor this moment."""
    case = await parts.records.read(lambda c: console.read_case(c, case_id))
    if case is None:
        raise HTTPException(404)
    if case.checkout_id is None:
        shown = await ask_processor(parts, case.payment_intent_id)
        notes = await parts.records.read(lambda c: console.read_notes(c, case_id))
        page = orphan_page(case, notes, shown, parts.settings)
        return await _page(parts, staff, page, said)
    return await _show(parts, staff, case.checkout_id, said)


@router.api_route("/checkouts/{checkout_id}", methods=["GET", "HEAD"])
@allows(Access.READ)
async def show_checkout(
    parts: TheParts, staff: TheStaff, checkout_id: UUID, said: SaidKey = ""
) -> Response:
    """Show a checkout, with its case if there is one."""
    return await _show(parts, staff, checkout_id, said)


@router.api_route("/payments", methods=["GET", "HEAD"])
@allows(Access.READ)
async def show_payment(
    parts: TheParts,
    staff: TheStaff,
    payment_intent: Annotated[str, Query(pattern=PAYMENT)],
) -> Response:
    """Ask the processor for a payment that our records do not find."""
    shown = await ask_processor(parts, payment_intent)
    page = await _payment_page(parts, payment_intent, shown)
    return parts.console.payment(staff, page)


async def read_case_facts(
    parts: Parts, checkout_id: UUID
) -> tuple[CaseRow | None, CheckoutRow, Record]:
    """Read everything that our rows say of a checkout.

    Raises:
        HTTPException: 404, there is none.
    """

    async def read(
        connection: AsyncConnection,
    ) -> tuple[CaseRow | None, CheckoutRow, Record]:
        row = await read_checkout(connection, checkout_id)
        case = await console.find_case(connection, checkout_id)
        case_id = None if case is None else case.case_id
        return case, row, await console.read_record(connection, checkout_id, case_id)

    try:
        return await parts.records.read(read)
    except CheckoutNotFound:
        raise HTTPException(404) from None


async def _show(parts: Parts, staff: Staff, checkout_id: UUID, said: str) -> Response:
    case, row, record = await read_case_facts(parts, checkout_id)
    shown = await ask_processor(parts, payment_of(row, record))
    page = case_page(case, row, record, shown, parts.settings)
    return await _page(parts, staff, page, said)


async def _page(parts: Parts, staff: Staff, page: CasePage, said: str) -> Response:
    people = await parts.records.read(list_staff)
    colleagues = [
        Option(value=one.name, name=one.display_name)
        for one in people
        if not one.is_disabled
        and may(one.role, Access.ACT)
        and one.name not in {staff.name, page.owner}
    ]
    holds = hold_options(parts.clock(), parts.settings.support_times)
    return parts.console.case(
        staff, page, said=in_words(said), colleagues=colleagues, holds=holds
    )


async def _payment_page(
    parts: Parts, payment_intent_id: str, shown: Shown
) -> PaymentPage:
    intent = shown.intent
    checkout_id = None if intent is None else intent.checkout_id
    case_id = await parts.records.read(
        lambda c: console.find_orphan(c, payment_intent_id)
    )
    is_ours = checkout_id is not None and await _exists(parts, checkout_id)
    took_money = intent is not None and intent.status is PaymentIntentStatus.SUCCEEDED
    return PaymentPage(
        payment_intent_id=payment_intent_id,
        facts=processor_facts(shown, parts.clock()),
        why_not=shown.why_not,
        checkout_path=f"/support/checkouts/{checkout_id}" if is_ours else None,
        case_path=None if case_id is None else f"/support/cases/{case_id}",
        payment_url=payment_url(parts.settings, payment_intent_id),
        may_open=took_money and not is_ours and case_id is None,
    )


async def _exists(parts: Parts, checkout_id: UUID) -> bool:
    try:
        await parts.records.read(lambda c: read_checkout(c, checkout_id))
    except CheckoutNotFound:
        return False
    return True
