"""What follows when a letter that a person signed has left, or was refused.

Each in one transaction with the letter's own row.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from database.cases import calm_answered_case, open_case
from database.console import hold_case, open_case_by_hand
from database.replies import ReplyRow, mark_reply_refused, mark_reply_sent
from database.tables import checkouts, promises
from domain.causes import Cause
from domain.messages import OpenCase

#: As the workflow's own cases about mails do.
_STEP = "send a mail"


async def record_reply_sent(connection: AsyncConnection, reply: ReplyRow) -> bool:
    """Write that a letter left: it keeps what was promised, and answers the customer.

    A letter that names a time by which we write again is a promise, of which a person
    is told when nobody keeps it. It holds the case until then, so that it comes back to
    somebody before that.

    Returns:
        Whether this call wrote it.
    """
    if not await mark_reply_sent(connection, reply.reply_id):
        return False
    checkout_id = reply.checkout_id
    if checkout_id is None:
        return True
    await _keep_promises(connection, checkout_id)
    if reply.promised_at is not None:
        await _promise(connection, reply.reply_id, checkout_id, reply.promised_at)
        case_id = await open_case_by_hand(
            connection, checkout_id, owner=reply.author, detail="We write once more."
        )
        reason = "our letter says that we write again by then"
        await hold_case(connection, case_id, reply.promised_at, reason)
    if not await _wrote_since(connection, checkout_id, reply):
        await calm_answered_case(
            connection, checkout_id, stays=reply.promised_at is not None
        )
    return True


async def record_reply_refused(
    connection: AsyncConnection, reply: ReplyRow, refusal: str
) -> bool:
    """Write that a mail server refused a letter for good; its case opens again.

    Returns:
        Whether this call wrote it.
    """
    if not await mark_reply_refused(connection, reply.reply_id, refusal):
        return False
    if reply.checkout_id is not None:
        await open_case(
            connection,
            OpenCase(
                checkout_id=reply.checkout_id,
                step=_STEP,
                cause=Cause.LETTER_REFUSED,
                detail=f"The letter of {reply.author} was refused ({refusal}).",
            ),
        )
    return True


async def _keep_promises(connection: AsyncConnection, checkout_id: UUID) -> None:
    await connection.execute(
        update(promises)
        .where(promises.c.checkout_id == checkout_id, promises.c.kept_at.is_(None))
        .values(kept_at=func.clock_timestamp(), kept_by="reply")
    )


async def _promise(
    connection: AsyncConnection, reply_id: UUID, checkout_id: UUID, due_at: datetime
) -> None:
    """Write by when a person writes, and have the sweep look whether they did."""
    await connection.execute(
        insert(promises).values(
            promise_id=reply_id,
            reply_id=reply_id,
            checkout_id=checkout_id,
            due_at=due_at,
            by_person=True,
        )
    )
    await connection.execute(
        update(checkouts)
        .where(checkouts.c.checkout_id == checkout_id)
        .values(next_message_at=func.least(checkouts.c.next_message_at, due_at))
    )


async def _wrote_since(
    connection: AsyncConnection, checkout_id: UUID, reply: ReplyRow
) -> bool:
    """Whether the customer was heard after the letter was written."""
    found = await connection.execute(
        select(checkouts.c.heard_at).where(checkouts.c.checkout_id == checkout_id)
    )
    heard_at = found.scalar_one()
    return heard_at is not None and heard_at > reply.created_at
