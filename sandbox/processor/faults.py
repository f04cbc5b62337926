"""Fault switches: what goes wrong, with which requests, and how often.

A test may await the very moment a fault happens, and may hold a request there.
"""

import asyncio
import json
import re
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from sandbox.processor.errors import Json
from sandbox.processor.storage import Storage, encode
from sandbox.processor.work import new_id

#: What each action does, in the words of the human page.
ACTIONS = {
    "act_then_drop_reply": "Do what was asked, then lose the reply",
    "act_then_delay": "Do what was asked, then answer late",
    "act_then_hold": "Do what was asked, then wait for release before answering",
    "hold_then_act": "Wait for release, then do what was asked",
    "delay": "Wait, then do what was asked",
    "refuse": "Close the connection and do nothing",
    "throttle": "Answer 429, too many requests, and do nothing",
    "lock_timeout": "Answer 429, object locked, and do nothing",
    "error_500_before": "Do nothing and answer 500, for good under this key",
    "error_500_after": "Do what was asked and answer 500, for good under this key",
    "error_503": "Answer 503 and do nothing",
}
#: These stand for an execution that began, so a replay must not meet them.
FRESH_ONLY = frozenset({"error_500_before", "error_500_after"})
FOR_EVER = -1
_DEFAULT_SECONDS = {"act_then_hold": 300.0, "hold_then_act": 300.0}
_MATCHERS = ("method", "path_regex", "checkout_id")


@dataclass(slots=True, kw_only=True)
class Fault:
    """One switch.

    Attributes:
        id: Its id.
        action: One of ``ACTIONS``.
        match: Any of method, path_regex, checkout_id; what is absent matches all.
        times: How many requests it is for; -1 is for ever.
        seconds: Length of a delay, or the longest a hold may last.
        remaining: How many requests it will still meet; -1 is for ever.
        hits: How many requests it has met, counted once the fault has happened.
        created_at: Real epoch seconds.
        last_hit_at: Real epoch seconds, None before the first.
    """

    id: str
    action: str
    match: dict[str, str]
    times: int
    seconds: float
    remaining: int
    hits: int = 0
    created_at: float = 0.0
    last_hit_at: float | None = None

    def suits(self, method: str, path: str, checkout_id: str | None) -> bool:
        """Tell whether the request is one of those meant."""
        wanted = self.match
        return (
            self.remaining != 0
            and wanted.get("method", method).upper() == method
            and re.search(wanted.get("path_regex", ""), path) is not None
            and wanted.get("checkout_id", checkout_id) == checkout_id
        )


@dataclass(slots=True)
class _Moment:
    """What is awaited about one fault in this process."""

    hit: asyncio.Condition = field(default_factory=asyncio.Condition)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    held: int = 0
    idle: asyncio.Event = field(default_factory=asyncio.Event)


