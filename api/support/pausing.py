"""The switch that stops new payments: the first thing to do when harm grows."""

from __future__ import annotations

from typing import Annotated

from fastapi import Form
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import RedirectResponse, Response

from api.parts import TheParts
from api.staff.guard import ReasonForm, StaffForm, TheStaff, allows, console_router
from database.audit import digest_of, record_action
from database.pauses import pause_payments, resume_payments
from domain.staff import Access

router = console_router()


@router.post("/pause")
@allows(Access.ACT)
async def pause(
    parts: TheParts, staff: TheStaff, form: Annotated[ReasonForm, Form()]
) -> Response:
    """Stop new payments; what was requested before goes on."""

    async def work(connection: AsyncConnection) -> None:
        made = await pause_payments(connection, reason=form.reason, actor=staff.name)
        row = staff.did(
            "payments.paused",
            is_new=made.is_new,
            reason_sha256=digest_of(form.reason),
        )
        await record_action(connection, row)

    await parts.records.write(work)
    return RedirectResponse("/support", status_code=303)


@router.post("/resume")
@allows(Access.ACT)
async def resume(
    parts: TheParts, staff: TheStaff, form: Annotated[StaffForm, Form()]
) -> Response:
    """Take new payments again, and have who waited for it told."""
    del form  # The guard has looked at it.

    async def work(connection: AsyncConnection) -> None:
        ended = await resume_payments(connection, actor=staff.name)
        row = staff.did("payments.resumed", is_new=ended is not None)
        await record_action(connection, row)

    await parts.records.write(work)
    return RedirectResponse("/support", status_code=303)
