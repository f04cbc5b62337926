"""The outbox: messages that we owe, one row each, unique per checkout and kind.

A row is written in the transaction that makes us owe it, and sent afterwards. Whoever
sends first reads the row: `sent` means do nothing. A mail server may take a message and
lose its answer, so a second copy is possible; it carries the same Message-ID.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from database.cases import close_case_of_refused_mail
from database.checkouts import CheckoutRow, read_checkout
from database.refunds import list_told_refunds
from database.tables import checkouts, emails, promises, purchase_changes
from domain.changes import ChangeKind
from domain.emails import EmailKind
from domain.messages import RecordEmail
from domain.money import Money
from domain.states import EmailState
from domain.words import masked


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierEmail:
    """A mail of the same checkout that was owed before: a new one answers it."""

    kind: EmailKind
    sequence: int
    written_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OwedRefund:
    """The refund that a mail tells of.

    Attributes:
        amount: What goes back.
        returned_at: When the processor took the refund.
        reference: What the customer's bank knows it by, once it is known.
        keeps_access: The customer keeps what was bought.
        is_failed: The bank gave it back to us.
    """

    amount: Money
    returned_at: datetime
    reference: str | None = None
    keeps_access: bool = False
    is_failed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OwedEmail:
    """One message of the outbox with the facts that it tells.

    Attributes:
        sequence: Its turn of this kind.
        promised_at: The time that it names for the next word.
        asked_at: When the processor had last been asked when this was owed.
        refusal: Why it was given up; it does not leave again by itself.
        earlier: What was sent before and may have been read, oldest first.
        refund: For mails about a refund.
        recipient: Where it goes, if not to the checkout's address.
        moved_to: For a notice of another address: that address, masked.
    """

    email_id: UUID
    kind: EmailKind
    state: EmailState
    created_at: datetime
    checkout: CheckoutRow
    sequence: int = 1
    promised_at: datetime | None = None
    asked_at: datetime | None = None
    refusal: str | None = None
    earlier: tuple[EarlierEmail, ...] = ()
    refund: OwedRefund | None = None
    recipient: str | None = field(default=None, repr=False)
    moved_to: str | None = None


async def read_owed_email(connection: AsyncConnection, email_id: UUID) -> OwedEmail:
    """Read a message and what it is about.

    Raises:
        sqlalchemy.exc.NoResultFound: There is no such message.
    """
    found = await connection.execute(
        select(emails).where(emails.c.email_id == email_id)
    )
    row = found.one()
    return OwedEmail(
        email_id=row.email_id,
        kind=EmailKind(row.kind),
        sequence=row.sequence,
        state=EmailState(row.state),
        created_at=row.created_at,
        promised_at=row.promised_at,
        asked_at=row.asked_at,
        refusal=row.refusal,
        refund=await _read_refund(connection, row.checkout_id, row.kind, row.sequence),
        earlier=await _read_earlier(connection, row.checkout_id, email_id),
        recipient=row.recipient,
        moved_to=await _read_moved(connection, row.checkout_id, row.kind, row.sequence),
        checkout=await read_checkout(connection, row.checkout_id),
    )


#: Mails about a refund count as the refunds do.
_ABOUT_REFUNDS = {
    EmailKind.CHARGED_TWICE,
    EmailKind.REFUNDED,
    EmailKind.REFUND_FAILED,
    EmailKind.REFUND_ARRIVED,
}


async def _read_refund(
    connection: AsyncConnection, checkout_id: UUID, kind: str, sequence: int
) -> OwedRefund | None:
    if kind not in _ABOUT_REFUNDS:
        return None
    for told in await list_told_refunds(connection, checkout_id):
        at = told.accepted_at or told.failed_at
        if told.sequence == sequence and at is not None:
            return OwedRefund(
                amount=told.amount,
                returned_at=at,
                reference=told.reference,
                is_failed=told.failed_at is not None,
                keeps_access=told.keeps_access,
            )
    return None


async def _read_moved(
    connection: AsyncConnection, checkout_id: UUID, kind: str, sequence: int
) -> str | None:
    """Read where mail goes since the change that a notice tells of.

    Not from the checkout, whose address may have been corrected once more: every copy
    of a mail must be the same.
    """
    if kind != EmailKind.ADDRESS_CHANGED:
        return None
    found = await connection.execute(
        select(purchase_changes.c.new_email)
        .where(
            purchase_changes.c.checkout_id == checkout_id,
            purchase_changes.c.kind == ChangeKind.ADDRESS,
        )
        .order_by(purchase_changes.c.sequence)
        .offset(sequence - 1)
        .limit(1)
    )
    return masked(found.scalar_one())


async def _read_earlier(
    connection: AsyncConnection, checkout_id: UUID, email_id: UUID
) -> tuple[EarlierEmail, ...]:
    """Read the mails that left before this one, in the order in which they did.

    Only what was sent: each copy of a mail must be the same, and what is sent stays so.
    """
    found = await connection.execute(
        select(emails.c.kind, emails.c.sequence, emails.c.created_at)
        .where(
            emails.c.checkout_id == checkout_id,
            emails.c.email_id != email_id,
            emails.c.state == EmailState.SENT,
        )
        .order_by(emails.c.sent_at)
    )
    return tuple(
        EarlierEmail(
            kind=EmailKind(row.kind), sequence=row.sequence, written_at=row.created_at
        )
        for row in found
    )


async def record_email(connection: AsyncConnection, record: RecordEmail) -> None:
    """Write what became of a message; one that left keeps every earlier promise.

    But not a notice to an address that is not the customer's any more: whoever was
    promised a word has not heard it. Nor does it keep the word of a person, who signed
    that they write themselves.
    """
    outcome = record.outcome
    if outcome.is_held:
        return
    values: dict[str, object]
    if outcome.is_sent:
        values = {"state": EmailState.SENT, "sent_at": func.clock_timestamp()}
    elif outcome.is_needless:
        values = {"state": EmailState.NEEDLESS}
    else:
        values = {"state": EmailState.FAILED, "refusal": outcome.refusal or "refused"}
    written = await connection.execute(
        update(emails)
        .where(emails.c.email_id == record.email_id, emails.c.state != EmailState.SENT)
        .values(**values)
        .returning(
            emails.c.checkout_id,
            emails.c.kind,
            emails.c.sequence,
            emails.c.recipient,
        )
    )
    row = written.one_or_none()
    if row is None or row.recipient is not None:
        return
    if outcome.is_needless:
        # It never left, so neither did its promise.
        kept = promises.c.email_id == record.email_id
        by = "needless"
    elif outcome.is_sent:
        kept = (
            (promises.c.checkout_id == row.checkout_id)
            & (promises.c.email_id != record.email_id)
            & promises.c.reply_id.is_(None)
        )
        by = f"{row.kind}:{row.sequence}"
    else:
        return
    await connection.execute(
        update(promises)
        .where(kept, promises.c.kept_at.is_(None))
        .values(kept_at=func.clock_timestamp(), kept_by=by)
    )
    await close_case_of_refused_mail(connection, row.checkout_id)


async def owe_again(
    connection: AsyncConnection, checkout_id: UUID
) -> tuple[EmailKind, ...]:
    """Have what was refused, or came back, sent again: an operator's word.

    Nothing else takes a mail out of `failed`: a mail server that said no is asked again
    by a person only, who knows that the address is mended. The sweep finds the row if
    nobody tells the workflow. A notice to an address that was given up is no such mail.

    Returns:
        What will be sent, as far as it is still true then.
    """
    owed = await connection.execute(
        update(emails)
        .where(
            emails.c.checkout_id == checkout_id,
            emails.c.state == EmailState.FAILED,
            emails.c.recipient.is_(None),
        )
        .values(state=EmailState.PENDING, refusal=None)
        .returning(emails.c.kind)
    )
    kinds = tuple(sorted(EmailKind(kind) for kind in owed.scalars()))
    if kinds:
        await connection.execute(
            update(checkouts)
            .where(checkouts.c.checkout_id == checkout_id)
            .values(next_message_at=func.clock_timestamp())
        )
    return kinds


async def record_bounce(
    connection: AsyncConnection, email_id: UUID, refusal: str
) -> bool:
    """Write that a message which had left never arrived, even if it was `sent`.

    Only what left can come back. A row that is still `pending` stays so: a forged
    bounce must not keep a mail from leaving.

    Returns:
        Whether the customer is the one whom it did not reach; False for a notice to
        an address that is not theirs any more.
    """
    found = await connection.execute(
        select(emails.c.recipient).where(emails.c.email_id == email_id)
    )
    await connection.execute(
        update(emails)
        .where(
            emails.c.email_id == email_id,
            emails.c.state.in_((EmailState.SENT, EmailState.FAILED)),
        )
        .values(state=EmailState.FAILED, refusal=refusal)
    )
    return found.scalar_one() is None
