"""What staff did, as a chain: no row can be changed, removed or slipped in unseen.

Each row's hash is SHA-256 over the hash of the row before it and the row's own content
in canonical JSON: sorted keys, no blanks, ASCII, instants in UTC to the microsecond.
One advisory lock puts all writers in a line; that no two rows follow the same one is
also the database's word (`uq_staff_actions_previous_hash`).

    hash = sha256(previous hash, or 32 zero bytes + canonical JSON)

What a chain cannot show by itself is that its end was cut off. So each row's number and
hash are logged too, and `verify` takes such a pair to look for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Row, func, insert, literal_column, not_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from database.tables import staff_actions

#: Names the lock; any number that nothing else in this database uses.
_CHAIN = 0x43686169  # "Chai"

#: In front of the first row.
_NOTHING = bytes(32)

#: Rows that are shown at once.
ROWS_OF_PAGE = 200

#: As the partial indexes have it: a bound value would not meet their condition.
_IS_SIGN_IN = staff_actions.c.action == literal_column("'sign_in'")

#: Rows that are held in memory while the chain is walked.
_PAGE = 1000

#: What a row may say about itself.
Fact = str | int | bool | None


class Outcome(StrEnum):
    """What became of an action."""

    DONE = "done"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class StaffAction:
    """One thing that somebody of the staff did, or was refused.

    Attributes:
        actor: The account's name; `unknown` where nobody was recognised.
        role: The account's role at that moment.
        action: What it was, as `case.claimed`.
        about: Ids, states and digests. No personal data: rows are never erased.
        request_id: The log line's id of the request.
    """

    actor: str
    role: str | None
    action: str
    outcome: Outcome = Outcome.DONE
    case_id: UUID | None = None
    checkout_id: UUID | None = None
    request_id: str | None = None
    about: Mapping[str, Fact] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A row's place in the chain, for writing down elsewhere."""

    action_id: int
    hash: bytes

    def __str__(self) -> str:
        """Return it as `42:9f86…`, which `parse_link` reads."""
        return f"{self.action_id}:{self.hash.hex()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a walk over the chain found.

    Attributes:
        rows: How many there are.
        head: The newest; None when there is none.
        faults: What is broken and where, in sentences; empty when nothing is.
    """

    rows: int
    head: Link | None
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedAction:
    """A row as a person reads it."""

    action_id: int
    at: datetime
    action: StaffAction


class Among(StrEnum):
    """What the owners look through."""

    #: What somebody did, or was refused, who was signed in or at the command line.
    DEEDS = "deeds"
    #: Failed sign-ins, which strangers can add to as long as they like.
    SIGN_INS = "sign-ins"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPage:
    """Rows as the owners read them, newest first.

    Attributes:
        sign_ins: How many failed sign-ins were written in the time of these rows.
        is_newest: Nothing of its kind is newer than its first row.
        older: The row before which the next page begins; None when there is none.
    """

    among: Among
    actions: tuple[RecordedAction, ...]
    sign_ins: int
    is_newest: bool = True
    older: int | None = None


def parse_link(text: str) -> Link:
    """Read what a link was written down as.

    Raises:
        ValueError: It is none.
    """
    number, _, digits = text.strip().partition(":")
    digest = bytes.fromhex(digits)
    if not number.isdecimal() or len(digest) != hashlib.sha256().digest_size:
        raise ValueError("not a number, a colon and 64 hexadecimal digits")
    return Link(action_id=int(number), hash=digest)


def digest_of(text: str) -> str:
    """Return what the chain keeps of a text: enough to prove it, nothing to read."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


async def record_action(connection: AsyncConnection, action: StaffAction) -> Link:
    """Write one row behind the newest.

    Writers wait for each other until their transactions end, so it comes last in one.
    """
    await connection.execute(select(func.pg_advisory_xact_lock(_CHAIN)))
    # After the lock: this statement sees what the last writer has committed.
    newest = await connection.execute(
        select(staff_actions.c.action_id, staff_actions.c.hash)
        .order_by(staff_actions.c.action_id.desc())
        .limit(1)
    )
    last = newest.one_or_none()
    clock = await connection.execute(select(func.clock_timestamp()))
    values: dict[str, object] = {
        "action_id": 1 if last is None else last.action_id + 1,
        "at": clock.scalar_one(),
        "actor": _plain(action.actor),
        "role": action.role,
        "action": action.action,
        "outcome": action.outcome.value,
        "case_id": action.case_id,
        "checkout_id": action.checkout_id,
        "request_id": action.request_id,
        "about": {key: _plain(value) for key, value in action.about.items()},
    }
    previous = None if last is None else bytes(last.hash)
    digest = _hash(previous, values)
    await connection.execute(
        insert(staff_actions).values(**values, previous_hash=previous, hash=digest)
    )
    return Link(action_id=int(str(values["action_id"])), hash=digest)


