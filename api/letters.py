"""Hands letters over that a person signed: first the row, then the mail, then a mark.

A crash in between leaves the row, and the starter loop hands it over. Should the mail
server have taken it already, the copy has the same bytes and the same Message-ID, so
mail programs show one.
"""

from __future__ import annotations

import email
from email import policy
from email.message import EmailMessage
from uuid import UUID

from api.parts import Parts
from database.answering import record_reply_refused, record_reply_sent
from database.replies import ReplyRow, take_reply
from mail.sender import MailDeferred, MailRefused
from observability import logs

_log = logs.get_logger("api.letters")


async def hand_over(parts: Parts, reply_id: UUID) -> None:
    """Send a letter that has not left; of several who try, one does."""
    reply = await parts.records.write(lambda c: take_reply(c, reply_id))
    if reply is None:
        return
    try:
        await parts.mailer.send_letter(_mail_of(reply))
    except MailDeferred as error:
        _log.warning(
            "a letter waits for the mail server", reply=str(reply_id), cause=str(error)
        )
    except MailRefused as error:
        refusal = str(error)
        _log.warning("a letter was refused", reply=str(reply_id), cause=refusal)
        await parts.records.write(lambda c: record_reply_refused(c, reply, refusal))
    else:
        await parts.records.write(lambda c: record_reply_sent(c, reply))


def _mail_of(reply: ReplyRow) -> EmailMessage:
    return email.message_from_bytes(reply.message, policy=policy.default)
