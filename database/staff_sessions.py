"""Sessions of staff, and how often somebody may try to get in.

Of a session's token only the digest is kept. Tries are counted here and not in a
process's memory, so that all replicas of the API agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from math import ceil
from uuid import UUID

from sqlalchemy import ColumnElement, case, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from database.tables import staff, staff_sessions, staff_tries
from domain.staff import CodeSource, Role

#: A session nobody uses ends after this: a forgotten screen, not a long telephone call.
IDLE_FOR = timedelta(minutes=30)

#: A session ends after this however busy it is: one working day.
SESSION_VALID_FOR = timedelta(hours=8)

#: Money needs a code that is not older than this.
CODE_FRESH_FOR = timedelta(minutes=5)

#: A session's last use is written at most this often.
_TOUCH_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class StaffSession:
    """Somebody of the staff who is signed in.

    Attributes:
        is_fresh: A code was given lately enough for money.
        is_due_a_touch: Its last use was written so long ago that it should be again.
    """

    staff_id: UUID
    name: str
    display_name: str
    role: Role
    source: CodeSource
    is_fresh: bool
    is_due_a_touch: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """What became of one more try.

    Attributes:
        retry_after_seconds: When the next would be let through; None if this one is.
        is_first_refused: Those before it were let through; the ones after are not told.
    """

    retry_after_seconds: int | None = None
    is_first_refused: bool = False


async def open_session(
    connection: AsyncConnection, *, token_hash: bytes, staff_id: UUID
) -> None:
    """Write a new session; a code was given this moment."""
    await connection.execute(
        insert(staff_sessions).values(token_hash=token_hash, staff_id=staff_id)
    )


async def find_session(
    connection: AsyncConnection, token_hash: bytes
) -> StaffSession | None:
    """Read a session; None when it ended, idled out, grew too old or never was."""
    now = func.clock_timestamp()
    found = await connection.execute(
        select(
            staff.c.staff_id,
            staff.c.name,
            staff.c.display_name,
            staff.c.role,
            staff.c.code_key_id,
            staff.c.code_salt,
            (staff_sessions.c.code_at > now - CODE_FRESH_FOR).label("is_fresh"),
            (staff_sessions.c.last_seen_at < now - _TOUCH_EVERY).label(
                "is_due_a_touch"
            ),
        )
        .join(staff, staff.c.staff_id == staff_sessions.c.staff_id)
        .where(
            staff_sessions.c.token_hash == token_hash,
            staff.c.disabled_at.is_(None),
            *_is_open(),
        )
    )
    row = found.one_or_none()
    if row is None:
        return None
    return StaffSession(
        staff_id=row.staff_id,
        name=row.name,
        display_name=row.display_name,
        role=Role(row.role),
        source=CodeSource(key_id=row.code_key_id, salt=bytes(row.code_salt)),
        is_fresh=row.is_fresh,
        is_due_a_touch=row.is_due_a_touch,
    )


async def touch_session(connection: AsyncConnection, token_hash: bytes) -> None:
    """Write that a session is in use; one that ended meanwhile stays ended."""
    await _change(connection, token_hash, "last_seen_at")


async def note_code(connection: AsyncConnection, token_hash: bytes) -> None:
    """Write that a code was given in a session this moment."""
    await _change(connection, token_hash, "code_at")


async def end_session(connection: AsyncConnection, token_hash: bytes) -> None:
    """End a session; the first end stays."""
    await _change(connection, token_hash, "ended_at")


async def count_try(
    connection: AsyncConnection, what: str, *, most: int, within: timedelta
) -> Try:
    """Count one more try, in a window that begins with its first.

    One statement on one row: replicas that count at once are put in a line by its lock.

    Args:
        connection: In a transaction of its own, which is committed before the try.
        what: What is counted, as `account:dana`; only its digest is kept.
        most: Tries in a window.
        within: How long a window lasts.
    """
    now = func.clock_timestamp()
    is_over = staff_tries.c.window_began_at <= now - within
    counted = await connection.execute(
        insert(staff_tries)
        .values(bucket=_bucket(what), window_began_at=now, tries=1)
        .on_conflict_do_update(
            constraint="pk_staff_tries",
            set_={
                "window_began_at": case(
                    (is_over, now), else_=staff_tries.c.window_began_at
                ),
                "tries": case((is_over, 1), else_=staff_tries.c.tries + 1),
            },
        )
        .returning(
            staff_tries.c.tries,
            func.extract(
                "epoch", staff_tries.c.window_began_at + within - func.clock_timestamp()
            ).label("seconds"),
        )
    )
    row = counted.one()
    if row.tries <= most:
        return Try()
    return Try(
        retry_after_seconds=max(1, ceil(row.seconds)),
        is_first_refused=row.tries == most + 1,
    )


async def forget_tries(connection: AsyncConnection, what: str) -> None:
    """Begin anew after a try that succeeded."""
    await connection.execute(
        update(staff_tries).where(staff_tries.c.bucket == _bucket(what)).values(tries=0)
    )


def _bucket(what: str) -> bytes:
    return sha256(what.encode("utf-8", "replace")).digest()


async def _change(connection: AsyncConnection, token_hash: bytes, column: str) -> None:
    await connection.execute(
        update(staff_sessions)
        .where(
            staff_sessions.c.token_hash == token_hash,
            staff_sessions.c.ended_at.is_(None),
        )
        .values({column: func.clock_timestamp()})
    )


def _is_open() -> tuple[ColumnElement[bool], ...]:
    now = func.clock_timestamp()
    return (
        staff_sessions.c.ended_at.is_(None),
        staff_sessions.c.last_seen_at > now - IDLE_FOR,
        staff_sessions.c.created_at > now - SESSION_VALID_FOR,
    )
