"""Email activities: handing owed messages to the mail server.

At least once: a mail server may take a message and lose its answer (RFC 1047), so a
second copy can follow. It carries the same Message-ID, which mail programs merge.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from email.message import EmailMessage
from uuid import UUID

from temporalio import activity

from activities.failures import sorted_failures
from activities.heartbeat import heartbeating
from database.emails import OwedEmail
from domain.emails import EmailKind, is_about_attempt, is_still_true
from domain.messages import EmailOutcome, SendEmail
from domain.states import EmailState
from mail.sender import Mailer, MailRefused
from observability import metrics

ReadOwedEmail = Callable[[UUID], Awaitable[OwedEmail]]
WriteMessage = Callable[[OwedEmail], EmailMessage]


class EmailActivities:
    """What a checkout sends.

    Args:
        mailer: The mail server.
        read_owed_email: Reads a row of the outbox, in a transaction that is closed
            before the mail server is spoken to.
        write_message: Makes the mail out of the row; pure.
    """

    def __init__(
        self,
        mailer: Mailer,
        read_owed_email: ReadOwedEmail,
        write_message: WriteMessage,
    ) -> None:
        self._mailer = mailer
        self._read_owed_email = read_owed_email
        self._write_message = write_message

    @activity.defn
    async def send_email(self, send: SendEmail) -> EmailOutcome:
        """Send one owed message, unless its row says that it left.

        What it says must still be true, and no person may have held it: otherwise
        nothing leaves, and the outcome says so.

        Repeat: sends nothing once the row says `sent`, or `failed`; before that, a
            copy with the same Message-ID.
        Survives: a crash between the mail server's yes and our row leads to a copy.

        Raises:
            ApplicationError: `MailDeferred` is repeated; a final no of the mail server
                is not an error but an outcome.
        """
        with sorted_failures():
            owed = await self._read_owed_email(send.email_id)
            if owed.state is EmailState.SENT:
                return EmailOutcome(is_sent=True)
            is_no_loss = owed.recipient is not None
            if owed.state is EmailState.FAILED:
                return EmailOutcome(
                    is_sent=False, refusal=owed.refusal, is_no_loss=is_no_loss
                )
            if owed.checkout.mail_held_at is not None:
                _count(owed.kind, "held")
                return EmailOutcome(is_sent=False, is_held=True)
            if owed.state is EmailState.NEEDLESS or not _is_true(owed):
                _count(owed.kind, "needless")
                return EmailOutcome(is_sent=False, is_needless=True)
            try:
                async with heartbeating():
                    await self._mailer.send(self._write_message(owed))
            except MailRefused as refusal:
                _count(owed.kind, "refused")
                return EmailOutcome(
                    is_sent=False, refusal=str(refusal), is_no_loss=is_no_loss
                )
            _count(owed.kind, "sent")
            return EmailOutcome(is_sent=True)


#: They say that the money goes back, or went.
_RETURNED = {EmailKind.CHARGED_TWICE, EmailKind.REFUNDED, EmailKind.REFUND_ARRIVED}


def _is_true(owed: OwedEmail) -> bool:
    """Compare with the row as it is now: the truth may have moved since the plan.

    A time that has passed while the mail waited must not be promised any more either.
    """
    checkout = owed.checkout
    if is_about_attempt(owed.kind) and owed.sequence != max(1, checkout.buyer_attempt):
        return False
    if owed.refund is not None and owed.refund.is_failed and owed.kind in _RETURNED:
        return False
    if owed.promised_at is not None and owed.promised_at <= checkout.now:
        return False
    return is_still_true(owed.kind, checkout.money_state, checkout.access_state)


def _count(kind: str, outcome: str) -> None:
    metrics.count(activity.metric_meter(), metrics.MAILS, kind=kind, outcome=outcome)
