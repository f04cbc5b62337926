"""The starter loop: finishes what a request had to leave behind.

Runs in every API process, every second. A press on Pay whose message to the workflow
got lost is sent again; one that nobody claimed in time is taken back, which makes "you
have not been charged" provably true; webhooks whose hint got lost are passed on again;
refunds and repairs whose workflow was not told are knocked for; findings are brought to
the on-call desk; letters that a person signed and that did not leave are handed over;
once a minute, checkouts whose run is gone are found and put right, and plans whose time
is over are asked to end. Each replica may do all of it at any time: every step is safe
to repeat.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta

from api.findings import pass_findings_on
from api.letters import hand_over
from api.parts import Parts
from api.records import RecordsUnavailable
from api.sweep import Sweep
from api.telling import pass_refund_on, pass_repair_on
from api.webhooks import pass_on
from database.cases import WaitingRepair, take_waiting_repairs, unmark_told
from database.checkouts import (
    take_unclaimed_requests,
    withdraw_requests,
)
from database.inbox import OVERDUE_AFTER, list_waiting
from database.reconciliation import read_age, tell_of_lateness
from database.refunds import WaitingRefund, take_waiting_refunds, unmark_knocked
from database.replies import list_waiting_replies
from domain.deadlines import WITHDRAW_AFTER
from domain.messages import CheckoutInput, PayRequest
from domain.reconciliation import is_late
from observability import logs, metrics
from workflows.door import DoorClosed

#: A request's own start has a second. Two more leave a busy worker time to claim it: a
#: request that is taken up here counts as interrupted, and its receipt says so.
UNCLAIMED_AFTER = timedelta(seconds=3)

#: Starts and hints per round; keeps a backlog from crowding out the buyers of now.
_BATCH = 20

#: By then a workflow knows what the processor answered it; most hints are none any
#: more.
_HINT_AFTER = timedelta(seconds=2)

_PAUSE_SECONDS = 1.0

#: Between two looks at the reconciliation's age.
_WATCH_EVERY_SECONDS = 30.0

_log = logs.get_logger("api.starter")


class Starter:
    """The loop, with what it remembers of outages so that it tells of each once.

    Args:
        parts: The parts of this process.
        clock: Seconds that only grow.
    """

    def __init__(
        self, parts: Parts, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._parts = parts
        self._outages: set[str] = set()
        self._sweep = Sweep(parts)
        self._clock = clock
        self._watch_at = clock()

    async def run(self) -> None:
        """Go round for ever; nothing but a cancellation ends it."""
        while True:
            await self.round()
            await asyncio.sleep(_PAUSE_SECONDS)

    async def round(self) -> None:
        """Do one round; an outage costs the round, never the loop."""
        for step in (
            self._start_unclaimed,
            self._withdraw,
            self._pass_hints_on,
            self._knock_for_refunds,
            self._knock_for_repairs,
            self._pass_findings_on,
            self._send_waiting_replies,
            self._find_lost_runs,
            self._watch_reconciliation,
        ):
            try:
                await step()
            except RecordsUnavailable as error:
                self._down("database", str(error))
                return
            except Exception:
                # One row that trips a step must not keep the other steps from theirs.
                _log.exception("a step of the starter loop failed", step=step.__name__)
        self._up("database")

    async def _start_unclaimed(self) -> None:
        unclaimed = await self._parts.records.write(
            lambda connection: take_unclaimed_requests(
                connection, UNCLAIMED_AFTER, _BATCH
            )
        )
        # Side by side: each may take its full second while Temporal is down.
        await asyncio.gather(*(self._start(request) for request in unclaimed))

    async def _start(self, request: PayRequest) -> None:
        try:
            await self._parts.door.pay(request)
        except DoorClosed as closed:
            metrics.STARTS.labels(by="starter_loop", outcome="deferred").inc()
            self._down("temporal", str(closed))
            return
        self._up("temporal")
        metrics.STARTS.labels(by="starter_loop", outcome="started").inc()
        _log.info("started late", checkout_id=str(request.checkout_id))

    async def _withdraw(self) -> None:
        withdrawn = await self._parts.records.write(
            lambda connection: withdraw_requests(connection, WITHDRAW_AFTER)
        )
        for checkout_id in withdrawn:
            metrics.WITHDRAWN.inc()
            _log.warning(
                "request to pay withdrawn: no workflow claimed it in time",
                checkout_id=str(checkout_id),
            )

    async def _pass_hints_on(self) -> None:
        waiting = await self._parts.records.read(
            lambda connection: list_waiting(
                connection,
                older_than=_HINT_AFTER,
                younger_than=OVERDUE_AFTER,
                limit=_BATCH,
            )
        )
        await asyncio.gather(*(pass_on(self._parts, event) for event in waiting))

    async def _knock_for_refunds(self) -> None:
        waiting = await self._parts.records.write(
            lambda connection: take_waiting_refunds(connection, _BATCH)
        )
        await asyncio.gather(*(self._knock(refund) for refund in waiting))

    async def _knock_for_repairs(self) -> None:
        waiting = await self._parts.records.write(
            lambda connection: take_waiting_repairs(connection, _BATCH)
        )
        await asyncio.gather(*(self._tell(one) for one in waiting))

    async def _tell(self, waiting: WaitingRepair) -> None:
        try:
            await pass_repair_on(self._parts.door, waiting.checkout, waiting.repair)
        except DoorClosed as closed:
            self._down("temporal", str(closed))
            await self._parts.records.write(
                lambda connection: unmark_told(connection, waiting.repair.repair_id)
            )

    async def _watch_reconciliation(self) -> None:
        """Measure how old the comparison with the processor is; say once when late."""
        now = self._clock()
        if now < self._watch_at:
            return
        self._watch_at = now + _WATCH_EVERY_SECONDS
        age = await self._parts.records.read(read_age)
        metrics.RECONCILIATION_AGE.set(age.total_seconds())
        if is_late(age):
            self._down("reconciliation", f"last compared {age} ago")
            await self._parts.records.write(tell_of_lateness)
        else:
            self._up("reconciliation")

    async def _knock(self, refund: WaitingRefund) -> None:
        checkout = CheckoutInput(
            checkout_id=refund.checkout_id, reference_code=refund.reference_code
        )
        try:
            await pass_refund_on(self._parts.door, checkout, refund.request)
        except DoorClosed as closed:
            self._down("temporal", str(closed))
            await self._parts.records.write(
                lambda connection: unmark_knocked(connection, refund.request.refund_id)
            )

    async def _pass_findings_on(self) -> None:
        try:
            await pass_findings_on(self._parts)
        except DoorClosed as closed:
            self._down("temporal", str(closed))

    async def _send_waiting_replies(self) -> None:
        """Hand letters over that somebody signed and that have not left.

        Beside the loop: a mail server may take 15 seconds to answer.
        """
        waiting = await self._parts.records.read(
            lambda connection: list_waiting_replies(connection, _BATCH)
        )
        for reply_id in waiting:
            work = hand_over(self._parts, reply_id)
            self._parts.background.start(work, name="hand a letter over")

    async def _find_lost_runs(self) -> None:
        try:
            reached = await self._sweep.go()
        except DoorClosed as closed:
            self._down("temporal", str(closed))
            return
        if reached:
            self._up("temporal")

    def _down(self, what: str, cause: str) -> None:
        if what not in self._outages:
            self._outages.add(what)
            _log.warning("starter loop waits", outage=what, cause=cause)

    def _up(self, what: str) -> None:
        if what in self._outages:
            self._outages.discard(what)
            _log.info("starter loop goes on", outage=what)
