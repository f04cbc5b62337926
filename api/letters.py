"""Hands letters over that a person signed: first the row, then the mail, then a mark.

A crash in between leaves the row, and the starter loop hands it over. Should the mail
server have taken it already, the copy has the same bytes and the same Message-ID, so
mail programs show one.
"""

from __future__ import annotations

import email
from datetime import timedelta
from email import policy
from email.message import EmailMessage
from uuid import UUID

from api.parts import Parts
from database.answering import record_reply_refused, record_reply_sent
from database.replies import ReplyRow, take_reply
from domain.deadlines import GIVE_MAIL_UP_AFTER
from mail.sender import MailDeferred, MailRefused
from observability import logs

_log = logs.get_logger("api.letters")


async def hand_over(parts: Parts, reply_id: UUID) -> None:
    """Send a letter that has not left; of several who try, one does."""
    reply = await parts.records.write(lambda c: take_reply(c, reply_id))
    if reply is None:
        return
    if _has_outlived_its_promise(reply):
        await _give_up(parts, reply, "the time that it names passed before it left")
        return
    try:
        await parts.mailer.send_letter(_mail_of(reply))
    except MailDeferred as error:
        if _waited(reply) >= GIVE_MAIL_UP_AFTER:
            await _give_up(parts, reply, f"put off for five days, at last with {error}")
        else:
            _log.warning(
                "a letter waits for the mail server",
                reply=str(reply_id),
                cause=str(error),
            )
    except MailRefused as error:
        await _give_up(parts, reply, str(error))
    else:
        await parts.records.write(lambda c: record_reply_sent(c, reply))


def _has_outlived_its_promise(reply: ReplyRow) -> bool:
    """Whether it would say that we write by a time that is over."""
    if reply.promised_at is None or reply.tried_at is None:
        return False
    return reply.promised_at <= reply.tried_at


def _waited(reply: ReplyRow) -> timedelta:
    return (reply.tried_at or reply.created_at) - reply.created_at


async def _give_up(parts: Parts, reply: ReplyRow, refusal: str) -> None:
    _log.warning("a letter was refused", reply=str(reply.reply_id), cause=refusal)
    await parts.records.write(lambda c: record_reply_refused(c, reply, refusal))


def _mail_of(reply: ReplyRow) -> EmailMessage:
    return email.message_from_bytes(reply.message, policy=policy.default)
