"""What people do at the on-call desk from the command line."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from database.oncall import DeskOverview, OpenIncident, read_desk
from domain.desk import Answer, Answered
from operating.address import ShopAddress
from operating.database import NotDone, in_transaction
from settings import OnCallSettings, load_on_call
from workflows.desk import OnCallDesk
from workflows.door import DoorClosed, connect


def show(database_url: str, *, as_json: bool, is_ours: bool = True) -> None:
    """Say what is open, and how often somebody was woken this month.

    Args:
        database_url: Whose rows are read.
        as_json: For programs.
        is_ours: The settings at hand are this shop's, so that a gap in them counts.

    Raises:
        DatabaseAway: It could not be read.
        SettingsError: The on-call lines are not understood.
    """
    settings = load_on_call()
    gap = settings.on_call_gap if is_ours else None
    zone = settings.on_call_people.hours.zone
    month_began = datetime.now(zone).replace(
        day=1, hour=0, minute=0, second=0, microsecond=0
    )
    found = in_transaction(database_url, lambda c: read_desk(c, month_began))
    text = (
        json.dumps(_as_json(found, settings, gap))
        if as_json
        else "\n".join(_lines(found, settings, gap))
    )
    sys.stdout.write(f"{text}\n")


def acknowledge(shop: ShopAddress, code: str, who: str) -> None:
    """Take an incident.

    Raises:
        NotDone: No such incident, or nobody answered.
    """
    _answer(shop, lambda desk: desk.acknowledge(Answer(code=code, who=who)))


def snooze(shop: ShopAddress, code: str, who: str, hours: float, reason: str) -> None:
    """Silence an incident for so long.

    Raises:
        NotDone: No such incident, or nobody answered.
    """
    until = datetime.now(UTC) + timedelta(hours=hours)
    answer = Answer(code=code, who=who, until=until, reason=reason)
    _answer(shop, lambda desk: desk.snooze(answer))


def resolve(shop: ShopAddress, code: str, who: str) -> None:
    """End an incident.

    Raises:
        NotDone: No such incident, or nobody answered.
    """
    _answer(shop, lambda desk: desk.resolve(Answer(code=code, who=who)))


def _answer(
    shop: ShopAddress, say: Callable[[OnCallDesk], Awaitable[Answered]]
) -> None:
    async def go() -> Answered:
        client = await connect(shop.temporal_address, shop.temporal_namespace)
        return await say(OnCallDesk(client))

    try:
        answered = asyncio.run(go())
    except DoorClosed:
        msg = (
            "Temporal or its worker did not answer: it may have been taken. "
            "Look with: cli.py on-call show"
        )
        raise NotDone(msg) from None
    if not answered.is_done:
        raise NotDone(answered.text)
    sys.stdout.write(f"{answered.text}\n")


def _lines(found: DeskOverview, settings: OnCallSettings, gap: str | None) -> list[str]:
    lines = [line for one in found.incidents for line in _incident(one)]
    lines = lines or ["Nothing is wrong."]
    lines += [
        "",
        f"{found.night_pages:4} of {settings.on_call_night_pages} pages at night "
        "this month",
        f"{found.undelivered:4} alerts that no channel took, in the last day",
        f"{found.findings_waiting:4} findings on their way to the desk",
        f"Rehearsed: {_at(found.drilled_at) if found.drilled_at else 'never'}",
    ]
    if gap is not None:
        lines.append(gap)
    return lines


def _incident(one: OpenIncident) -> list[str]:
    standing = [
        f"since {_at(one.opened_at)}",
        f"told {_at(one.told_at)}" if one.told_at else "told to nobody yet",
        f"{one.acknowledged_by} has it" if one.acknowledged_by else "",
        f"silent until {_at(one.snoozed_until)}" if one.snoozed_until else "",
        f"checkout paused {_at(one.paused_at)}" if one.paused_at else "",
        one.why,
    ]
    return [
        f"{one.code}  {one.title}",
        f"        {'; '.join(part for part in standing if part)}",
    ]


def _as_json(
    found: DeskOverview, settings: OnCallSettings, gap: str | None
) -> dict[str, Any]:
    return {
        "incidents": [
            {
                "code": one.code,
                "title": one.title,
                "level": one.level,
                "why": one.why,
                "opened_at": one.opened_at.isoformat(),
                "acknowledged_by": one.acknowledged_by or None,
            }
            for one in found.incidents
        ],
        "night_pages": found.night_pages,
        "night_pages_a_month": settings.on_call_night_pages,
        "undelivered": found.undelivered,
        "findings_waiting": found.findings_waiting,
        "drilled_at": found.drilled_at.isoformat() if found.drilled_at else None,
        "gap": gap,
    }


def _at(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%d %b, %H:%M} UTC"
