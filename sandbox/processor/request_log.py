"""The request log and what can be counted from it: the oracle of tests."""

import time
from dataclasses import asdict, dataclass
from typing import Any

from sandbox.processor.errors import Json
from sandbox.processor.storage import Storage

_INSERT = """
INSERT INTO requests (request_id, at, method, path, idempotency_key, body_sha256,
    status, error_code, replayed, reply_dropped, fault, payment_intent,
    payment_intent_status, checkout_id)
VALUES (:request_id, :at, :method, :path, :idempotency_key, :body_sha256,
    :status, :error_code, :replayed, :reply_dropped, :fault, :payment_intent,
    :payment_intent_status, :checkout_id)
"""
_RECENT = """
SELECT * FROM requests
WHERE sequence > :since
  AND (:checkout_id IS NULL OR checkout_id = :checkout_id)
  AND (:payment_intent IS NULL OR payment_intent = :payment_intent)
ORDER BY sequence DESC LIMIT :limit
"""
_BY_STATUS = """
SELECT status, count(*) AS number FROM objects WHERE kind = :kind GROUP BY status
"""
_SUCCEEDED = """
SELECT id, payment_intent, checkout_id, settled_at,
       json_extract(body, '$.amount') AS amount,
       json_extract(body, '$.currency') AS currency,
       json_extract(body, '$.created') AS created,
       json_extract(body, '$.amount_refunded') AS amount_refunded
FROM objects WHERE kind = 'charge' AND status = 'succeeded' ORDER BY settled_at
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the log, without its number and time."""

    request_id: str
    method: str
    path: str
    idempotency_key: str | None
    body_sha256: str
    status: int | None
    error_code: str | None
    replayed: bool
    reply_dropped: bool
    fault: str | None
    payment_intent: str | None


def write(storage: Storage, entry: Entry) -> int:
    """Add a line, naming the intent's status as it now is; returns its number."""
    row = storage.connection.execute(
        "SELECT status, checkout_id FROM objects WHERE id = ?", (entry.payment_intent,)
    ).fetchone()
    cursor = storage.connection.execute(
        _INSERT,
        {
            **asdict(entry),
            "at": time.time(),
            "payment_intent_status": row["status"] if row else None,
            "checkout_id": row["checkout_id"] if row else None,
        },
    )
    return int(cursor.lastrowid or 0)


def mark_dropped(storage: Storage, sequence: int) -> None:
    """The client had gone before the reply was sent."""
    with storage.transaction():
        storage.connection.execute(
            "UPDATE requests SET reply_dropped = 1 WHERE sequence = ?", (sequence,)
        )


def read(
    storage: Storage,
    *,
    since: int = 0,
    limit: int = 1000,
    checkout_id: str | None = None,
    payment_intent: str | None = None,
) -> list[Json]:
    """The newest lines after ``since``, oldest of them first."""
    values: dict[str, Any] = {
        "since": since,
        "limit": limit,
        "checkout_id": checkout_id,
        "payment_intent": payment_intent,
    }
    lines = storage.rows(_RECENT, values)
    lines.reverse()
    return [
        {
            **line,
            "replayed": bool(line["replayed"]),
            "reply_dropped": bool(line["reply_dropped"]),
        }
        for line in lines
    ]


def summary(storage: Storage) -> Json:
    """Counts by status, and the succeeded charges of every checkout."""
    checkouts: dict[str, list[Json]] = {}
    succeeded = storage.rows(_SUCCEEDED)
    for charge in succeeded:
        line = {
            "charge": charge["id"],
            "payment_intent": charge["payment_intent"],
            "amount": charge["amount"],
            "currency": charge["currency"],
            "amount_refunded": charge["amount_refunded"],
            "created": charge["created"],
            "charged_at": charge["settled_at"],
        }
        # Charges of no checkout stand under the empty name.
        checkouts.setdefault(charge["checkout_id"] or "", []).append(line)
    counted = storage.rows("SELECT count(*) AS number FROM requests")
    return {
        "payment_intents": _counts(storage, "payment_intent"),
        "charges": _counts(storage, "charge"),
        "refunds": _counts(storage, "refund"),
        "succeeded_charges": len(succeeded),
        "requests": counted[0]["number"],
        "checkouts": checkouts,
    }


def _counts(storage: Storage, kind: str) -> dict[str, int]:
    rows = storage.rows(_BY_STATUS, {"kind": kind})
    return {row["status"]: row["number"] for row in rows}
