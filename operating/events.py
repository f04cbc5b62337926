"""The inbox from the command line: what waits, telling it again, letting it be.

Part of `cli.py`. Listing and ignoring need the database alone; a replay tells the
workflows, by the same way as the webhook itself.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from api.telling import Messenger
from api.webhooks import apply_event
from database.audit import digest_of, record_action
from database.inbox import (
    InboxEvent,
    InboxRow,
    ignore_event,
    list_overdue,
    list_unapplied,
    note_replay,
    read_event,
)
from operating.address import ShopAddress
from operating.database import NotDone, in_transaction, on_database
from operating.recording import did
from operating.telling import teller_of
from workflows.door import DoorClosed

#: Events read at a time for a replay of all.
_BATCH = 200


@dataclass(slots=True)
class _Replay:
    """How far a replay has come: ids, and why it stopped, if it did."""

    told: list[str]
    stuck: list[str]
    trouble: str = ""


def list_events(database_url: str, *, limit: int, as_json: bool) -> None:
    """Show the events that wait and those that were ignored, newest first.

    Raises:
        DatabaseAway: The database did not answer.
    """
    rows = in_transaction(database_url, lambda c: list_unapplied(c, limit))
    lines = [_line(row) for row in rows] or ["No event waits, and none was ignored."]
    _say("\n".join(lines), {"events": [_as_json(row) for row in rows]}, as_json=as_json)


def ignore(
    database_url: str, event_id: str, *, actor: str, reason: str, as_json: bool
) -> None:
    """Let an event wait no more.

    Raises:
        DatabaseAway: The database did not answer.
        NotDone: It does not wait.
    """

    async def work(connection: AsyncConnection) -> bool:
        is_ignored = await ignore_event(
            connection, event_id, actor=actor, reason=reason
        )
        if is_ignored:
            action = did(
                actor,
                "event.ignored",
                event=event_id,
                reason_sha256=digest_of(reason),
            )
            await record_action(connection, action)
        return is_ignored

    is_ignored = in_transaction(database_url, work)
    row = in_transaction(database_url, lambda c: read_event(c, event_id))
    if row is None:
        raise NotDone(f"No event is called {event_id}.")
    if not is_ignored:
        raise NotDone(f"{event_id} does not wait: {_state(row)}.")
    text = f"{event_id} is ignored. To have it told after all: events replay {event_id}"
    _say(text, {"event": _as_json(row)}, as_json=as_json)


def replay(
    shop: ShopAddress, event_id: str | None, *, actor: str, as_json: bool
) -> None:
    """Tell the workflows of one event, whatever became of it, or of all that wait.

    Raises:
        DatabaseAway: The database did not answer.
        NotDone: There is no such event, or not all of them could be told.
    """

    async def work(engine: AsyncEngine) -> _Replay:
        messenger = await teller_of(shop, engine)
        # One row for the command; which events it told stands with each of them.
        asked = did(actor, "events.replayed", event=event_id)
        if event_id is None:
            await messenger.records.write(lambda c: record_action(c, asked))
            return await _replay_all(messenger, actor)
        row = await messenger.records.read(lambda c: read_event(c, event_id))
        if row is None:
            raise NotDone(f"No event is called {event_id}.")
        await messenger.records.write(lambda c: record_action(c, asked))
        done = _Replay(told=[], stuck=[])
        await _tell(messenger, row.event, actor, done)
        return done

    done = on_database(shop.database_url, work)
    told = f"{len(done.told)} of {len(done.told) + len(done.stuck)} events were told."
    if done.stuck:
        raise NotDone(f"{done.trouble} {told} What was not told waits as before.")
    text = told if done.told else "No event waits."
    _say(text, {"replayed": done.told}, as_json=as_json)


async def _replay_all(messenger: Messenger, actor: str) -> _Replay:
    """Tell of all that wait, oldest first; stop where Temporal is down."""
    done = _Replay(told=[], stuck=[])
    while True:
        waiting = await messenger.records.read(
            lambda c: list_overdue(c, timedelta(), _BATCH)
        )
        for event in waiting:
            await _tell(messenger, event, actor, done)
            if done.trouble:
                return done
        if not waiting:
            return done


async def _tell(
    messenger: Messenger, event: InboxEvent, actor: str, done: _Replay
) -> None:
    """Tell of one event, and write down by whose wish.

    Raises:
        RecordsUnavailable: The database did not answer; it may have been told.
    """
    try:
        await apply_event(messenger, event)
    except DoorClosed:
        done.stuck.append(event.event_id)
        done.trouble = "Temporal does not answer."
        return
    await messenger.records.write(lambda c: note_replay(c, event, actor=actor))
    done.told.append(event.event_id)


def _line(row: InboxRow) -> str:
    event = row.event
    about = event.checkout_id or event.payment_intent_id or "nothing of ours"
    return (
        f"{event.event_id}  {event.kind}  about {about}  "
        f"received {_at(row.received_at)}  {_state(row)}"
    )


def _state(row: InboxRow) -> str:
    if row.applied_at is not None:
        return f"it was told on {_at(row.applied_at)}"
    if row.ignored_at is not None:
        return f"ignored by {row.ignored_by}: {row.ignored_reason}"
    return "waits"


def _as_json(row: InboxRow) -> dict[str, Any]:
    event = row.event
    return {
        "event_id": event.event_id,
        "kind": event.kind,
        "payment_intent_id": event.payment_intent_id,
        "checkout_id": str(event.checkout_id) if event.checkout_id else None,
        "received_at": row.received_at.isoformat(),
        "is_waiting": row.is_waiting,
        "applied_at": row.applied_at.isoformat() if row.applied_at else None,
        "ignored_at": row.ignored_at.isoformat() if row.ignored_at else None,
        "ignored_by": row.ignored_by,
        "ignored_reason": row.ignored_reason,
    }


def _at(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%d %b %Y, %H:%M} UTC"


def _say(text: str, content: dict[str, Any], *, as_json: bool) -> None:
    sys.stdout.write((json.dumps(content) if as_json else text) + "\n")
