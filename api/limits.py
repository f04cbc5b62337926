"""How often one caller may do a thing: moving windows in this process's memory.

The windows of the `limits` package were tried: its memory storage walks over every
known caller in a thread after each hit, and never forgets one. A stranger with many
addresses could fill and freeze the process with it.
"""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from math import ceil

from starlette.requests import Request

#: Callers remembered per window. Beyond it the one unseen for longest is forgotten.
_MOST_CALLERS = 50_000

#: An IPv6 customer owns at least this many leading bits, and may use all the rest.
_IPV6_PREFIX = 64


class TooOften(Exception):
    """A caller did a thing too often; nothing was done for this request.

    Attributes:
        retry_after_seconds: Whole seconds until it would be let through.
    """

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(f"retry after {retry_after_seconds} s")
        self.retry_after_seconds = retry_after_seconds


class Window:
    """At most so many passes per caller in any stretch of time so long.

    Args:
        most: Passes allowed.
        within: The stretch of time.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        most: int,
        within: timedelta,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = most
        self._seconds = within.total_seconds()
        self._clock = clock
        self._passes: OrderedDict[str, deque[float]] = OrderedDict()

    def enter(self, caller: str) -> None:
        """Count one pass.

        Raises:
            TooOften: The caller's window is full; this try is not counted.
        """
        now = self._clock()
        passes = self._passes.setdefault(caller, deque())
        self._passes.move_to_end(caller)
        while passes and passes[0] <= now - self._seconds:
            passes.popleft()
        if len(passes) >= self._most:
            raise TooOften(max(1, ceil(passes[0] + self._seconds - now)))
        passes.append(now)
        if len(self._passes) > _MOST_CALLERS:
            self._passes.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Limits:
    """Every window of the API.

    Attributes:
        checkouts: New checkouts, per address.
        payments: Presses on Pay, per address.
        checks: Presses on "Check again", per address.
        messages: Messages written to us, per address.
        messages_of_one: Messages written to us, per checkout.
        hints: Hints passed on to one checkout's workflow, whose history is finite.
        links_asked: Sign-in links asked for, per address.
        links_sent: Sign-in links asked for, per mailbox.
        sign_ins: Tries to use a sign-in link, per address.
    """

    checkouts: Window
    payments: Window
    checks: Window
    messages: Window
    messages_of_one: Window
    hints: Window
    links_asked: Window
    links_sent: Window
    sign_ins: Window


def make_limits(per_minute: int) -> Limits:
    """Return fresh windows; `per_minute` is the operator's setting."""
    minute, quarter = timedelta(minutes=1), timedelta(minutes=15)
    return Limits(
        checkouts=Window(per_minute, minute),
        payments=Window(per_minute, minute),
        checks=Window(per_minute, minute),
        messages=Window(per_minute, minute),
        messages_of_one=Window(10, quarter),
        hints=Window(12, minute),
        links_asked=Window(20, quarter),
        links_sent=Window(4, quarter),
        sign_ins=Window(30, quarter),
    )


def caller_of(request: Request) -> str:
    """Name who asks, for counting: the address, or the network that IPv6 hands out.

    uvicorn has already replaced it by `X-Forwarded-For` where a trusted proxy spoke.
    """
    host = request.client.host if request.client else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, _IPV6_PREFIX), strict=False))
    return str(address)
