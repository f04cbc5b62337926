"""The reply: written beside the customer's words, shown, signed by one press."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import Form, Query
from pydantic import Field
from sqlalchemy.exc import NoResultFound
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api.letters import hand_over
from api.parts import Parts, TheParts
from api.staff.guard import Staff, StaffForm, TheStaff, allows, console_router
from api.support.asking import Shown, ask_processor
from api.support.case import read_case_facts
from api.support.reply_page import reply_page
from api.support.said import Said, back_to_checkout, look_for_a_moment
from api.support.views import payment_of
from api.support.writing import Composed, Typed, compose, read_known
from database.audit import record_action
from database.checkouts import CheckoutNotFound
from database.replies import NewReply, OtherReply, read_reply, write_reply_row
from domain.replies import (
    MOST_INVOICE_NAME,
    MOST_INVOICE_URL,
    Situation,
    Verified,
)
from domain.staff import Access
from mail.replies import kept_of, write_reply
from mail.replies.writing import promised_at

router = console_router()

#: Most mail servers have answered by then, and the page that follows can tell.
_LOOKS = 15

_CHANGED = "This is the letter as it would leave now. Read it, then press once more."


class ReplyForm(StaffForm):
    """What the editor sends.

    Attributes:
        reply_id: Which letter; the same for everybody who has the case open.
        at: The moment of the page.
        seen: Digest of the letter that the page showed.
        step: Show what would leave, or send it.
    """

    reply_id: UUID
    at: datetime
    seen: str = Field(default="", max_length=64)
    step: Literal["show", "send"] = "show"
    situation: Situation
    opening: str = Field(default="", max_length=4000)
    confirmed: bool = False
    customer_name: str = Field(default="", max_length=80)
    next_key: str = Field(default="", max_length=10)
    wrote_at: str = Field(default="", max_length=20)
    timeline: str = Field(default="", max_length=4000)
    what_broke: str = Field(default="", max_length=600)
    what_changed: str = Field(default="", max_length=600)
    invoice_url: str = Field(default="", max_length=MOST_INVOICE_URL)
    invoice_name: str = Field(default="", max_length=MOST_INVOICE_NAME)
    verified: Verified | Literal[""] = ""

    def typed(self) -> Typed:
        """Return what a letter is written from."""
        return Typed(
            situation=self.situation,
            at=self.at if self.at.tzinfo is not None else None,
            opening=self.opening.replace("\r\n", "\n"),
            is_confirmed=self.confirmed,
            customer_name=self.customer_name,
            next_key=self.next_key,
            wrote_at=self.wrote_at,
            timeline=self.timeline,
            what_broke=self.what_broke,
            what_changed=self.what_changed,
            invoice_url=self.invoice_url,
            invoice_name=self.invoice_name,
            verified=self.verified or None,
        )


@router.get("/checkouts/{checkout_id}/reply")
@allows(Access.ACT)
async def show_reply(
    parts: TheParts,
    staff: TheStaff,
    checkout_id: UUID,
    situation: Annotated[Situation | None, Query()] = None,
) -> Response:
    """Show the likeliest letter, or the chosen one, as it would leave."""
    typed = Typed(situation=situation)
    composed = await _compose(parts, staff, checkout_id, typed)
    hours = parts.settings.support_times
    return parts.console.reply(staff, reply_page(_unpressed(composed), typed, hours))


@router.post("/checkouts/{checkout_id}/reply")
@allows(Access.ACT)
async def reply(
    parts: TheParts,
    staff: TheStaff,
    checkout_id: UUID,
    form: Annotated[ReplyForm, Form()],
) -> Response:
    """Show the letter with what was typed, or sign and send it."""
    composed = await _compose(parts, staff, checkout_id, form.typed())
    if form.step == "send":
        earlier = await parts.records.read(lambda c: read_reply(c, form.reply_id))
        if earlier is not None and earlier.checkout_id == checkout_id:
            mine = earlier.author == staff.name
            said = Said.REPLY_TWICE if mine else Said.REPLY_BY_OTHER
            return back_to_checkout(checkout_id, said)
        is_current = form.reply_id == composed.request.reply_id
        may_leave = composed.letter is not None and not composed.remarks
        if is_current and may_leave and form.seen == composed.digest:
            return await _sign(parts, staff, checkout_id, composed)
    hours = parts.settings.support_times
    shown = composed if form.step == "send" else _unpressed(composed)
    page = reply_page(shown, form.typed(), hours)
    if form.step == "send" and composed.letter is not None and not composed.remarks:
        page = replace(page, told=_CHANGED)
    return parts.console.reply(staff, page)


def _unpressed(composed: Composed) -> Composed:
    """Leave out that the opening is not confirmed: nobody has pressed Send yet."""
    found = tuple(one for one in composed.remarks if one.rule != "confirm")
    return replace(composed, remarks=found)


async def _compose(
    parts: Parts, staff: Staff, checkout_id: UUID, typed: Typed
) -> Composed:
    try:
        known = await read_known(parts, checkout_id)
    except (NoResultFound, CheckoutNotFound):
        raise HTTPException(404) from None
    composed = compose(parts, staff, known, typed)
    if composed.request.situation is not Situation.SECOND_LINE_IS_HOLD:
        return composed
    # This letter speaks of what the processor shows this moment.
    shown = await _ask(parts, checkout_id)
    return compose(parts, staff, known, typed, shown)


async def _ask(parts: Parts, checkout_id: UUID) -> Shown | None:
    """Ask for the payment; None where there were several: a person looks at those."""
    _, row, record = await read_case_facts(parts, checkout_id)
    if len(record.payments) > 1:
        return None
    return await ask_processor(parts, payment_of(row, record))


async def _sign(
    parts: Parts, staff: Staff, checkout_id: UUID, composed: Composed
) -> Response:
    """Keep the letter and who signed it, then hand it over and wait a moment."""
    new = _row_of(staff, checkout_id, composed)
    action = staff.did(
        "reply.signed",
        case_id=composed.known.case_id,
        checkout_id=checkout_id,
        reply=str(new.reply_id),
        situation=new.situation.value,
        body_sha256=new.body_hash.hex(),
    )

    async def work(connection: AsyncConnection) -> bool:
        is_new = await write_reply_row(connection, new)
        if is_new:
            await record_action(connection, action)
        return is_new

    try:
        is_new = await parts.records.write(work)
    except OtherReply:
        return back_to_checkout(checkout_id, Said.REPLY_BY_OTHER)
    work_left = hand_over(parts, new.reply_id)
    parts.background.start(work_left, name="hand a letter over")
    if not is_new:
        return back_to_checkout(checkout_id, Said.REPLY_TWICE)
    return back_to_checkout(checkout_id, await _said(parts, new.reply_id))


def _row_of(staff: Staff, checkout_id: UUID, composed: Composed) -> NewReply:
    request = composed.request
    message = write_reply(request)
    body, digest = kept_of(request, message)
    return NewReply(
        reply_id=request.reply_id,
        checkout_id=checkout_id,
        case_id=composed.known.case_id,
        situation=request.situation,
        author=staff.name,
        recipient=request.facts.email,
        subject=message["Subject"],
        opening=request.opening,
        body=body,
        body_hash=digest,
        message=message.as_bytes(),
        message_id=message["Message-ID"],
        promised_at=promised_at(request),
    )


async def _said(parts: Parts, reply_id: UUID) -> Said:
    row = await look_for_a_moment(
        lambda: parts.records.read(lambda c: read_reply(c, reply_id)),
        lambda row: row is not None and (row.refused or row.sent_at) is not None,
        looks=_LOOKS,
    )
    if row is not None and row.refused is not None:
        return Said.REPLY_REFUSED
    is_sent = row is not None and row.sent_at is not None
    return Said.REPLY_SENT if is_sent else Said.REPLY_WAITS
