"""The processor's memory: one SQLite file, and the only code that opens it.

Write-ahead log with ``synchronous=NORMAL``: a commit survives ``kill -9`` of this
process without an fsync of its own; only a power cut could take the last few.

All work happens on the event loop's thread and no transaction contains an ``await``,
so transactions never overlap and need no lock of their own.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sandbox.processor.errors import ApiError, Json

#: An object's place in the list of its kind: epoch seconds, and its turn among all.
Position = tuple[int, int]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
    seq INTEGER PRIMARY KEY,       -- the order of creation within a second
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,            -- the object's `object`
    created INTEGER NOT NULL,      -- epoch seconds by the sandbox's clock
    status TEXT,                   -- its `status`, or the `type` of an event
    customer TEXT,
    payment_intent TEXT,
    charge TEXT,
    checkout_id TEXT,              -- metadata.checkout_id
    settled_at REAL,               -- real epoch seconds at which a charge succeeded
    private TEXT,                  -- JSON facts that the API never shows
    body TEXT NOT NULL             -- JSON as the API shows it
);
-- Which lists follow: with bounds and cursor a page is one range of it.
CREATE INDEX IF NOT EXISTS objects_by_age ON objects (kind, created, seq);
DROP INDEX IF EXISTS objects_by_kind;
CREATE INDEX IF NOT EXISTS objects_by_intent ON objects (payment_intent, kind);
CREATE INDEX IF NOT EXISTS objects_by_charge ON objects (charge, kind);
CREATE INDEX IF NOT EXISTS objects_by_checkout ON objects (checkout_id, kind);

CREATE TABLE IF NOT EXISTS idempotency (
    key TEXT PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    status INTEGER NOT NULL,
    body TEXT NOT NULL,
    request_id TEXT NOT NULL,
    payment_intent TEXT,
    created REAL NOT NULL          -- epoch seconds by the sandbox's clock
);
CREATE INDEX IF NOT EXISTS idempotency_by_age ON idempotency (created);

CREATE TABLE IF NOT EXISTS requests (
    sequence INTEGER PRIMARY KEY,
    request_id TEXT NOT NULL,
    at REAL NOT NULL,              -- real epoch seconds at which it was answered
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    idempotency_key TEXT,
    body_sha256 TEXT NOT NULL,
    status INTEGER,                -- NULL when the connection was refused
    error_code TEXT,
    replayed INTEGER NOT NULL,
    reply_dropped INTEGER NOT NULL,
    fault TEXT,
    payment_intent TEXT,
    payment_intent_status TEXT,
    checkout_id TEXT
);
CREATE INDEX IF NOT EXISTS requests_by_checkout ON requests (checkout_id);

CREATE TABLE IF NOT EXISTS deliveries (
    id INTEGER PRIMARY KEY,
    event TEXT NOT NULL,
    state TEXT NOT NULL,           -- pending, delivered, given_up, withheld
    attempts INTEGER NOT NULL DEFAULT 0,
    next_at REAL NOT NULL,         -- real epoch seconds
    last_status INTEGER,
    last_error TEXT
);
CREATE INDEX IF NOT EXISTS deliveries_due ON deliveries (state, next_at);
CREATE INDEX IF NOT EXISTS deliveries_by_event ON deliveries (event);

CREATE TABLE IF NOT EXISTS timers (
    id INTEGER PRIMARY KEY,
    due REAL NOT NULL,             -- epoch seconds by the sandbox's clock
    kind TEXT NOT NULL,
    subject TEXT NOT NULL          -- the object's id
);
CREATE TABLE IF NOT EXISTS faults (id TEXT PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""

_PUT = """
INSERT INTO objects (id, kind, created, status, customer, payment_intent, charge,
                     checkout_id, settled_at, private, body)
VALUES (:id, :kind, :created, :status, :customer, :payment_intent, :charge,
        :checkout_id, :settled_at, :private, :body)
ON CONFLICT (id) DO UPDATE SET
    status = excluded.status, customer = excluded.customer,
    checkout_id = excluded.checkout_id,
    settled_at = coalesce(objects.settled_at, excluded.settled_at),
    private = coalesce(excluded.private, objects.private), body = excluded.body
"""

#: Columns that `select` compares. The first ones each choose a few objects among all,
#: and have an index of their own.
_SELECTIVE = ("payment_intent", "charge", "checkout_id")
_EQUALS = (*_SELECTIVE, "status", "customer")

#: Beyond every place in a list.
_FIRST, _LAST = (-1, 0), (2**62, 0)


def encode(value: Any) -> str:
    """JSON as it is stored and sent."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


