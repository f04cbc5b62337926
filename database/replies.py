"""Replies: letters that a person signed, written down before they leave.

A row is written once, with the whole mail, and then sent as it stands: facts move on
while a mail server is away, and every copy must be the same. The same id again is the
same letter, so pressing twice, or two people pressing, is one row and one mail.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, Row, extract, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from database.tables import checkouts, replies
from domain.identifiers import MailName
from domain.replies import Situation

#: How the kind of a reply's Message-ID begins; see `mail.replies.message_id_of`.
_KIND = "reply-"


class OtherReply(ValueError):
    """This id names another letter already; the editor must make a new one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewReply:
    """A letter to be kept; see the table for what the columns mean.

    Attributes:
        author: The staff account's name.
        body: Its plain text.
        body_hash: SHA-256 of `body` in UTF-8: 32 bytes.
        message: The whole mail, as bytes.
    """

    reply_id: UUID
    situation: Situation
    author: str
    recipient: str
    subject: str
    opening: str
    body: str
    body_hash: bytes
    message: bytes
    message_id: str
    checkout_id: UUID | None = None
    case_id: UUID | None = None
    promised_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyRow(NewReply):
    """A letter as it is kept, and what became of it."""

    created_at: datetime
    tried_at: datetime | None = None
    sent_at: datetime | None = None
    refused: str | None = None


#: A hand-over to a mail server ends within 15 seconds. Later than this, whoever had
#: begun one died, or was put off, and another may try.
_TRY_AGAIN_AFTER = timedelta(minutes=1)

#: A mail server that put a letter off for long is asked less often: after a quarter of
#: the time that it has waited, and at least once an hour.
_LONGEST_REST = timedelta(hours=1)
_SHARE_OF_WAIT = 0.25


async def write_reply_row(connection: AsyncConnection, reply: NewReply) -> bool:
    """Keep a letter, once.

    Repeat: finds the row (`pk_replies`) and changes nothing.

    Returns:
        Whether this call wrote it.

    Raises:
        OtherReply: The id, or the Message-ID, names a letter with other words.
    """
    values = {name: getattr(reply, name) for name in NewReply.__dataclass_fields__}
    written = await connection.execute(
        insert(replies)
        .values(**values)
        .on_conflict_do_nothing()
        # Not by a constraint's name: two at once may meet at either.
        .returning(replies.c.reply_id)
    )
    if written.scalar_one_or_none() is not None:
        return True
    kept = await read_reply(connection, reply.reply_id)
    if kept is None or kept.message != reply.message:
        msg = f"reply {reply.reply_id} is another letter"
        raise OtherReply(msg)
    return False


async def read_reply(connection: AsyncConnection, reply_id: UUID) -> ReplyRow | None:
    """Read one letter; None when there is none (`pk_replies`)."""
    found = await connection.execute(
        select(replies).where(replies.c.reply_id == reply_id)
    )
    row = found.one_or_none()
    return None if row is None else _reply(row)


async def list_replies(
    connection: AsyncConnection, checkout_id: UUID
) -> tuple[ReplyRow, ...]:
    """Read the letters about a checkout, oldest first (`ix_replies_checkout_id`)."""
    found = await connection.execute(
        select(replies)
        .where(replies.c.checkout_id == checkout_id)
        .order_by(replies.c.created_at, replies.c.reply_id)
    )
    return tuple(_reply(row) for row in found)


async def list_waiting_replies(
    connection: AsyncConnection, limit: int = 100
) -> tuple[UUID, ...]:
    """Read which letters were kept, have not left and may be tried now.

    Uses `ix_replies_waiting`.
    """
    found = await connection.execute(
        select(replies.c.reply_id)
        .where(
            replies.c.sent_at.is_(None),
            replies.c.refused.is_(None),
            _may_be_tried(),
        )
        .order_by(replies.c.created_at)
        .limit(limit)
    )
    return tuple(found.scalars())


async def take_reply(connection: AsyncConnection, reply_id: UUID) -> ReplyRow | None:
    """Take a letter that has not left, to hand it over now.

    Of all replicas and requests one gets it, for a minute or more.

    Returns:
        The letter; None when it left, was refused, or is not to be tried now.
    """
    taken = await connection.execute(
        update(replies)
        .where(
            replies.c.reply_id == reply_id,
            replies.c.sent_at.is_(None),
            replies.c.refused.is_(None),
            _may_be_tried(),
        )
        .values(tried_at=func.clock_timestamp())
        .returning(replies)
    )
    row = taken.one_or_none()
    return None if row is None else _reply(row)


def _may_be_tried() -> ColumnElement[bool]:
    waited = extract("epoch", replies.c.tried_at - replies.c.created_at)
    rested = extract("epoch", func.clock_timestamp() - replies.c.tried_at)
    rests = func.greatest(
        _TRY_AGAIN_AFTER.total_seconds(),
        func.least(_LONGEST_REST.total_seconds(), waited * _SHARE_OF_WAIT),
    )
    return or_(replies.c.tried_at.is_(None), rested > rests)


async def mark_reply_sent(connection: AsyncConnection, reply_id: UUID) -> bool:
    """Write that a mail server took a letter; the first time stands.

    Returns:
        Whether this call wrote it.
    """
    marked = await connection.execute(
        update(replies)
        .where(replies.c.reply_id == reply_id, replies.c.sent_at.is_(None))
        .values(sent_at=func.clock_timestamp())
        .returning(replies.c.reply_id)
    )
    return marked.scalar_one_or_none() is not None


async def mark_reply_refused(
    connection: AsyncConnection, reply_id: UUID, refusal: str
) -> bool:
    """Write that a letter did not arrive: refused, or taken and come back.

    Returns:
        Whether this call wrote it; the first refusal stands.
    """
    marked = await connection.execute(
        update(replies)
        .where(replies.c.reply_id == reply_id, replies.c.refused.is_(None))
        .values(refused=refusal)
        .returning(replies.c.reply_id)
    )
    return marked.scalar_one_or_none() is not None


def is_of_reply(name: MailName) -> bool:
    """Say whether a Message-ID of ours names a letter that a person signed."""
    return name.kind.startswith(_KIND)


async def find_replied(
    connection: AsyncConnection, name: MailName
) -> tuple[UUID, UUID] | None:
    """Read which letter a Message-ID of ours names, and its checkout.

    What comes back to a reply, a bounce or an answer, finds its case by this.
    """
    try:
        reply_id = UUID(hex=name.kind.removeprefix(_KIND))
    except ValueError:
        return None
    found = await connection.execute(
        select(replies.c.reply_id, replies.c.checkout_id)
        .join(checkouts, checkouts.c.checkout_id == replies.c.checkout_id)
        .where(
            replies.c.reply_id == reply_id,
            checkouts.c.reference_code == name.reference,
        )
    )
    row = found.one_or_none()
    return None if row is None else (row.reply_id, row.checkout_id)


def _reply(row: Row[tuple[object, ...]]) -> ReplyRow:
    values = dict(row._mapping)
    values["situation"] = Situation(row.situation)
    values["message"] = bytes(row.message)
    values["body_hash"] = bytes(row.body_hash)
    return ReplyRow(**values)
