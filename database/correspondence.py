"""What we owe to say: the next mails of a checkout and the promises that they make.

`plan_correspondence` is one transaction: it reads what stands and what was said, writes
every mail that is due into the outbox together with its promise, and notes when the
next one is. Asked twice it owes the same mails.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from database.checkouts import CheckoutNotFound
from database.orders import RECEIPT
from database.pauses import PAUSED_AT, list_waiters_to_tell, mark_told
from database.refunds import list_told_refunds
from database.tables import (
    account_sessions,
    checkouts,
    emails,
    entitlements,
    orders,
    pause_waiters,
    payment_attempts,
    promises,
    purchase_changes,
    shop_pauses,
    subscriptions,
)
from domain.cadence import (
    PROMISE_GRACE,
    RefundStanding,
    Said,
    Standing,
    Word,
    next_word,
)
from domain.changes import ChangeKind
from domain.emails import EmailKind
from domain.identifiers import derived_id
from domain.messages import Correspondence, PlanCorrespondence
from domain.states import (
    AccessState,
    EmailState,
    MoneyState,
    NotChargedReason,
    RefundPurpose,
)
from domain.working_hours import WorkingHours

#: Every turn of every kind once is far less; a loop that owes more is a bug.
_MOST_AT_ONCE = 20


async def plan_correspondence(
    connection: AsyncConnection, plan: PlanCorrespondence, hours: WorkingHours
) -> Correspondence:
    """Owe every mail that is due by now, and say when the next one is.

    Args:
        connection: In a transaction; the checkout's row is locked in it.
        plan: Whose mails, and the moment by the workflow's clock.
        hours: When people are there.

    Raises:
        CheckoutNotFound: There is no such checkout.
    """
    if await _is_held(connection, plan.checkout_id):
        # Whoever lets the mail go writes that it is due. What was promised before is
        # watched all the same: a hold is no word to the customer.
        await _note_next(connection, plan.checkout_id, None)
        is_overdue, overdue_at = await _overdue(connection, plan)
        return Correspondence(
            email_ids=(), next_at=overdue_at, is_promise_overdue=is_overdue
        )
    due = None
    for _ in range(_MOST_AT_ONCE):
        standing = await _read_standing(connection, plan.checkout_id, hours)
        due = next_word(standing, plan.now)
        if due is None or not due.is_due(plan.now):
            break
        await _owe(connection, plan.checkout_id, due, plan.now)
    is_overdue, overdue_at = await _overdue(connection, plan)
    next_at = due.due_at if due else None
    told_at = None if overdue_at is None else overdue_at - PROMISE_GRACE
    await _note_next(connection, plan.checkout_id, _earlier(next_at, told_at))
    return Correspondence(
        email_ids=await _waiting_emails(connection, plan.checkout_id),
        next_at=_earlier(next_at, overdue_at),
        is_promise_overdue=is_overdue,
    )


async def _overdue(
    connection: AsyncConnection, plan: PlanCorrespondence
) -> tuple[bool, datetime | None]:
    """Say whether a promise was broken, and else when the next one would be.

    Of a broken one a person is told; nothing asks for it again.
    """
    promised_at = await _open_promise(connection, plan.checkout_id)
    if promised_at is None:
        return False, None
    overdue_at = promised_at + PROMISE_GRACE
    is_overdue = overdue_at <= plan.now
    return is_overdue, None if is_overdue else overdue_at


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    return min((at for at in (one, other) if at is not None), default=None)


async def _is_held(connection: AsyncConnection, checkout_id: UUID) -> bool:
    found = await connection.execute(
        select(checkouts.c.mail_held_at).where(checkouts.c.checkout_id == checkout_id)
    )
    return found.scalar_one_or_none() is not None


async def owe_open_again(connection: AsyncConnection, limit: int) -> int:
    """Have buyers hear that payments are taken again; returns how many.

    Their rows say that a word is due now, so the sweep starts a run that says it.
    """
    waiters = await list_waiters_to_tell(connection, limit)
    for waiter in waiters:
        await connection.execute(
            update(checkouts)
            .where(checkouts.c.checkout_id == waiter.checkout_id)
            .values(next_message_at=func.clock_timestamp())
        )
        await mark_told(connection, waiter)
    return len(waiters)


#: The pauses whose end is told by a mail about this checkout.
_TOLD_PAUSES = (
    pause_waiters.c.checkout_id == checkouts.c.checkout_id
) & pause_waiters.c.is_written_to

#: When a buyer who waited for the end of a pause may be told; a press on Pay since
#: makes it needless.
_OPEN_AGAIN_AT = (
    select(func.max(pause_waiters.c.told_at))
    .join(shop_pauses, shop_pauses.c.pause_id == pause_waiters.c.pause_id)
    .where(
        _TOLD_PAUSES,
        or_(
            checkouts.c.pay_requested_at.is_(None),
            checkouts.c.pay_requested_at < shop_pauses.c.resumed_at,
        ),
    )
    .correlate(checkouts)
    .scalar_subquery()
)
_OPEN_AGAIN_TURN = (
    select(func.count())
    .select_from(pause_waiters)
    .where(_TOLD_PAUSES)
    .correlate(checkouts)
    .scalar_subquery()
)


#: The end that was bought, and one more each time that days were added.
_ENDING_TURN = (
    select(func.count() + 1)
    .select_from(purchase_changes)
    .where(
        purchase_changes.c.checkout_id == checkouts.c.checkout_id,
        purchase_changes.c.kind == ChangeKind.DAYS,
    )
    .correlate(checkouts)
    .scalar_subquery()
)


async def _read_standing(
    connection: AsyncConnection, checkout_id: UUID, hours: WorkingHours
) -> Standing:
    found = await connection.execute(
        select(
            checkouts,
            payment_attempts.c.ended_at,
            entitlements.c.granted_at,
            subscriptions.c.ends_at,
            select(func.max(account_sessions.c.last_seen_at))
            .where(
                func.lower(account_sessions.c.email) == func.lower(checkouts.c.email)
            )
            .scalar_subquery()
            .label("signed_in_at"),
            _OPEN_AGAIN_AT.label("open_again_at"),
            _OPEN_AGAIN_TURN.label("open_again_turn"),
            PAUSED_AT.label("paused_at"),
            _ENDING_TURN.label("ending_turn"),
        )
        .outerjoin(
            payment_attempts,
            (payment_attempts.c.checkout_id == checkouts.c.checkout_id)
            & (payment_attempts.c.buyer_attempt == checkouts.c.buyer_attempt),
        )
        .outerjoin(orders, orders.c.checkout_id == checkouts.c.checkout_id)
        .outerjoin(entitlements, entitlements.c.order_id == orders.c.order_id)
        .outerjoin(subscriptions, subscriptions.c.order_id == orders.c.order_id)
        .where(checkouts.c.checkout_id == checkout_id)
        .with_for_update(of=checkouts)
    )
    row = found.one_or_none()
    if row is None:
        raise CheckoutNotFound(str(checkout_id))
    heard = [at for at in (row.heard_at, row.signed_in_at) if at is not None]
    reason = row.not_charged_reason
    return Standing(
        money=MoneyState(row.money_state),
        access=AccessState(row.access_state),
        buyer_attempt=max(1, row.buyer_attempt),
        hours=hours,
        said=await _read_said(connection, checkout_id),
        pay_requested_at=row.pay_requested_at,
        bank_asked_at=row.bank_asked_at,
        bank_answered_at=row.bank_answered_at,
        ended_at=row.ended_at,
        reason=NotChargedReason(reason) if reason else None,
        charged_at=row.charged_at,
        granted_at=row.granted_at,
        access_until=row.ends_at,
        ending_turn=row.ending_turn,
        heard_at=max(heard, default=None),
        is_paused=row.paused_at is not None,
        open_again_turn=max(1, row.open_again_turn),
        open_again_at=row.open_again_at,
        refunds=await _read_refunds(connection, checkout_id),
    )


async def _read_refunds(
    connection: AsyncConnection, checkout_id: UUID
) -> tuple[RefundStanding, ...]:
    return tuple(
        RefundStanding(
            sequence=told.sequence,
            is_duplicate=told.purpose is RefundPurpose.DUPLICATE,
            accepted_at=told.accepted_at,
            # One that the processor never took was never told as returned either.
            failed_at=told.failed_at if told.accepted_at else None,
            is_confirmed=told.is_confirmed,
        )
        for told in await list_told_refunds(connection, checkout_id)
    )


async def _read_said(
    connection: AsyncConnection, checkout_id: UUID
) -> tuple[Said, ...]:
    found = await connection.execute(
        select(emails.c.kind, emails.c.sequence, emails.c.promised_at).where(
            emails.c.checkout_id == checkout_id
        )
    )
    return tuple(
        Said(
            kind=EmailKind(row.kind),
            sequence=row.sequence,
            promised_at=row.promised_at,
        )
        for row in found
    )


async def _owe(
    connection: AsyncConnection, checkout_id: UUID, word: Word, now: datetime
) -> None:
    """Write the mail and its promise (`uq_emails_checkout_id_kind_sequence`)."""
    email_id = derived_id(checkout_id, f"{word.kind}:{word.sequence}")
    await connection.execute(
        insert(emails)
        .values(
            email_id=email_id,
            checkout_id=checkout_id,
            kind=word.kind,
            sequence=word.sequence,
            created_at=now,
            promised_at=word.promised_at,
            asked_at=select(checkouts.c.asked_at)
            .where(checkouts.c.checkout_id == checkout_id)
            .scalar_subquery(),
        )
        .on_conflict_do_nothing()
    )
    if word.promised_at is not None:
        await connection.execute(
            insert(promises)
            .values(
                promise_id=email_id,
                email_id=email_id,
                checkout_id=checkout_id,
                due_at=word.promised_at,
                by_person=word.by_person,
            )
            .on_conflict_do_nothing()
        )


async def _open_promise(
    connection: AsyncConnection, checkout_id: UUID
) -> datetime | None:
    """Read the first promise that nothing has kept so far (`ix_promises_open`)."""
    found = await connection.execute(
        select(func.min(promises.c.due_at)).where(
            promises.c.checkout_id == checkout_id, promises.c.kept_at.is_(None)
        )
    )
    first: datetime | None = found.scalar_one()
    return first


async def _note_next(
    connection: AsyncConnection, checkout_id: UUID, next_at: datetime | None
) -> None:
    """Write when the customer hears next, for pages and for the sweep."""
    await connection.execute(
        update(checkouts)
        .where(
            checkouts.c.checkout_id == checkout_id,
            checkouts.c.next_message_at.is_distinct_from(next_at),
        )
        .values(next_message_at=next_at)
    )


async def _waiting_emails(
    connection: AsyncConnection, checkout_id: UUID
) -> tuple[UUID, ...]:
    """Read what is owed and has not left; a receipt waits for the access it tells."""
    found = await connection.execute(
        select(emails.c.email_id)
        .join(checkouts, checkouts.c.checkout_id == emails.c.checkout_id)
        .where(
            emails.c.checkout_id == checkout_id,
            emails.c.state == EmailState.PENDING,
            or_(
                emails.c.kind != RECEIPT,
                checkouts.c.access_state != AccessState.PENDING,
            ),
        )
        .order_by(emails.c.created_at, emails.c.email_id)
    )
    return tuple(found.scalars())