class Faults:
    """The switches that are set, in the order they were set; kept in storage."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        rows = storage.rows("SELECT body FROM faults ORDER BY rowid")
        loaded = [Fault(**_decoded(row["body"])) for row in rows]
        self._faults = {fault.id: fault for fault in loaded}
        self._moments: dict[str, _Moment] = {}
        self._stopping = asyncio.Event()

    def set(self, wanted: Json) -> Fault:
        """Set a switch, or raise ValueError with a sentence about what is wrong."""
        fault = _read(wanted)
        self._faults[fault.id] = fault
        with self._storage.transaction():
            self.save(fault)
        return fault

    def all(self) -> list[Fault]:
        """Every switch, spent ones too."""
        return list(self._faults.values())

    def get(self, identifier: str) -> Fault | None:
        """One switch."""
        return self._faults.get(identifier)

    def remove(self, identifier: str | None = None) -> int:
        """Remove one switch or all, letting held requests go; returns how many."""
        gone = [identifier] if identifier else list(self._faults)
        gone = [name for name in gone if self._faults.pop(name, None)]
        with self._storage.transaction():
            for name in gone:
                query = "DELETE FROM faults WHERE id = ?"
                self._storage.connection.execute(query, (name,))
        for name in gone:
            self._moment(name).released.set()
        return len(gone)

    def take(
        self, method: str, path: str, checkout_id: str | None, *, is_replay: bool
    ) -> Fault | None:
        """The first switch meant for this request; one of its times is used up."""
        for fault in self._faults.values():
            if is_replay and fault.action in FRESH_ONLY:
                continue
            if fault.suits(method, path, checkout_id):
                if fault.remaining > 0:
                    fault.remaining -= 1
                return fault
        return None

    def count(self, fault: Fault) -> None:
        """Count a hit; inside the caller's transaction."""
        fault.hits += 1
        fault.last_hit_at = time.time()
        self.save(fault)

    def save(self, fault: Fault) -> None:
        """Store the switch as it stands, unless it was removed meanwhile."""
        if fault.id in self._faults:
            self._storage.connection.execute(
                "INSERT INTO faults (id, body) VALUES (?, ?) "
                "ON CONFLICT (id) DO UPDATE SET body = excluded.body",
                (fault.id, encode(asdict(fault))),
            )

    async def announce(self, fault: Fault) -> None:
        """Wake those who wait for the hit; after its transaction committed."""
        moment = self._moment(fault.id)
        async with moment.hit:
            moment.hit.notify_all()

    async def wait_for_hits(self, fault: Fault, hits: int, timeout: float) -> None:  # noqa: ASYNC109 - It is the long poll's own parameter.
        """Return once the fault was hit that often, or the time is up."""
        moment = self._moment(fault.id)

        def is_over() -> bool:
            return fault.hits >= hits or self.is_stopping

        try:
            async with asyncio.timeout(timeout), moment.hit:
                await moment.hit.wait_for(is_over)
        except TimeoutError:
            return

    @property
    def is_stopping(self) -> bool:
        """True once the server is about to end: nothing more is to be done."""
        return self._stopping.is_set()

    async def pause(self, seconds: float) -> None:
        """Wait, but not past the server's end."""
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return

    async def hold(self, fault: Fault) -> None:
        """Wait for release, or for the longest time the fault allows."""
        moment = self._moment(fault.id)
        moment.held += 1
        moment.idle.clear()
        try:
            async with asyncio.timeout(fault.seconds):
                await moment.released.wait()
        except TimeoutError:
            return
        finally:
            moment.held -= 1

    def finished(self, fault: Fault) -> None:
        """A held request has been dealt with."""
        moment = self._moment(fault.id)
        if moment.held == 0:
            moment.idle.set()

    async def release(self, fault: Fault) -> None:
        """Let held requests go, later ones too, and wait until they are done."""
        moment = self._moment(fault.id)
        had_held = moment.held > 0
        moment.released.set()
        if had_held:
            patience = 5.0
            try:
                async with asyncio.timeout(patience):
                    await moment.idle.wait()
            except TimeoutError:
                return

    async def stop(self) -> None:
        """Let everything go: the server is stopping."""
        self._stopping.set()
        for moment in list(self._moments.values()):
            moment.released.set()
            async with moment.hit:
                moment.hit.notify_all()

    def describe(self, fault: Fault) -> Json:
        """The switch as the control API shows it."""
        return {
            **asdict(fault),
            "description": ACTIONS[fault.action],
            "held": self._moment(fault.id).held,
            "is_armed": fault.remaining != 0,
        }

    def _moment(self, identifier: str) -> _Moment:
        return self._moments.setdefault(identifier, _Moment())


def _decoded(body: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(body)
    return loaded


def _read(wanted: Json) -> Fault:
    """Check what a person or a test asked for."""
    unknown = set(wanted) - {"action", "match", "times", "seconds"}
    if unknown:
        raise ValueError(f"A fault has no {', '.join(sorted(unknown))}.")
    action = wanted.get("action")
    if action not in ACTIONS:
        raise ValueError(f"action is one of {', '.join(ACTIONS)}.")
    times = wanted.get("times", 1)
    if not isinstance(times, int) or times < FOR_EVER or times == 0:
        raise ValueError("times is a positive number, or -1 for ever.")
    seconds = float(wanted.get("seconds", _DEFAULT_SECONDS.get(action, 1.0)))
    if seconds < 0:
        raise ValueError("seconds is not negative.")
    return Fault(
        id=new_id("fault"),
        action=action,
        match=_read_match(wanted.get("match") or {}),
        times=times,
        seconds=seconds,
        remaining=times,
        created_at=time.time(),
    )


def _read_match(match: Any) -> dict[str, str]:
    if not isinstance(match, dict) or set(match) - set(_MATCHERS):
        raise ValueError(f"match has any of {', '.join(_MATCHERS)}.")
    kept = {name: str(value) for name, value in match.items() if value}
    try:
        re.compile(kept.get("path_regex", ""))
    except re.error as error:
        raise ValueError(f"path_regex is not a regular expression: {error}") from error
    return kept
