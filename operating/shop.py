"""What the operator's commands do in the shop's database, and what they say.

Part of `cli.py`. It needs the address of the database and nothing else, so that new
payments can be paused while everything else is down.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from database.audit import digest_of, record_action
from database.overview import Overview, read_overview
from database.pauses import Pause, pause_payments, resume_payments
from operating.database import in_transaction
from operating.recording import did


def pause(database_url: str, *, reason: str, actor: str, as_json: bool) -> None:
    """Stop new payments."""

    async def work(connection: AsyncConnection) -> Pause:
        made = await pause_payments(connection, reason=reason, actor=actor)
        action = did(
            actor,
            "payments.paused",
            is_new=made.is_new,
            reason_sha256=digest_of(reason),
        )
        await record_action(connection, action)
        return made

    made = in_transaction(database_url, work)
    since = f"New payments are paused since {_at(made.paused_at)}"
    text = (
        f"{since}. What was requested before goes on. End it with: cli.py resume"
        if made.is_new
        else f"{since} already, by {made.actor}: {made.reason}"
    )
    _say(text, {"paused": _pause(made), "is_new": made.is_new}, as_json=as_json)


def resume(database_url: str, *, actor: str, as_json: bool) -> None:
    """Take new payments again."""

    async def work(connection: AsyncConnection) -> Pause | None:
        ended = await resume_payments(connection, actor=actor)
        action = did(actor, "payments.resumed", is_new=ended is not None)
        await record_action(connection, action)
        return ended

    ended = in_transaction(database_url, work)
    text = (
        "New payments were not paused."
        if ended is None
        else "New payments are taken again. Who waited for it gets a mail."
    )
    _say(text, {"paused": None, "is_new": ended is not None}, as_json=as_json)


def status(database_url: str, *, as_json: bool) -> None:
    """Say where the shop stands."""
    found = in_transaction(database_url, read_overview)
    _say(_in_words(found), _as_json(found), as_json=as_json)


def _in_words(found: Overview) -> str:
    lines = [
        f"New payments are paused since {_at(found.pause.paused_at)}, by "
        f"{found.pause.actor}: {found.pause.reason}"
        if found.pause
        else "New payments are taken.",
        "",
        *(
            f"{pair.count:8}  money {pair.money}, access {pair.access}"
            for pair in found.checkouts
        ),
        f"{found.need_attention:8}  need attention",
        f"{found.promises_overdue:8}  promised words overdue",
        f"{found.waiting_for_reopening:8}  to be told when payments are taken again",
    ]
    return "\n".join(lines)


def _as_json(found: Overview) -> dict[str, Any]:
    return {
        "paused": _pause(found.pause) if found.pause else None,
        "checkouts": [
            {"money": pair.money, "access": pair.access, "count": pair.count}
            for pair in found.checkouts
        ],
        "need_attention": found.need_attention,
        "promises_overdue": found.promises_overdue,
        "waiting_for_reopening": found.waiting_for_reopening,
    }


def _pause(pause: Pause) -> dict[str, str]:
    return {
        "paused_at": pause.paused_at.isoformat(),
        "reason": pause.reason,
        "actor": pause.actor,
    }


def _at(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%d %b %Y, %H:%M} UTC"


def _say(text: str, content: dict[str, Any], *, as_json: bool) -> None:
    sys.stdout.write((json.dumps(content) if as_json else text) + "\n")
