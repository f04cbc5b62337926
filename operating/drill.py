"""The rehearsal: a real test down every channel, and a row that says how it went."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping

import httpx
from sqlalchemy.ext.asyncio import AsyncConnection

from activities.alerts import Send, WatcherActivities, send_by_apprise
from database.audit import record_action
from database.oncall import write_drill
from domain.rota import Channel
from operating.address import ShopAddress
from operating.database import in_transaction
from operating.recording import did
from settings import OnCallSettings, load_on_call

#: What the watcher is called among the channels.
WATCHER = "watcher (heartbeat)"

_TITLE = "1 drill, nothing is wrong"


def drill(shop: ShopAddress, actor: str) -> int:
    """Rehearse; returns the exit code and says what arrived.

    Args:
        shop: Where the result is kept, and where the test leads to.
        actor: Who rehearses; kept with the result.

    Raises:
        SettingsError: The on-call lines are not understood.
        DatabaseAway: The test was sent; its result is not kept.
    """
    settings = load_on_call()
    results = asyncio.run(
        _reach_all(settings, text_of(actor, f"{shop.public_url}/support"))
    )
    gap = settings.on_call_gap
    sys.stdout.write(report_of(results, gap))

    async def keep(connection: AsyncConnection) -> None:
        await write_drill(connection, actor, results)
        taken = sum(results.values())
        action = did(actor, "drill.held", channels=len(results), taken=taken)
        await record_action(connection, action)

    in_transaction(shop.database_url, keep)
    is_whole = bool(settings.on_call_ways) and all(results.values())
    return 0 if is_whole and gap is None else 1


async def _reach_all(settings: OnCallSettings, text: str) -> dict[str, bool]:
    results = await rehearse(settings.on_call_ways, text)
    url = settings.on_call_heartbeat_url
    if url is not None:
        results |= {WATCHER: await _ask_watcher(url.get_secret_value())}
    return results


def text_of(actor: str, link: str) -> str:
    """Return what the test says, in the form of an alert."""
    return "\n".join(
        (
            f"{actor} rehearses the on-call channels.",
            "Already done: this reached you, so this channel works.",
            f"Do this: tell {actor} that it arrived; see {link}",
            "If you do nothing: nothing happens.",
        )
    )


async def rehearse(
    ways: tuple[Channel, ...], text: str, send: Send = send_by_apprise
) -> dict[str, bool]:
    """Send the test down every channel; returns by label whether it was taken."""
    sent: list[Awaitable[bool]] = [send(way, _TITLE, text) for way in ways]
    taken = await asyncio.gather(*sent)
    return {way.label: ok for way, ok in zip(ways, taken, strict=True)}


def report_of(results: Mapping[str, bool], gap: str | None) -> str:
    """Say line by line what was taken, and what is wrong with the whole."""
    lines = [
        f"{'taken' if ok else 'NOT TAKEN':10} {label}" for label, ok in results.items()
    ]
    if gap is not None:
        lines.append(gap)
    lines.append(
        "Now ask everybody whether it arrived: what was taken may still be lost."
        if any(results.values())
        else "Nobody was reached."
    )
    return "\n".join(lines) + "\n"


async def _ask_watcher(url: str) -> bool:
    async with httpx.AsyncClient() as client:
        beat: Callable[[], Awaitable[bool]] = WatcherActivities(client, url).beat
        return await beat()
