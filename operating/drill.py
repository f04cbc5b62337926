"""The rehearsal: a real test down every channel, and a row that says how it went."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping

import httpx
from sqlalchemy.exc import SQLAlchemyError

from activities.alerts import Send, WatcherActivities, send_by_apprise
from database.engine import make_engine
from database.oncall import write_drill
from domain.rota import Channel
from settings import Settings, SettingsError, load_settings

#: What the watcher is called among the channels.
WATCHER = "watcher (heartbeat)"

_TITLE = "1 drill, nothing is wrong"


def drill(actor: str) -> int:
    """Rehearse; returns the exit code and says what arrived.

    Args:
        actor: Who rehearses; kept with the result.
    """
    try:
        settings = load_settings()
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return asyncio.run(_drill(settings, actor))


async def _drill(settings: Settings, actor: str) -> int:
    ways = settings.on_call_ways
    results = await rehearse(ways, text_of(actor, settings.on_call_setup.link))
    url = settings.on_call_heartbeat_url
    if url is not None:
        results |= {WATCHER: await _ask_watcher(url.get_secret_value())}
    sys.stdout.write(report_of(results, settings.on_call_gap))
    try:
        await _keep(settings, actor, results)
    except (SQLAlchemyError, OSError):
        sys.stderr.write("The database did not take the result: it is not kept.\n")
        return 1
    is_whole = bool(ways) and all(results.values())
    return 0 if is_whole and settings.on_call_gap is None else 1


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


async def _keep(settings: Settings, actor: str, results: Mapping[str, bool]) -> None:
    engine = make_engine(
        settings.database_url.get_secret_value(),
        pool_size=1,
        application_name="holdfast-cli",
    )
    try:
        async with engine.begin() as connection:
            await write_drill(connection, actor, results)
    finally:
        await engine.dispose()
