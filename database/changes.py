"""Changes of a purchase, made and told: the row and what it does are one transaction.

Every write locks the checkout's row first, as refunds do: of two people who press at
once, the second finds the first one's change.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Row,
    cast,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from database.aftermath import read_aftermath
from database.cases import insert_repair, open_case
from database.refunds import lock_paid
from database.tables import (
    checkouts,
    emails,
    orders,
    purchase_changes,
    replies,
    subscriptions,
)
from domain.causes import Cause
from domain.changes import (
    WHY,
    ChangeEntitlement,
    ChangeKind,
    change_id_of,
    why_no_correction,
    why_no_days,
)
from domain.emails import EmailKind
from domain.identifiers import derived_id
from domain.messages import OpenCase, RepairRequest
from domain.refunds import takes_access
from domain.replies import Verified
from domain.states import LIVE_REFUNDS, AccessState, Stage


class ChangeRefused(Exception):
    """The change cannot be made; the message says why, in a sentence for staff."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Who wants a change, and why.

    Attributes:
        turn: How many changes there were when their page was made.
    """

    turn: int
    actor: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change as its row has it; an address never shows in a log or an error.

    Attributes:
        sequence: Counts the checkout's changes, from 1.
        number: What the application is told; higher with each of them.
        told_at: When the application had acted on it; None before.
    """

    change_id: UUID
    sequence: int
    number: int
    kind: ChangeKind
    actor: str
    reason: str
    created_at: datetime
    told_at: datetime | None = None
    days: int | None = None
    verified: Verified | None = None
    old_email: str = field(default="", repr=False)
    new_email: str = field(default="", repr=False)


async def add_days(
    connection: AsyncConnection,
    checkout_id: UUID,
    wish: Wish,
    days: int,
    *,
    most_days: int | None = None,
) -> tuple[Change, bool]:
    """Make a plan longer, once per turn.

    Args:
        connection: In a transaction.
        checkout_id: Whose plan.
        wish: Who wants it, and why.
        days: How many.
        most_days: How many may be added to this plan in all; None for no limit.

    Returns:
        The change of this turn, and whether this call made it.

    Raises:
        CheckoutNotFound: There is no such checkout.
        ChangeRefused: Access is not open or ends with a refund, it would be too many
            days, or no page of ours names this turn.
    """
    paid = await lock_paid(connection, checkout_id)
    made = await list_changes(connection, checkout_id)
    if (known := _of_turn(made, wish)) is not None:
        return known, False
    plan = await _read_plan(connection, checkout_id)
    access = AccessState(paid.access_state)
    refusal = why_no_days(access, is_over=plan is not None and plan.is_over)
    if not refusal and takes_access(
        await read_aftermath(connection, paid), LIVE_REFUNDS
    ):
        refusal = "The whole price goes back, and access with it."
    if not refusal and most_days is not None:
        given = sum(one.days or 0 for one in made)
        if given + days > most_days:
            refusal = (
                f"{given} days were added to this plan before, and your account adds "
                f"{most_days} in all. Ask an owner."
            )
    if refusal or plan is None:
        raise ChangeRefused(refusal or "The order is not written yet.")
    await connection.execute(
        update(subscriptions)
        .where(subscriptions.c.subscription_id == plan.subscription_id)
        .values(ends_at=plan.ends_at + timedelta(days=days))
    )
    return await _write(connection, checkout_id, wish, ChangeKind.DAYS, days=days), True


async def correct_address(
    connection: AsyncConnection,
    checkout_id: UUID,
    wish: Wish,
    email: str,
    verified: Verified,
) -> tuple[Change, bool]:
    """Send a purchase's mail to another address, once per turn, and owe the old a word.

    Args:
        connection: In a transaction.
        checkout_id: Whose address.
        wish: Who wants it, and why.
        email: The new address, as the shop would take it.
        verified: How it is known that who asks is who paid.

    Returns:
        The change of this turn, and whether this call made it.

    Raises:
        CheckoutNotFound: There is no such checkout.
        ChangeRefused: Nothing is paid, it has this address, or no page of ours names
            this turn.
    """
    paid = await lock_paid(connection, checkout_id)
    made = await list_changes(connection, checkout_id)
    if (known := _of_turn(made, wish)) is not None:
        return known, False
    refusal = why_no_correction(is_charged=paid.stage == Stage.CHARGED)
    if refusal:
        raise ChangeRefused(refusal)
    old = str(paid.email)
    if old.casefold() == email.casefold():
        raise ChangeRefused("It has this address already.")
    has_moved = any(one.kind is ChangeKind.ADDRESS for one in made)
    if verified is Verified.PAGE_LINK and has_moved:
        raise ChangeRefused(
            "The page's address was mailed to an earlier address as well, so it proves "
            "nothing here. Ask for the card's last four digits and the day."
        )
    await connection.execute(
        update(checkouts)
        .where(checkouts.c.checkout_id == checkout_id)
        .values(email=email, updated_at=func.now())
    )
    change = await _write(
        connection,
        checkout_id,
        wish,
        ChangeKind.ADDRESS,
        old_email=old,
        new_email=email,
        verified=verified,
    )
    await _owe_notice(connection, checkout_id, old)
    await _stop_letters(connection, checkout_id)
    return change, True


