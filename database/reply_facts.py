"""What a reply may say of a checkout, read from its rows in one transaction.

Only facts that rows hold. What a person adds, such as what broke, who writes, or a
promise that a held case keeps, is put beside them with `dataclasses.replace`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never
from uuid import UUID

from sqlalchemy import func, literal, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from database.changes import Change, list_changes
from database.checkouts import CheckoutRow, read_checkout
from database.refunds import list_told_refunds
from database.tables import checkouts, disputes, emails, promises, replies
from domain.changes import ChangeKind
from domain.emails import EmailKind
from domain.identifiers import message_id
from domain.links import web_address
from domain.money import Money
from domain.replies import (
    AddedDays,
    OpenDispute,
    Purchase,
    ReplyFacts,
    ReturnedMoney,
)
from domain.states import AccessState, EmailState
from domain.words import masked


@dataclass(frozen=True, slots=True, kw_only=True)
class _Receipt:
    """When the receipt left, and whether it came back."""

    left_at: datetime | None = None
    came_back: bool = False


async def read_reply_facts(
    connection: AsyncConnection,
    checkout_id: UUID,
    *,
    page_of: Callable[[UUID, str], str],
    application_url: str,
) -> ReplyFacts:
    """Read what is known of a checkout and may be told to its customer.

    Args:
        connection: One transaction, so that the facts are of one moment.
        checkout_id: Which checkout.
        page_of: Makes a page's address of a checkout's id and its key's id.
        application_url: Where a customer enters whose row names no way in.

    Raises:
        sqlalchemy.exc.NoResultFound: There is no such checkout.
    """
    row = await read_checkout(connection, checkout_id)
    receipt = await _read_receipt(connection, checkout_id)
    facts = ReplyFacts(
        now=row.now,
        email=row.email,
        purchase=_purchase(
            row,
            receipt,
            page_url=page_of(row.checkout_id, row.token_key_id),
            application_url=application_url,
        ),
        next_message_at=await _read_promise(connection, checkout_id),
        refunds=await _read_refunds(connection, checkout_id),
        dispute=await _read_dispute(connection, checkout_id),
    )
    return await _with_changes(connection, row, facts)


async def _with_changes(
    connection: AsyncConnection, row: CheckoutRow, facts: ReplyFacts
) -> ReplyFacts:
    """Add what a person changed: the newest days, and the newest address."""
    for change in await list_changes(connection, row.checkout_id):
        match change.kind:
            case ChangeKind.ADDRESS:
                facts = replace(
                    facts,
                    wrong_address=masked(change.old_email),
                    address_corrected_at=change.created_at,
                    verified=change.verified,
                )
            case ChangeKind.DAYS:
                facts = replace(facts, added=_added(change, row) or facts.added)
            case _:
                assert_never(change.kind)
    return facts


def _added(change: Change, row: CheckoutRow) -> AddedDays | None:
    if change.days is None or row.access_until is None:
        return None
    return AddedDays(
        days=change.days, until=row.access_until, added_at=change.created_at
    )


async def list_thread(
    connection: AsyncConnection, checkout_id: UUID, domain: str
) -> tuple[str, ...]:
    """Read the Message-IDs of all that left about a checkout, oldest first.

    Args:
        connection: Any.
        checkout_id: Which checkout.
        domain: Where our Message-IDs end.
    """
    by_us = (
        select(
            checkouts.c.reference_code,
            emails.c.kind,
            emails.c.sequence,
            emails.c.sent_at,
            literal(None).label("message_id"),
        )
        .join(checkouts, checkouts.c.checkout_id == emails.c.checkout_id)
        .where(
            emails.c.checkout_id == checkout_id,
            emails.c.state == EmailState.SENT,
        )
    )
    by_people = select(
        literal("").label("reference_code"),
        literal("").label("kind"),
        literal(1).label("sequence"),
        replies.c.sent_at,
        replies.c.message_id,
    ).where(replies.c.checkout_id == checkout_id, replies.c.sent_at.is_not(None))
    both = union_all(by_us, by_people).subquery()
    found = await connection.execute(select(both).order_by(both.c.sent_at))
    return tuple(
        row.message_id or message_id(row.reference_code, row.kind, domain, row.sequence)
        for row in found
    )


def _purchase(
    row: CheckoutRow,
    receipt: _Receipt,
    *,
    page_url: str,
    application_url: str,
) -> Purchase:
    is_open = row.access_state is AccessState.ACTIVE
    way_in = web_address(row.access_url) or application_url
    return Purchase(
        reference_code=row.reference_code,
        email=row.email,
        plan_name=row.plan_name,
        price=row.price,
        page_url=page_url,
        money=row.money_state,
        access=row.access_state,
        pay_requested_at=row.pay_requested_at,
        reason=row.not_charged_reason,
        decline=row.decline_class,
        proven_at=row.proven_at,
        asked_at=row.asked_at,
        charged_at=row.charged_at,
        card_brand=row.card_brand,
        card_last4=row.card_last4,
        was_interrupted=row.interrupted_at is not None,
        access_at=row.access_granted_at,
        access_until=row.access_until,
        access_url=way_in if is_open else None,
        receipt_left_at=receipt.left_at,
        receipt_came_back=receipt.came_back,
    )


async def _read_receipt(connection: AsyncConnection, checkout_id: UUID) -> _Receipt:
    found = await connection.execute(
        select(emails.c.sent_at, emails.c.state).where(
            emails.c.checkout_id == checkout_id,
            emails.c.kind == EmailKind.RECEIPT,
            emails.c.sent_at.is_not(None),
        )
    )
    row = found.one_or_none()
    if row is None:
        return _Receipt()
    return _Receipt(left_at=row.sent_at, came_back=row.state == EmailState.FAILED)


async def _read_promise(
    connection: AsyncConnection, checkout_id: UUID
) -> datetime | None:
    """Read the next time that a mail of ours named and that is still to be kept."""
    found = await connection.execute(
        select(func.min(promises.c.due_at)).where(
            promises.c.checkout_id == checkout_id,
            promises.c.kept_at.is_(None),
            promises.c.due_at > func.now(),
        )
    )
    due_at: datetime | None = found.scalar_one()
    return due_at


async def _read_refunds(
    connection: AsyncConnection, checkout_id: UUID
) -> tuple[ReturnedMoney, ...]:
    """Read the refunds that the processor took and no bank sent back."""
    returned = [
        ReturnedMoney(
            amount=told.amount,
            returned_at=told.accepted_at,
            reference=told.reference,
            is_second_charge=told.is_second_charge,
            ends_access=not told.keeps_access,
        )
        for told in await list_told_refunds(connection, checkout_id)
        if told.accepted_at is not None and told.failed_at is None
    ]
    return tuple(sorted(returned, key=lambda one: one.returned_at))


async def _read_dispute(
    connection: AsyncConnection, checkout_id: UUID
) -> OpenDispute | None:
    """Read the newest dispute that is not decided."""
    found = await connection.execute(
        select(disputes)
        .where(disputes.c.checkout_id == checkout_id, disputes.c.closed_at.is_(None))
        .order_by(disputes.c.opened_at.desc())
        .limit(1)
    )
    row = found.one_or_none()
    if row is None:
        return None
    return OpenDispute(
        amount=Money(amount_minor=row.amount_minor, currency=row.currency),
        opened_at=row.opened_at,
    )
