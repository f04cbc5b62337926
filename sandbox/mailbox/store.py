"""The mails, in one SQLite file that survives the server's death."""

import email
import email.policy
import json
import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from functools import cached_property
from pathlib import Path
from typing import Any

_SCHEMA = """
CREATE TABLE IF NOT EXISTS mails (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    received_at TEXT NOT NULL,
    mail_from TEXT NOT NULL,
    recipients TEXT NOT NULL,      -- JSON list, from the envelope
    message_id TEXT,
    kind TEXT,
    raw BLOB NOT NULL
)
"""


@dataclass(frozen=True)
class Mail:
    """One mail as it came.

    Attributes:
        id: counts up from 1 in the order of arrival; never used twice.
        received_at: aware UTC.
        mail_from: the envelope's sender.
        recipients: the envelope's recipients.
        raw: the bytes between DATA and the final dot.
    """

    id: int
    received_at: datetime
    mail_from: str
    recipients: tuple[str, ...]
    raw: bytes

    @cached_property
    def message(self) -> EmailMessage:
        """The mail, parsed."""
        return email.message_from_bytes(self.raw, policy=email.policy.default)

    @property
    def subject(self) -> str:
        """The subject; empty when there is none."""
        return str(self.message.get("Subject", ""))

    @property
    def sender(self) -> str:
        """Who the mail says it is from."""
        return str(self.message.get("From", self.mail_from))

    @property
    def message_id(self) -> str | None:
        """The Message-ID with its angle brackets."""
        return _first(self.message, "Message-ID")

    @property
    def kind(self) -> str | None:
        """What mail it is, if it says so."""
        return mail_kind(self.message)

    @property
    def headers(self) -> list[tuple[str, str]]:
        """All headers in their order."""
        return [(name, str(value)) for name, value in self.message.items()]

    @property
    def text(self) -> str | None:
        """The plain text part."""
        return self._part("plain")

    @property
    def html(self) -> str | None:
        """The HTML part."""
        return self._part("html")

    def as_json(self) -> dict[str, Any]:
        """Everything a test wants to compare."""
        return {
            "id": self.id,
            "received_at": self.received_at.isoformat(),
            "from": self.sender,
            "to": list(self.recipients),
            "subject": self.subject,
            "message_id": self.message_id,
            "kind": self.kind,
            "headers": dict(self.headers),
            "text": self.text,
            "html": self.html,
        }

    def _part(self, subtype: str) -> str | None:
        part = self.message.get_body(preferencelist=(subtype,))
        if not isinstance(part, EmailMessage):
            return None
        # Lines end with CRLF on the way only; readers and tests expect plain ones.
        return str(part.get_content()).replace("\r\n", "\n")


def mail_kind(message: EmailMessage) -> str | None:
    """The kind: a header ending in ``-Kind``, else the Message-ID's first word."""
    for name, value in message.items():
        if name.lower().startswith("x-") and name.lower().endswith("-kind"):
            return str(value).strip()
    named = re.match(r"<([a-z][a-z0-9_-]*)\.", _first(message, "Message-ID") or "")
    return named.group(1) if named else None


def _first(message: EmailMessage, name: str) -> str | None:
    value = message.get(name)
    return None if value is None else str(value).strip()


class MailStore:
    """Reads and writes the file. One commit per mail, before the sender hears 250."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        # With a write-ahead log a commit survives kill -9 without waiting for the disk.
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.execute(_SCHEMA)

    def add(self, mail_from: str, recipients: Sequence[str], raw: bytes) -> None:
        """Keep a mail."""
        message = email.message_from_bytes(raw, policy=email.policy.default)
        self._connection.execute(
            "INSERT INTO mails "
            "(received_at, mail_from, recipients, message_id, kind, raw) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (
                datetime.now(UTC).isoformat(),
                mail_from,
                json.dumps([recipient.lower() for recipient in recipients]),
                _first(message, "Message-ID"),
                mail_kind(message),
                raw,
            ),
        )

    def find(
        self,
        *,
        to: str | None = None,
        kind: str | None = None,
        message_id: str | None = None,
    ) -> list[Mail]:
        """The mails with all of what is asked for, oldest first."""
        rows = self._connection.execute(
            "SELECT id, received_at, mail_from, recipients, raw FROM mails "
            "WHERE (:kind IS NULL OR kind = :kind) "
            "AND (:message_id IS NULL OR message_id = :message_id) "
            "AND (:to IS NULL OR EXISTS "
            "(SELECT 1 FROM json_each(recipients) WHERE value = :to)) ORDER BY id",
            {"to": to and to.lower(), "kind": kind, "message_id": message_id},
        )
        return [_mail(row) for row in rows]

    def get(self, mail_id: int) -> Mail | None:
        """One mail."""
        row = self._connection.execute(
            "SELECT id, received_at, mail_from, recipients, raw FROM mails "
            "WHERE id = ?",
            (mail_id,),
        ).fetchone()
        return row and _mail(row)

    def clear(self) -> int:
        """Forget all mails; how many there were."""
        return self._connection.execute("DELETE FROM mails").rowcount

    def close(self) -> None:
        """Write everything into the one file."""
        self._connection.close()


def _mail(row: tuple[int, str, str, str, bytes]) -> Mail:
    mail_id, received_at, mail_from, recipients, raw = row
    return Mail(
        mail_id,
        datetime.fromisoformat(received_at),
        mail_from,
        tuple(json.loads(recipients)),
        raw,
    )
