"""One supervised process: started, watched, started again, stopped."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from stack.errors import StackError
from stack.processes import Launch, Reaper, Watched, end, last_lines, signal_group

#: The first death is answered at once; a child that keeps dying gets more and more
#: time, because what it needs (a port, a server) may need time itself.
BACKOFF_SECONDS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 10.0)

#: Ready for this long, a child has proved itself: its next death is a first one.
PROVEN_AFTER_SECONDS = 1.0

#: A child that dies this often before it was ever ready will not become ready.
HOPELESS_STARTS = 3

#: A child that lives but never becomes ready is reported after this.
START_LIMIT_SECONDS = 120

READINESS_POLL_SECONDS = 0.05


class Events(Protocol):
    """Who hears about a child."""

    def say(self, line: str) -> None:
        """One line for a person."""

    def spawned(self, child: "Child") -> None:
        """A process of it was started; it may not be ready yet."""

    def died(self, child: "Child", fate: str) -> None:
        """Its process ended, though nobody asked for it."""

    def restarted(self, child: "Child", previous_pid: int, seconds: float) -> None:
        """It is ready again, this long after its death."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How to run one child."""

    name: str
    launch: Callable[[], Launch]
    #: Whether it does its work now. Asked until it says yes; never raises.
    is_ready: Callable[[], Awaitable[bool]]
    #: Blocking work before each start, done in a thread.
    before_start: Callable[[], None] | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    #: Its part of the ten seconds an ordered stop may last.
    stop_share_seconds: float = 0.4


@dataclass(frozen=True, slots=True)
class Death:
    """One end of a child nobody asked for."""

    pid: int
    fate: str
    at: float


class Child:
    """One child and the task that keeps it up.

    Attributes:
        recipe: how it is run.
        log: where its output goes.
        current: its process, dead or alive; None before the first start.
    """

    def __init__(
        self, recipe: Recipe, *, log: Path, reaper: Reaper, events: Events
    ) -> None:
        self.recipe = recipe
        self.log = log
        self.current: Watched | None = None
        self._reaper = reaper
        self._events = events
        self._keeper: asyncio.Task[None] | None = None
        self._wanted = False
        self._ready = asyncio.Event()
        self._ready_since = 0.0
        self._hopeless: str | None = None

    @property
    def name(self) -> str:
        """What it is called in lines, logs and commands."""
        return self.recipe.name

    @property
    def pid(self) -> int | None:
        """Its process now; None while it is down."""
        if self.current is None or self.current.exited.is_set():
            return None
        return self.current.pid

    async def start(self) -> None:
        """Start it and return when it is ready.

        Raises:
            StackError: it died again and again before it was ever ready.
        """
        if self._keeper is None:
            self._wanted = True
            self._hopeless = None
            self._keeper = asyncio.create_task(self._keep(), name=self.name)
        ready = asyncio.create_task(self._ready.wait())
        try:
            await asyncio.wait(
                {ready, self._keeper},
                timeout=START_LIMIT_SECONDS,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            ready.cancel()
        if self._hopeless:
            raise StackError(self._hopeless)
        if not self._ready.is_set():
            raise StackError(
                f"{self.name} is not ready after {START_LIMIT_SECONDS} s. "
                f"The end of {self.log}:\n{last_lines(self.log)}"
            )

    async def stop(
        self, number: signal.Signals | None = None, *, share: float | None = None
    ) -> None:
        """End it and keep it down."""
        self._wanted = False
        if self.current is not None and self.pid is not None:
            await end(
                self.current,
                number or self.recipe.stop_signal,
                self.recipe.stop_share_seconds if share is None else share,
            )
        if self._keeper is not None:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeper
            self._keeper = None
        self._ready.clear()

    def kill(self) -> None:
        """End it this moment, without a chance to tidy up."""
        self._wanted = False
        if self.pid is not None:
            signal_group(self.pid, signal.SIGKILL)

    async def _keep(self) -> None:
        """Keep it up until nobody wants it any more."""
        deaths, death = 0, None
        was_ready = False
        while True:
            death = await self._live_once(death)
            if not self._wanted:
                return
            self._events.died(self, death.fate)
            was_ready = was_ready or self._ready.is_set()
            deaths = 1 if self._has_proved_itself(death) else deaths + 1
            self._ready.clear()
            if not was_ready and deaths >= HOPELESS_STARTS:
                self._hopeless = self._obituary(death)
                return
            await self._pause(deaths, death)

    def _has_proved_itself(self, death: Death) -> bool:
        ready_for = death.at - self._ready_since
        return self._ready.is_set() and ready_for > PROVEN_AFTER_SECONDS

    async def _live_once(self, previous: Death | None) -> Death:
        """One life of the child, from start to end."""
        try:
            if self.recipe.before_start is not None:
                await asyncio.to_thread(self.recipe.before_start)
            watched = self._reaper.start(self.recipe.launch(), log=self.log)
        except StackError as error:
            return Death(0, f"could not be started: {error}", time.monotonic())
        self.current = watched
        self._announce(watched, previous)
        readiness = asyncio.create_task(self._await_readiness(watched, previous))
        try:
            await watched.exited.wait()
        finally:
            readiness.cancel()
            with suppress(asyncio.CancelledError):
                await readiness
        return Death(watched.pid, watched.fate, time.monotonic())

    def _announce(self, watched: Watched, previous: Death | None) -> None:
        self._events.spawned(self)
        if previous is None:
            return
        seconds = time.monotonic() - previous.at
        self._events.say(
            f"{self.name} (pid {previous.pid}) {previous.fate}; "
            f"started again as pid {watched.pid} after {seconds:.1f} s"
        )

    async def _await_readiness(self, watched: Watched, previous: Death | None) -> None:
        while not await self.recipe.is_ready():  # noqa: ASYNC110 - it lives elsewhere.
            await asyncio.sleep(READINESS_POLL_SECONDS)
        if watched.exited.is_set():  # Somebody else answered in its place.
            return
        self._ready_since = time.monotonic()
        self._ready.set()
        if previous is not None:
            seconds = time.monotonic() - previous.at
            self._events.restarted(self, previous.pid, seconds)

    async def _pause(self, deaths: int, death: Death) -> None:
        delay = BACKOFF_SECONDS[min(deaths, len(BACKOFF_SECONDS)) - 1]
        if delay >= 1:
            self._events.say(
                f"{self.name} (pid {death.pid}) {death.fate}, {deaths} times in a row; "
                f"next start in {delay:.0f} s (see {self.log})"
            )
        await asyncio.sleep(delay)

    def _obituary(self, death: Death) -> str:
        return (
            f"{self.name} {death.fate} {HOPELESS_STARTS} times before it was ready. "
            f"The end of {self.log}:\n{last_lines(self.log)}"
        )
