"""What a customer owns, and their sign-in links and sessions.

Of links and sessions only digests are kept, and every use is a compare-and-set.

Ages are counted by the database's clock, which all API replicas share.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, exists, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from database.tables import (
    account_sessions,
    checkouts,
    entitlements,
    orders,
    sign_in_links,
    subscriptions,
)
from domain.states import EntitlementState, Stage

#: Long enough for a slow mail, short enough for a mailbox that somebody else opens.
LINK_VALID_FOR = timedelta(minutes=10)

#: A session nobody uses ends after this.
IDLE_FOR = timedelta(minutes=30)

#: A session ends after this however busy it is.
SESSION_VALID_FOR = timedelta(hours=12)

#: A session's last use is written at most this often, so that reading stays reading.
_TOUCH_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A customer who is signed in.

    Attributes:
        email: Whose orders may be shown; lower case.
        is_due_a_touch: Its last use was written so long ago that it should be again.
    """

    email: str
    is_due_a_touch: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EntitlementRow:
    """What one order of a customer opened, and for how long."""

    reference_code: str
    plan_id: str
    state: EntitlementState
    starts_at: datetime
    ends_at: datetime


async def list_entitlements(
    connection: AsyncConnection, email: str
) -> list[EntitlementRow]:
    """Read what a customer's orders opened, newest first (`ix_checkouts_email`)."""
    result = await connection.execute(
        select(
            checkouts.c.reference_code,
            subscriptions.c.plan_id,
            entitlements.c.state,
            subscriptions.c.starts_at,
            subscriptions.c.ends_at,
        )
        .join(orders, orders.c.checkout_id == checkouts.c.checkout_id)
        .join(subscriptions, subscriptions.c.order_id == orders.c.order_id)
        .join(entitlements, entitlements.c.order_id == orders.c.order_id)
        .where(func.lower(checkouts.c.email) == email.lower())
        .order_by(subscriptions.c.starts_at.desc())
        .limit(100)
    )
    return [
        EntitlementRow(
            reference_code=row.reference_code,
            plan_id=row.plan_id,
            state=EntitlementState(row.state),
            starts_at=row.starts_at,
            ends_at=row.ends_at,
        )
        for row in result
    ]


async def is_customer(connection: AsyncConnection, email: str) -> bool:
    """Say whether anything was bought under this address (`ix_checkouts_email`)."""
    result = await connection.execute(
        select(
            exists().where(
                func.lower(checkouts.c.email) == email.lower(),
                checkouts.c.stage == Stage.CHARGED,
            )
        )
    )
    return bool(result.scalar_one())


async def insert_sign_in_link(
    connection: AsyncConnection, *, token_hash: bytes, browser_hash: bytes, email: str
) -> None:
    """Write a link that may be used once, by the browser that asked for it."""
    await connection.execute(
        insert(sign_in_links).values(
            token_hash=token_hash, browser_hash=browser_hash, email=email
        )
    )


async def use_sign_in_link(
    connection: AsyncConnection, *, token_hash: bytes, browser_hash: bytes
) -> str | None:
    """Use a link up and return whose it was; None when it cannot be used (any more).

    Of two presses at once the row's lock lets one through; the other finds `used_at`.
    """
    used = await connection.execute(
        update(sign_in_links)
        .where(
            sign_in_links.c.token_hash == token_hash,
            sign_in_links.c.browser_hash == browser_hash,
            sign_in_links.c.used_at.is_(None),
            sign_in_links.c.created_at > func.clock_timestamp() - LINK_VALID_FOR,
        )
        .values(used_at=func.clock_timestamp())
        .returning(sign_in_links.c.email)
    )
    row = used.one_or_none()
    return None if row is None else str(row.email)


async def open_session(
    connection: AsyncConnection, *, token_hash: bytes, email: str
) -> None:
    """Write a new session."""
    await connection.execute(
        insert(account_sessions).values(token_hash=token_hash, email=email)
    )


async def find_session(
    connection: AsyncConnection, token_hash: bytes
) -> Session | None:
    """Read a session; None when it ended, idled out, grew too old or never was."""
    result = await connection.execute(
        select(
            account_sessions.c.email,
            (
                account_sessions.c.last_seen_at < func.clock_timestamp() - _TOUCH_EVERY
            ).label("is_due_a_touch"),
        ).where(account_sessions.c.token_hash == token_hash, *_is_open())
    )
    row = result.one_or_none()
    if row is None:
        return None
    return Session(email=row.email, is_due_a_touch=row.is_due_a_touch)


async def touch_session(connection: AsyncConnection, token_hash: bytes) -> None:
    """Write that a session is in use; one that ended meanwhile stays ended."""
    await connection.execute(
        update(account_sessions)
        .where(account_sessions.c.token_hash == token_hash, *_is_open())
        .values(last_seen_at=func.clock_timestamp())
    )


async def end_session(connection: AsyncConnection, token_hash: bytes) -> None:
    """End a session; the first end stays."""
    await connection.execute(
        update(account_sessions)
        .where(
            account_sessions.c.token_hash == token_hash,
            account_sessions.c.ended_at.is_(None),
        )
        .values(ended_at=func.clock_timestamp())
    )


def _is_open() -> tuple[ColumnElement[bool], ...]:
    now = func.clock_timestamp()
    return (
        account_sessions.c.ended_at.is_(None),
        account_sessions.c.last_seen_at > now - IDLE_FOR,
        account_sessions.c.created_at > now - SESSION_VALID_FOR,
    )