async def _stop_letters(connection: AsyncConnection, checkout_id: UUID) -> None:
    """Let no signed letter go to the address that was given up: its author hears so."""
    stopped = await connection.execute(
        update(replies)
        .where(
            replies.c.checkout_id == checkout_id,
            replies.c.sent_at.is_(None),
            replies.c.refused.is_(None),
        )
        .values(refused="the address was corrected before it left")
        .returning(replies.c.author)
    )
    for author in stopped.scalars().all():
        await open_case(
            connection,
            OpenCase(
                checkout_id=checkout_id,
                step="send a mail",
                cause=Cause.LETTER_REFUSED,
                detail=f"The letter of {author} waited for the mail server while the "
                "address was corrected. It did not leave: write it again.",
            ),
        )


async def list_changes(
    connection: AsyncConnection, checkout_id: UUID
) -> tuple[Change, ...]:
    """Read a checkout's changes, oldest first."""
    found = await connection.execute(
        select(purchase_changes)
        .where(purchase_changes.c.checkout_id == checkout_id)
        .order_by(purchase_changes.c.sequence)
    )
    return tuple(_change(row) for row in found)


async def record_change_told(
    connection: AsyncConnection, change: ChangeEntitlement, number: int
) -> None:
    """Write that the application has acted on a change, and with it on all before."""
    await connection.execute(
        update(purchase_changes)
        .where(
            purchase_changes.c.checkout_id == change.checkout_id,
            purchase_changes.c.number <= number,
            purchase_changes.c.told_at.is_(None),
        )
        .values(told_at=func.clock_timestamp())
    )


def _of_turn(made: tuple[Change, ...], wish: Wish) -> Change | None:
    """Return the change of this turn; None when it is still to be made.

    Raises:
        ChangeRefused: No page of ours names this turn.
    """
    if wish.turn < len(made):
        return made[wish.turn]
    if wish.turn > len(made):
        raise ChangeRefused("This page is not one of ours. Open the case again.")
    return None


async def _read_plan(
    connection: AsyncConnection, checkout_id: UUID
) -> Row[tuple[object, ...]] | None:
    found = await connection.execute(
        select(
            subscriptions.c.subscription_id,
            subscriptions.c.ends_at,
            (subscriptions.c.ends_at <= func.clock_timestamp()).label("is_over"),
        )
        .join(orders, orders.c.order_id == subscriptions.c.order_id)
        .where(orders.c.checkout_id == checkout_id)
    )
    return found.one_or_none()


async def _write(
    connection: AsyncConnection,
    checkout_id: UUID,
    wish: Wish,
    kind: ChangeKind,
    **columns: object,
) -> Change:
    """Write the change, and the repair in whose run the application is told."""
    change_id = change_id_of(checkout_id, wish.turn)
    written = await connection.execute(
        insert(purchase_changes)
        .values(
            change_id=change_id,
            checkout_id=checkout_id,
            sequence=wish.turn + 1,
            number=_next_number(checkout_id),
            kind=kind,
            actor=wish.actor,
            reason=wish.reason,
            **columns,
        )
        .returning(purchase_changes)
    )
    await insert_repair(
        connection,
        checkout_id,
        RepairRequest(repair_id=change_id, actor=wish.actor, reason=WHY[kind]),
    )
    return _change(written.one())


def _next_number(checkout_id: UUID) -> ColumnElement[int]:
    """Number a change by the clock: a restored database counts on above what it lost.

    Two changes of one millisecond, or a clock that was put back, still go upwards.
    """
    now = func.floor(func.extract("epoch", func.clock_timestamp()) * 1000)
    newest = (
        select(func.max(purchase_changes.c.number) + 1)
        .where(purchase_changes.c.checkout_id == checkout_id)
        .scalar_subquery()
    )
    return func.greatest(cast(now, BigInteger), newest)


async def _owe_notice(
    connection: AsyncConnection, checkout_id: UUID, old_email: str
) -> None:
    """Owe the old address the word that mail goes elsewhere now."""
    kind = EmailKind.ADDRESS_CHANGED
    counted = await connection.execute(
        select(func.count()).where(
            emails.c.checkout_id == checkout_id, emails.c.kind == kind
        )
    )
    turn = counted.scalar_one() + 1
    await connection.execute(
        insert(emails).values(
            email_id=derived_id(checkout_id, f"{kind}:{turn}"),
            checkout_id=checkout_id,
            kind=kind,
            sequence=turn,
            recipient=old_email,
        )
    )


def _change(row: Row[tuple[object, ...]]) -> Change:
    return Change(
        change_id=row.change_id,
        sequence=row.sequence,
        number=row.number,
        kind=ChangeKind(row.kind),
        actor=row.actor,
        reason=row.reason,
        created_at=row.created_at,
        told_at=row.told_at,
        days=row.days,
        verified=Verified(row.verified) if row.verified else None,
        old_email=row.old_email or "",
        new_email=row.new_email or "",
    )
