"""Who has access, and every call that came, in one SQLite file that survives a kill.

The calls are the oracle of tests: a call is one verified request, a grant is one call
that had an effect. A repeated call has none, because it carries the same webhook-id.
"""

import secrets
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entitlements (
    entitlement_id TEXT PRIMARY KEY,
    order_reference TEXT NOT NULL,
    email TEXT NOT NULL,
    plan TEXT NOT NULL,
    starts_at TEXT NOT NULL,
    ends_at TEXT NOT NULL,
    state TEXT NOT NULL,           -- active or ended
    token TEXT NOT NULL UNIQUE,    -- of the welcome page
    granted_at TEXT NOT NULL,
    change INTEGER NOT NULL DEFAULT 0  -- the newest that was applied
);
CREATE TABLE IF NOT EXISTS calls (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    webhook_id TEXT NOT NULL,
    entitlement_id TEXT NOT NULL,
    type TEXT NOT NULL,
    had_effect INTEGER NOT NULL,
    at TEXT NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS one_effect_per_webhook
    ON calls (webhook_id) WHERE had_effect;
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
"""

#: What `data` of a call must hold, all of them text.
FIELDS = (
    "entitlement_id",
    "order_reference",
    "email",
    "plan",
    "starts_at",
    "ends_at",
)


@dataclass(frozen=True, slots=True)
class Access:
    """One entitlement as the application knows it."""

    entitlement_id: str
    order_reference: str
    email: str
    plan: str
    starts_at: str
    ends_at: str
    state: str
    token: str
    granted_at: str
    change: int = 0

    @property
    def masked_email(self) -> str:
        """The address as a page may show it: ``d•••@example.com``."""
        name, _, domain = self.email.partition("@")
        return f"{name[:1]}•••@{domain}"

    @property
    def ends_on(self) -> str:
        """The last day, as people write it."""
        return datetime.fromisoformat(self.ends_at).strftime("%d %b %Y")


class AccessStore:
    """Reads and writes the file. One transaction per call."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        # With a write-ahead log a commit survives kill -9 without waiting for the disk.
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.executescript(_SCHEMA)
        self._add_what_is_new()

    def grant(self, webhook_id: str, data: Mapping[str, str]) -> Access:
        """Open access, or find it open or ended; counts the call either way.

        What has ended never opens again: a call to open it may have been held up on
        its way until after the one that ended it.
        """
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute(
                "INSERT INTO entitlements VALUES (:entitlement_id, :order_reference, "
                ":email, :plan, :starts_at, :ends_at, 'active', :token, :now, 0) "
                "ON CONFLICT (entitlement_id) DO NOTHING",
                {**data, "token": secrets.token_urlsafe(24), "now": _now()},
            )
            access = self._one("entitlement_id", data["entitlement_id"])
            self._count(
                webhook_id,
                access.entitlement_id,
                "entitlement.granted",
                can_act=access.state == "active",
            )
        return self._one("entitlement_id", data["entitlement_id"])

    def change(self, webhook_id: str, data: Mapping[str, Any]) -> None:
        """Follow a change of an open entitlement, unless a newer one was followed.

        One that is not known is opened as it stands now: the call tells everything.
        What has ended stays so.
        """
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            done = self._connection.execute(
                "INSERT INTO entitlements VALUES (:entitlement_id, :order_reference, "
                ":email, :plan, :starts_at, :ends_at, 'active', :token, :now, :change) "
                "ON CONFLICT (entitlement_id) DO UPDATE SET email = excluded.email, "
                "plan = excluded.plan, starts_at = excluded.starts_at, "
                "ends_at = excluded.ends_at, change = excluded.change "
                "WHERE state = 'active' AND change < excluded.change",
                {**data, "token": secrets.token_urlsafe(24), "now": _now()},
            )
            self._count(
                webhook_id,
                data["entitlement_id"],
                "entitlement.changed",
                can_act=done.rowcount > 0,
            )

    def end(self, webhook_id: str, data: Mapping[str, str]) -> None:
        """Close access for good; what was never opened is remembered as ended."""
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute(
                "INSERT INTO entitlements VALUES (:entitlement_id, :order_reference, "
                ":email, :plan, :starts_at, :ends_at, 'ended', :token, :now, 0) "
                "ON CONFLICT (entitlement_id) DO UPDATE SET state = 'ended'",
                {**data, "token": secrets.token_urlsafe(24), "now": _now()},
            )
            self._count(webhook_id, data["entitlement_id"], "entitlement.ended")

    def count_rejected(self) -> None:
        """Count a call whose signature was no good."""
        self._connection.execute(
            "INSERT INTO counters VALUES ('rejected', 1) "
            "ON CONFLICT (name) DO UPDATE SET value = value + 1"
        )

    def by_token(self, token: str) -> Access | None:
        """The entitlement of a welcome page."""
        found = self._rows("WHERE token = ?", token)
        return found[0] if found else None

    def all(self) -> list[Access]:
        """Everyone, the newest first."""
        return self._rows("ORDER BY granted_at DESC")

    def totals(self) -> dict[str, int]:
        """Calls that were verified, and calls that were rejected."""
        (calls,) = self._connection.execute("SELECT count(*) FROM calls").fetchone()
        rejected = self._connection.execute(
            "SELECT value FROM counters WHERE name = 'rejected'"
        ).fetchone()
        return {"calls": calls, "rejected": rejected[0] if rejected else 0}

    def counts(self, entitlement_id: str) -> dict[str, int]:
        """Calls, grants and followed changes of one entitlement."""
        calls, grants, changes = self._connection.execute(
            "SELECT count(*), "
            "count(*) FILTER (WHERE had_effect AND type = 'entitlement.granted'), "
            "count(*) FILTER (WHERE had_effect AND type = 'entitlement.changed') "
            "FROM calls WHERE entitlement_id = ?",
            (entitlement_id,),
        ).fetchone()
        return {"calls": calls, "grants": grants, "changes": changes}

    def clear(self) -> None:
        """Forget everything."""
        for table in ("entitlements", "calls", "counters"):
            self._connection.execute(f"DELETE FROM {table}")  # noqa: S608 - our names.

    def close(self) -> None:
        """Write everything into the one file."""
        self._connection.close()

    def _add_what_is_new(self) -> None:
        """Bring a file of an older release up to date."""
        known = self._connection.execute("PRAGMA table_info(entitlements)").fetchall()
        if "change" not in {column[1] for column in known}:
            self._connection.execute(
                "ALTER TABLE entitlements ADD COLUMN change INTEGER NOT NULL DEFAULT 0"
            )

    def _count(
        self, webhook_id: str, entitlement_id: str, kind: str, *, can_act: bool = True
    ) -> None:
        """Record the call; only the first with its webhook-id has an effect."""
        seen = self._connection.execute(
            "SELECT 1 FROM calls WHERE webhook_id = ? AND had_effect", (webhook_id,)
        ).fetchone()
        self._connection.execute(
            "INSERT INTO calls (webhook_id, entitlement_id, type, had_effect, at) "
            "VALUES (?, ?, ?, ?, ?)",
            (webhook_id, entitlement_id, kind, can_act and seen is None, _now()),
        )

    def _one(self, column: str, value: str) -> Access:
        return self._rows(f"WHERE {column} = ?", value)[0]

    def _rows(self, condition: str, *values: Any) -> list[Access]:
        query = f"SELECT * FROM entitlements {condition}"  # noqa: S608 - our own words.
        return [Access(*row) for row in self._connection.execute(query, values)]


def _now() -> str:
    return datetime.now(UTC).isoformat()