class Storage:
    """Objects by id and by filter, and a connection for the other tables."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.row_factory = sqlite3.Row
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("PRAGMA synchronous = NORMAL")
        self.connection.execute("PRAGMA busy_timeout = 5000")
        self.connection.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file; the write-ahead log is folded in."""
        self.connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of the block's writes or none of them."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo the block's writes when it refused to begin; a decline keeps its own."""
        self.connection.execute("SAVEPOINT attempt")
        try:
            yield
        except ApiError as error:
            if not error.is_stored:
                self.connection.execute("ROLLBACK TO attempt")
            raise
        finally:
            self.connection.execute("RELEASE attempt")

    def put(
        self,
        thing: Json,
        *,
        private: Json | None = None,
        settled_at: float | None = None,
    ) -> None:
        """Insert the object, or replace its body.

        Args:
            thing: The object as the API shows it.
            private: Facts the API never shows; None keeps those already stored.
            settled_at: Real epoch seconds; the first one stored stays.
        """
        metadata = thing.get("metadata") or {}
        self.connection.execute(
            _PUT,
            {
                "id": thing["id"],
                "kind": thing["object"],
                "created": thing["created"],
                "status": thing.get("status", thing.get("type")),
                "customer": thing.get("customer"),
                "payment_intent": thing.get("payment_intent"),
                "charge": thing.get("charge"),
                "checkout_id": metadata.get("checkout_id"),
                "settled_at": settled_at,
                "private": None if private is None else encode(private),
                "body": encode(thing),
            },
        )

    def get(self, identifier: str, kind: str | None = None) -> Json | None:
        """The object with this id (and this kind, where given), or None."""
        row = self.connection.execute(
            "SELECT kind, body FROM objects WHERE id = ?", (identifier,)
        ).fetchone()
        if row is None or (kind is not None and row["kind"] != kind):
            return None
        found: Json = json.loads(row["body"])
        return found

    def private(self, identifier: str) -> Json:
        """The facts about an object that the API never shows."""
        row = self.connection.execute(
            "SELECT private FROM objects WHERE id = ?", (identifier,)
        ).fetchone()
        facts: Json = json.loads(row["private"]) if row and row["private"] else {}
        return facts

    def position(self, identifier: str, kind: str) -> Position | None:
        """The object's place in its list, for cursors."""
        row = self.connection.execute(
            "SELECT created, seq FROM objects WHERE id = ? AND kind = ?",
            (identifier, kind),
        ).fetchone()
        return (int(row["created"]), int(row["seq"])) if row else None

    def select(
        self, kind: str, *, limit: int, oldest_first: bool = False, **filters: Any
    ) -> list[Json]:
        """Objects of a kind that pass every filter given, newest first.

        Args:
            kind: The objects' kind.
            limit: How many at the most.
            oldest_first: Turn the order around.
            filters: Values of columns; epoch seconds by `gt`, `gte`, `lt`, `lte` and
                `created`; positions by `before` and `after`, for what is older and
                newer. None is no filter.
        """
        given = {name: value for name, value in filters.items() if value is not None}
        above, below = _span(given)
        # Only what is asked for stands in the query, so that an index can serve it.
        equals = [name for name in _EQUALS if name in given]
        # The plus keeps the index by age from being chosen: a few are sorted faster
        # than all of their kind are walked through.
        plus = "+" if any(name in given for name in _SELECTIVE) else ""
        kinds = f"{plus}kind = :kind"
        wanted = " AND ".join((kinds, *(f"{name} = :{name}" for name in equals)))
        turn = "ASC" if oldest_first else "DESC"
        rows = self.connection.execute(
            f"SELECT body FROM objects WHERE {wanted}"  # noqa: S608  # Constants.
            " AND (created, seq) > (:above_created, :above_seq)"
            " AND (created, seq) < (:below_created, :below_seq)"
            f" ORDER BY created {turn}, seq {turn} LIMIT :limit",
            {
                **{name: given[name] for name in equals},
                "kind": kind,
                "above_created": above[0],
                "above_seq": above[1],
                "below_created": below[0],
                "below_seq": below[1],
                "limit": limit,
            },
        ).fetchall()
        return [json.loads(row["body"]) for row in rows]

    def rows(self, query: str, values: Mapping[str, Any] | None = None) -> list[Json]:
        """Any query's rows as dicts."""
        found = self.connection.execute(query, values or {}).fetchall()
        return [dict(row) for row in found]

    def setting(self, name: str, default: Any) -> Any:
        """A stored setting's value, or the default."""
        row = self.connection.execute(
            "SELECT value FROM settings WHERE name = ?", (name,)
        ).fetchone()
        return default if row is None else json.loads(row["value"])

    def set_setting(self, name: str, value: Any) -> None:
        """Store a setting."""
        self.connection.execute(
            "INSERT INTO settings (name, value) VALUES (?, ?) "
            "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (name, encode(value)),
        )


def _span(given: Mapping[str, Any]) -> tuple[Position, Position]:
    """Between which places the objects lie, both left out.

    A bound is the place before, or behind, all objects of its second. So bounds and
    cursors come down to one pair, which is one range of the index.
    """
    above = [_FIRST, given.get("after", _FIRST)]
    below = [_LAST, given.get("before", _LAST)]
    for name in ("created", "gte"):
        if name in given:
            above.append((given[name], 0))
    for name in ("created", "lte"):
        if name in given:
            below.append((given[name] + 1, 0))
    if "gt" in given:
        above.append((given["gt"] + 1, 0))
    if "lt" in given:
        below.append((given["lt"], 0))
    return max(above), min(below)
