"""What customers write to us with the form of their page, kept word for word.

A message opens or joins the checkout's case in its own transaction: what we have in
writing, somebody sees.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid5

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from database.cases import insert_repair, open_case
from database.tables import cases, checkouts, customer_messages
from domain.causes import Cause
from domain.messages import OpenCase, RepairRequest

#: Makes a message's id, and the id of the repair that it asks for.
_MESSAGES = UUID("b1f5a7c2-3f1d-4a0e-9c55-6f0c2f4b9d37")

#: As the table takes them.
MOST_CHARACTERS = 4000

#: A case page names it in the words of its cause.
_STEP = "answer the customer"


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerMessage:
    """A message as it is kept."""

    message_id: UUID
    written_at: datetime
    text: str


def message_id_of(checkout_id: UUID, text: str, at: datetime) -> UUID:
    """Return the id of a message: the same words on the same day are one message."""
    return uuid5(_MESSAGES, f"{checkout_id}:{at:%Y-%m-%d}:{text}")


def repair_of(message_id: UUID, actor: str) -> RepairRequest:
    """Return the repair that a message asks for; the same message, the same repair."""
    return RepairRequest(
        repair_id=uuid5(_MESSAGES, f"repair:{message_id}"),
        actor=actor,
        reason="the customer wrote",
    )


async def _keep(
    connection: AsyncConnection, message_id: UUID, checkout_id: UUID, text: str
) -> bool:
    written = await connection.execute(
        insert(customer_messages)
        .values(message_id=message_id, checkout_id=checkout_id, text=text)
        .on_conflict_do_nothing(constraint="pk_customer_messages")
        .returning(customer_messages.c.message_id)
    )
    return written.one_or_none() is not None


async def _answered_at(
    connection: AsyncConnection, checkout_id: UUID, message_id: UUID
) -> datetime | None:
    """Read when the case was closed after a message; None while it waits."""
    found = await connection.execute(
        select(cases.c.resolved_at)
        .join(customer_messages, customer_messages.c.checkout_id == cases.c.checkout_id)
        .where(
            cases.c.checkout_id == checkout_id,
            customer_messages.c.message_id == message_id,
            cases.c.resolved_at > customer_messages.c.written_at,
        )
    )
    answered_at: datetime | None = found.scalar_one_or_none()
    return answered_at


async def write_message(
    connection: AsyncConnection,
    checkout_id: UUID,
    message_id: UUID,
    text: str,
    *,
    repair: RepairRequest | None,
) -> bool:
    """Keep a message, open or join the case, and write down the repair; once.

    Args:
        connection: In a transaction.
        checkout_id: Whose page it was written on.
        message_id: See `message_id_of`.
        text: 1 to `MOST_CHARACTERS` characters.
        repair: What is asked for besides; None where nothing can be missing.

    Returns:
        Whether this call wrote it.
    """
    if not await _keep(connection, message_id, checkout_id, text):
        answered_at = await _answered_at(connection, checkout_id, message_id)
        if answered_at is None:
            return False
        # The same words after our answer ask again.
        again = uuid5(message_id, answered_at.isoformat())
        if not await _keep(connection, again, checkout_id, text):
            return False
    await open_case(
        connection,
        OpenCase(
            checkout_id=checkout_id,
            step=_STEP,
            cause=Cause.CUSTOMER_WROTE,
            detail="Their words stand in the timeline.",
        ),
    )
    await connection.execute(
        update(checkouts)
        .where(checkouts.c.checkout_id == checkout_id)
        .values(heard_at=func.clock_timestamp())
    )
    if repair is not None:
        await insert_repair(connection, checkout_id, repair)
    return True


async def last_message_at(
    connection: AsyncConnection, checkout_id: UUID
) -> datetime | None:
    """Read when the customer last wrote on a checkout's page; None for never."""
    found = await connection.execute(
        select(func.max(customer_messages.c.written_at)).where(
            customer_messages.c.checkout_id == checkout_id
        )
    )
    written_at: datetime | None = found.scalar_one()
    return written_at


async def list_messages(
    connection: AsyncConnection, checkout_id: UUID
) -> tuple[CustomerMessage, ...]:
    """Read what was written about a checkout, oldest first.

    Uses `ix_customer_messages_checkout_id`.
    """
    found = await connection.execute(
        select(customer_messages)
        .where(customer_messages.c.checkout_id == checkout_id)
        .order_by(customer_messages.c.written_at, customer_messages.c.message_id)
    )
    return tuple(
        CustomerMessage(
            message_id=row.message_id, written_at=row.written_at, text=row.text
        )
        for row in found
    )