async def verify(connection: AsyncConnection, noted: Link | None = None) -> Verdict:
    """Walk the whole chain and say what is broken and where.

    After a fault the walk goes on from what the row itself says, so that one changed
    row is one fault.

    Args:
        connection: To read with.
        noted: A link that was written down elsewhere, and so must be there.
    """
    faults: list[str] = []
    last: Link | None = None
    rows, is_found = 0, noted is None
    async for row in _walk(connection):
        faults += _faults_of(row, last)
        last = Link(action_id=row.action_id, hash=bytes(row.hash))
        is_found = is_found or last == noted
        rows += 1
    if noted is not None and not is_found:
        faults.append(_not_found(noted, last))
    return Verdict(rows=rows, head=last, faults=tuple(faults))


async def read_page(
    connection: AsyncConnection, among: Among, before: int | None = None
) -> AuditPage:
    """Read the newest rows of a kind, or those before a row.

    Uses `ix_staff_actions_deeds` and `ix_staff_actions_sign_ins`.
    """
    found = await list_actions(
        connection, among=among, before=before, most=ROWS_OF_PAGE + 1
    )
    shown = tuple(found[:ROWS_OF_PAGE])
    has_more = len(found) > len(shown)
    span = [_IS_SIGN_IN]
    if has_more:
        span.append(staff_actions.c.action_id > shown[-1].action_id)
    if before is not None:
        span.append(staff_actions.c.action_id < before)
    counted = await connection.execute(
        select(func.count()).select_from(staff_actions).where(*span)
    )
    return AuditPage(
        among=among,
        actions=shown,
        sign_ins=counted.scalar_one(),
        is_newest=before is None,
        older=shown[-1].action_id if has_more else None,
    )


async def list_actions(
    connection: AsyncConnection,
    *,
    case_id: UUID | None = None,
    checkout_id: UUID | None = None,
    among: Among | None = None,
    before: int | None = None,
    most: int = ROWS_OF_PAGE,
) -> list[RecordedAction]:
    """Read the newest actions, of one case or checkout if named; newest first."""
    wanted = select(staff_actions).order_by(staff_actions.c.action_id.desc())
    if among is not None:
        wanted = wanted.where(
            _IS_SIGN_IN if among is Among.SIGN_INS else not_(_IS_SIGN_IN)
        )
    if before is not None:
        wanted = wanted.where(staff_actions.c.action_id < before)
    if case_id is not None:
        wanted = wanted.where(staff_actions.c.case_id == case_id)
    if checkout_id is not None:
        wanted = wanted.where(staff_actions.c.checkout_id == checkout_id)
    found = await connection.execute(wanted.limit(most))
    return [
        RecordedAction(
            action_id=row.action_id,
            at=row.at,
            action=StaffAction(
                actor=row.actor,
                role=row.role,
                action=row.action,
                outcome=Outcome(row.outcome),
                case_id=row.case_id,
                checkout_id=row.checkout_id,
                request_id=row.request_id,
                about=row.about,
            ),
        )
        for row in found
    ]


async def _walk(connection: AsyncConnection) -> AsyncIterator[Row[tuple[object, ...]]]:
    """Read all rows in their order, a page at a time."""
    after = None
    while True:
        page = select(staff_actions).order_by(staff_actions.c.action_id).limit(_PAGE)
        if after is not None:
            page = page.where(staff_actions.c.action_id > after)
        found = (await connection.execute(page)).all()
        for row in found:
            yield row
        if len(found) < _PAGE:
            return
        after = found[-1].action_id


def _faults_of(row: Row[tuple[object, ...]], last: Link | None) -> list[str]:
    faults = []
    number, expected = row.action_id, 1 if last is None else last.action_id + 1
    previous = None if row.previous_hash is None else bytes(row.previous_hash)
    if number != expected:
        missing = (
            f"{expected}" if number == expected + 1 else f"{expected}-{number - 1}"
        )
        faults.append(f"Missing: {missing}, in front of row {number}.")
    elif previous != (None if last is None else last.hash):
        faults.append(f"Row {number} does not follow from the row before it.")
    values = {key: getattr(row, key) for key in _CONTENT}
    if _hash(previous, values) != bytes(row.hash):
        faults.append(f"Row {number} is not as it was written.")
    return faults


def _not_found(noted: Link, last: Link | None) -> str:
    if last is None or noted.action_id > last.action_id:
        newest = "there is no row" if last is None else f"the last is {last.action_id}"
        return f"The end was cut off: row {noted.action_id} was noted, and {newest}."
    return f"Row {noted.action_id} has another hash than the one that was noted."


#: What a hash covers: all that a row says.
_CONTENT = (
    "action_id",
    "at",
    "actor",
    "role",
    "action",
    "outcome",
    "case_id",
    "checkout_id",
    "request_id",
    "about",
)


def _hash(previous: bytes | None, values: Mapping[str, object]) -> bytes:
    canonical = json.dumps(
        {key: _written(values[key]) for key in _CONTENT},
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=True,
    )
    return hashlib.sha256((previous or _NOTHING) + canonical.encode()).digest()


def _written(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    return str(value) if isinstance(value, UUID) else value


def _plain(value: Fact) -> Fact:
    """Take out what PostgreSQL cannot keep: NUL, and halves of characters."""
    if not isinstance(value, str):
        return value
    return value.replace("\0", "").encode("utf-8", "replace").decode()
