"""Mail that came back, applied in one transaction: bounces and replies.

Of a mail the digest of its Message-ID, its kind and its checkout are kept, in the
inbox, so that a second copy changes nothing. Its text is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from database.cases import open_case
from database.emails import record_bounce
from database.inbox import InboxEvent, receive_event
from database.replies import find_replied, is_of_reply, mark_reply_refused
from database.tables import checkouts, emails
from domain.causes import Cause
from domain.emails import EmailKind
from domain.identifiers import MailName
from domain.inbound import InboundKind, InboundMail
from domain.messages import OpenCase

#: What a case of ours names as the step, as the workflow's own cases about mails do.
_STEP = "send a mail"

#: Goes to the address that was given up, so its answer is not the customer's.
_NOTICE = EmailKind.ADDRESS_CHANGED.value


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedMail:
    """What became of a mail.

    Attributes:
        checkout_id: Whose it is.
        is_new: This delivery was applied; False for a second copy.
    """

    checkout_id: UUID
    is_new: bool


async def apply_mail(
    connection: AsyncConnection, mail: InboundMail
) -> AppliedMail | None:
    """Apply a mail that names one of ours; None when we never wrote such a one.

    Rows are locked in the order of `open_case`: the case, then the checkout.
    """
    found = await _find_named(connection, mail.about)
    if found is None:
        return None
    email_id, checkout_id = found
    received = await receive_event(
        connection,
        InboxEvent(
            # The same words about another mail are another piece of news.
            event_id=f"mail:{mail.digest}:{email_id}",
            kind=f"mail.{mail.kind}",
            payment_intent_id=None,
            checkout_id=checkout_id,
        ),
        needs_hint=False,
    )
    if received.is_new:
        await _act_on(connection, mail, email_id, checkout_id)
    return AppliedMail(checkout_id=checkout_id, is_new=received.is_new)


async def _find_named(
    connection: AsyncConnection, name: MailName
) -> tuple[UUID, UUID] | None:
    """Read the mail of ours that a name stands for, and its checkout.

    A letter that a person signed is in `replies`, every other in the outbox.
    """
    if is_of_reply(name):
        return await find_replied(connection, name)
    found = await connection.execute(
        select(emails.c.email_id, emails.c.checkout_id)
        .join(checkouts, checkouts.c.checkout_id == emails.c.checkout_id)
        .where(
            checkouts.c.reference_code == name.reference,
            emails.c.kind == name.kind,
            emails.c.sequence == name.sequence,
        )
    )
    row = found.one_or_none()
    return None if row is None else (row.email_id, row.checkout_id)


async def _act_on(
    connection: AsyncConnection, mail: InboundMail, email_id: UUID, checkout_id: UUID
) -> None:
    name = f"{mail.about.kind}:{mail.about.sequence}"
    if mail.kind is InboundKind.BOUNCED:
        refusal = mail.status or "bounced"
        if is_of_reply(mail.about):
            await mark_reply_refused(connection, email_id, refusal)
        elif not await record_bounce(connection, email_id, refusal):
            return
        cause, detail = Cause.MAIL_BOUNCED, f"{name} came back ({refusal})."
    elif mail.kind is InboundKind.REPLY and mail.about.kind == _NOTICE:
        cause = Cause.ADDRESS_DISPUTED
        detail = (
            f"An answer to {name} is in the mailbox, from the address that was given "
            "up. Letters from here go to the new one: answer in the mailbox."
        )
    elif mail.kind is InboundKind.REPLY:
        cause, detail = Cause.CUSTOMER_WROTE, f"An answer to {name} is in the mailbox."
    else:
        return
    await open_case(
        connection,
        OpenCase(checkout_id=checkout_id, step=_STEP, cause=cause, detail=detail),
    )
    if cause == Cause.CUSTOMER_WROTE:
        await connection.execute(
            update(checkouts)
            .where(checkouts.c.checkout_id == checkout_id)
            .values(heard_at=func.clock_timestamp())
        )
