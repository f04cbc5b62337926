"""What customers write to us on their checkout's page: kept, acted on, acknowledged.

The words open or join the case. Whatever they are about, what can be put right by
looking afresh is put right at once, before a person has read them.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from api import notices
from api.limits import caller_of
from api.pages import view_of
from api.parts import Parts, TheParts
from api.shop import ThePath, find_checkout
from api.telling import tell_repair
from database.checkouts import CheckoutRow
from database.customer_messages import (
    MOST_CHARACTERS,
    last_message_at,
    message_id_of,
    repair_of,
    write_message,
)
from domain.messages import CheckoutInput
from domain.words import at_in_words
from observability import logs

router = APIRouter(include_in_schema=False)

#: What the timeline of a case calls who asked.
_ACTOR = "holdfast-api"

_log = logs.get_logger("api.writing")


class MessageForm(BaseModel):
    """What the page's form sends."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(max_length=2 * MOST_CHARACTERS)


@router.post("/c/{token}/message")
async def write(
    request: Request,
    parts: TheParts,
    token: str,
    path: ThePath,
    form: Annotated[MessageForm, Form()],
) -> Response:
    """Keep a message, look afresh, and lead to what is true meanwhile."""
    parts.limits.messages.enter(caller_of(request))
    text = _clean(form.text)
    if not 1 <= len(text) <= MOST_CHARACTERS:
        return parts.pages.notice(notices.refused_form(path))
    row = await find_checkout(parts, token)
    parts.limits.messages_of_one.enter(str(row.checkout_id))
    await _keep(parts, row, text)
    return RedirectResponse(f"{path}/message", status_code=303)


@router.get("/c/{token}/message")
async def acknowledge(parts: TheParts, token: str, path: ThePath) -> Response:
    """Say that it came in, what is true, and when somebody is there.

    After a send that failed a browser asks for this address too: without a message the
    checkout's own page is all that is true.
    """
    row = await find_checkout(parts, token)
    written_at = await parts.records.read(
        lambda connection: last_message_at(connection, row.checkout_id)
    )
    if written_at is None:
        return RedirectResponse(path, status_code=303)
    when = parts.settings.support_times.answer_in_words(parts.clock())
    return parts.pages.notice(
        notices.message_kept(
            view_of(row), path, when, wrote=at_in_words(written_at, now=row.now)
        )
    )


async def _keep(parts: Parts, row: CheckoutRow, text: str) -> None:
    message_id = message_id_of(row.checkout_id, text, parts.clock())
    # Before the first press there is nothing that a repair could find.
    repair = repair_of(message_id, _ACTOR) if row.buyer_attempt else None
    is_new = await parts.records.write(
        lambda connection: write_message(
            connection, row.checkout_id, message_id, text, repair=repair
        )
    )
    if not is_new:
        return
    _log.info("a customer wrote", checkout_id=str(row.checkout_id))
    if repair is None:
        return
    checkout = CheckoutInput(
        checkout_id=row.checkout_id, reference_code=row.reference_code
    )
    if not await tell_repair(parts, checkout, repair):
        _log.warning("repair not passed on", checkout_id=str(row.checkout_id))


def _clean(text: str) -> str:
    """Return the words without what no person types and no database keeps."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    kept = ("".join(sign for sign in line if sign.isprintable()) for line in lines)
    return "\n".join(kept).strip()
