"""The outbox: messages that we owe, one row each, unique per checkout and kind.

A row is written in the transaction that makes us owe it, and sent afterwards. Whoever
sends first reads the row: `sent` means do nothing. A mail server may take a message and
lose its answer, so a second copy is possible; it carries the same Message-ID.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from database.checkouts import CheckoutRow, read_checkout
from database.tables import emails
from domain.emails import EmailKind
from domain.messages import RecordEmail
from domain.money import Money
from domain.states import EmailState


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierEmail:
    """A mail of the same checkout that left before."""

    kind: EmailKind
    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OwedRefund:
    """The refund that a message is about."""

    amount: Money
    returned_at: datetime
    reference: str | None
    failed: bool = False
    keeps_access: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OwedEmail:
    """One message of the outbox with the facts that it tells."""

    email_id: UUID
    kind: EmailKind
    state: EmailState
    created_at: datetime
    checkout: CheckoutRow
    sequence: int = 1
    promised_at: datetime | None = None
    earlier: tuple[EarlierEmail, ...] = ()
    refund: OwedRefund | None = None


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
        state=EmailState(row.state),
        created_at=row.created_at,
        checkout=await read_checkout(connection, row.checkout_id),
    )


async def record_email(connection: AsyncConnection, record: RecordEmail) -> None:
    """Write that a message left, or that the mail server refused it for good."""
    if record.outcome.is_sent:
        values = {"state": EmailState.SENT, "sent_at": func.clock_timestamp()}
    else:
        refusal = record.outcome.refusal or "refused"
        values = {"state": EmailState.FAILED, "refusal": refusal}
    await connection.execute(
        update(emails)
        .where(emails.c.email_id == record.email_id, emails.c.state != EmailState.SENT)
        .values(**values)
    )
