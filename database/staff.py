"""Staff accounts: made by the operator, set up and used through the console.

Making, disabling and resetting need the owning role; the application's role can set a
password through a one-time link and use up a code, nothing else.

Ages are counted by the database's clock, which all API replicas share.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, Row, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from database.tables import staff, staff_sessions
from domain.staff import CodeSource, Role

#: A colleague in another time zone reads the message tomorrow.
SETUP_VALID_FOR = timedelta(hours=24)


class NoSuchStaff(Exception):
    """No account has this name."""


class StaffExists(Exception):
    """An account has this name, or had it: the audit names people by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StaffRow:
    """An account.

    Attributes:
        name: What the audit calls them.
        display_name: What they sign with.
        password_hash: None until the account is set up.
        source: What the second factor is made of.
        is_disabled: It opens nothing.
        setup_until: When the one-time link stops to work; None without one.
        last_seen_at: When a session of it was last used.
    """

    staff_id: UUID
    name: str
    display_name: str
    role: Role
    password_hash: str | None
    source: CodeSource
    is_disabled: bool
    created_at: datetime
    setup_until: datetime | None = None
    last_seen_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCredentials:
    """What an account starts from, and starts anew from after a reset."""

    source: CodeSource
    setup_hash: bytes


async def add_staff(
    connection: AsyncConnection,
    *,
    name: str,
    display_name: str,
    role: Role,
    credentials: NewCredentials,
) -> None:
    """Make an account that waits to be set up. Needs the owning role.

    Raises:
        StaffExists: The name is or was somebody's (`uq_staff_name`).
    """
    made = await connection.execute(
        insert(staff)
        .values(
            staff_id=uuid4(),
            name=name,
            display_name=display_name,
            role=role,
            **_fresh(credentials),
        )
        .on_conflict_do_nothing(constraint="uq_staff_name")
        .returning(staff.c.staff_id)
    )
    if made.one_or_none() is None:
        raise StaffExists(name)


async def reset_staff(
    connection: AsyncConnection, name: str, credentials: NewCredentials
) -> None:
    """Take password, codes and sessions away, and let the account be set up again.

    One that was disabled is open again. Needs the owning role.

    Raises:
        NoSuchStaff: No account has this name.
    """
    reset = await connection.execute(
        update(staff)
        .where(staff.c.name == name)
        .values(password_hash=None, disabled_at=None, **_fresh(credentials))
        .returning(staff.c.staff_id)
    )
    await _end_all(connection, reset.scalar_one_or_none(), name)


async def disable_staff(connection: AsyncConnection, name: str) -> None:
    """Close an account and end its sessions. Needs the owning role.

    Raises:
        NoSuchStaff: No account has this name.
    """
    disabled = await connection.execute(
        update(staff)
        .where(staff.c.name == name)
        .values(
            disabled_at=func.coalesce(staff.c.disabled_at, func.clock_timestamp()),
            setup_hash=None,
            setup_until=None,
        )
        .returning(staff.c.staff_id)
    )
    await _end_all(connection, disabled.scalar_one_or_none(), name)


async def list_staff(connection: AsyncConnection) -> list[StaffRow]:
    """Read all accounts by name, closed ones too."""
    found = await connection.execute(_READ.order_by(staff.c.name))
    return [_staff_row(row) for row in found]


async def find_staff(connection: AsyncConnection, name: str) -> StaffRow | None:
    """Read an account (`uq_staff_name`)."""
    found = await connection.execute(_READ.where(staff.c.name == name))
    row = found.one_or_none()
    return None if row is None else _staff_row(row)


async def find_by_setup(
    connection: AsyncConnection, setup_hash: bytes
) -> StaffRow | None:
    """Read the account that a one-time link opens; None when it opens none (more)."""
    found = await connection.execute(_READ.where(*_may_set_up(setup_hash)))
    row = found.one_or_none()
    return None if row is None else _staff_row(row)


async def set_up(
    connection: AsyncConnection, *, setup_hash: bytes, password_hash: str, step: int
) -> bool:
    """Use a one-time link up: the password is set, and the code is spent.

    Of two at once the row's lock lets one through; the other finds the link used.
    """
    done = await connection.execute(
        update(staff)
        .where(*_may_set_up(setup_hash), staff.c.last_code_step < step)
        .values(
            password_hash=password_hash,
            last_code_step=step,
            setup_hash=None,
            setup_until=None,
        )
        .returning(staff.c.staff_id)
    )
    return done.one_or_none() is not None


async def spend_code(connection: AsyncConnection, staff_id: UUID, step: int) -> bool:
    """Use the code of a half minute up; False when it, or a later one, was used."""
    spent = await connection.execute(
        update(staff)
        .where(staff.c.staff_id == staff_id, staff.c.last_code_step < step)
        .values(last_code_step=step)
        .returning(staff.c.staff_id)
    )
    return spent.one_or_none() is not None


async def strengthen(
    connection: AsyncConnection, staff_id: UUID, old: str, new: str
) -> None:
    """Replace a password's digest by a slower one of the same password."""
    await connection.execute(
        update(staff)
        .where(staff.c.staff_id == staff_id, staff.c.password_hash == old)
        .values(password_hash=new)
    )


_READ = select(
    staff,
    select(func.max(staff_sessions.c.last_seen_at))
    .where(staff_sessions.c.staff_id == staff.c.staff_id)
    .scalar_subquery()
    .label("last_seen_at"),
)


def _fresh(credentials: NewCredentials) -> dict[str, object]:
    return {
        "code_key_id": credentials.source.key_id,
        "code_salt": credentials.source.salt,
        "last_code_step": 0,
        "setup_hash": credentials.setup_hash,
        "setup_until": func.clock_timestamp() + SETUP_VALID_FOR,
    }


def _may_set_up(setup_hash: bytes) -> tuple[ColumnElement[bool], ...]:
    return (
        staff.c.setup_hash == setup_hash,
        staff.c.setup_until > func.clock_timestamp(),
        staff.c.disabled_at.is_(None),
    )


async def _end_all(
    connection: AsyncConnection, staff_id: UUID | None, name: str
) -> None:
    if staff_id is None:
        raise NoSuchStaff(name)
    await connection.execute(
        update(staff_sessions)
        .where(
            staff_sessions.c.staff_id == staff_id, staff_sessions.c.ended_at.is_(None)
        )
        .values(ended_at=func.clock_timestamp())
    )


def _staff_row(row: Row[tuple[object, ...]]) -> StaffRow:
    return StaffRow(
        staff_id=row.staff_id,
        name=row.name,
        display_name=row.display_name,
        role=Role(row.role),
        password_hash=row.password_hash,
        source=CodeSource(key_id=row.code_key_id, salt=bytes(row.code_salt)),
        is_disabled=row.disabled_at is not None,
        created_at=row.created_at,
        setup_until=row.setup_until,
        last_seen_at=row.last_seen_at,
    )
