"""The sweep: finds runs that are gone although nobody presses a button or sends news.

Part of the starter loop. A run that waits is left to wait: it is only asked whether it
is there, for a hint would end its wait and make its history grow. Only rows that have
not moved for two minutes are looked at, 20 a minute at the most, and each at most once
in ten minutes by each process. A customer who should have heard from us by now is
looked at in the same way, and who waited for the end of a pause is one of them: their
run is told, since it may not know that the mail may leave.

Whose bought time is over is found here too, since no run stays for a year to notice.
Nothing is ended by the sweep: it knocks on the checkout's workflow, which is the only
one to open and end access.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID, uuid5

from api.parts import Parts
from api.repairs import Unfinished, look_or_repair, start_if_lost
from database.correspondence import owe_open_again
from database.sweeps import (
    EndedSubscription,
    StaleCheckout,
    list_stale,
    take_ended_subscriptions,
    unmark_asked,
)
from domain.messages import CheckoutInput, RepairRequest
from domain.words import moment_in_words
from workflows.door import DoorClosed

#: A run that is well has told its row of every step within seconds; a worker that died
#: is replaced within five.
STALE_AFTER = timedelta(minutes=2)

#: Between two sweeps of this process.
SWEEP_EVERY = timedelta(minutes=1)

#: Between two looks of this process at one checkout.
LOOK_EVERY = timedelta(minutes=10)

#: Looks per sweep; keeps a backlog from crowding out the buyers of now.
_BATCH = 20

#: Makes a repair's id from a subscription's: its end is asked for often and done once.
_ENDINGS = UUID("2c0f4b0e-8f5c-4a55-b1d4-6f1d6f3f5b8e")

#: Checkouts remembered; five times what ten minutes of full sweeps come to.
_MOST_REMEMBERED = 1000


class Sweep:
    """Looks for checkouts that no workflow looks after; remembers whom it asked.

    Args:
        parts: The parts of this process.
        clock: Seconds that only grow.
    """

    def __init__(
        self, parts: Parts, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._parts = parts
        self._clock = clock
        self._next_at = clock()
        #: When each checkout was looked at, oldest first.
        self._looked_at: OrderedDict[UUID, float] = OrderedDict()

    async def go(self) -> int:
        """Sweep, unless the last time was a moment ago.

        Returns:
            How many checkouts were looked at or asked to end.

        Raises:
            DoorClosed: Temporal is down; whoever was not reached is asked next time.
            RecordsUnavailable: The database is.
        """
        now = self._clock()
        if now < self._next_at:
            return 0
        self._next_at = now + SWEEP_EVERY.total_seconds()
        self._forget(now - LOOK_EVERY.total_seconds())
        await self._parts.records.write(
            lambda connection: owe_open_again(connection, _BATCH)
        )
        due = await self._parts.records.read(
            lambda connection: list_stale(
                connection, STALE_AFTER, _BATCH, besides=list(self._looked_at)
            )
        )
        ended = await self._parts.records.write(
            lambda connection: take_ended_subscriptions(connection, _BATCH)
        )
        # Side by side: each may take two full seconds while Temporal is down.
        asked = await asyncio.gather(
            *(self._look(one) for one in due),
            *(self._end(one) for one in ended),
            return_exceptions=True,
        )
        for error in asked:
            if error is not None:
                raise error
        return len(asked)

    async def _look(self, one: StaleCheckout) -> None:
        checkout = Unfinished(
            checkout_id=one.checkout_id,
            reference_code=one.reference_code,
            buyer_attempt=one.buyer_attempt,
        )
        if one.owes_word:
            await look_or_repair(self._parts.door, checkout, actor="starter")
        else:
            await start_if_lost(self._parts.door, checkout, actor="starter")
        self._looked_at[one.checkout_id] = self._clock()
        if len(self._looked_at) > _MOST_REMEMBERED:
            self._looked_at.popitem(last=False)

    async def _end(self, one: EndedSubscription) -> None:
        checkout = CheckoutInput(
            checkout_id=one.checkout_id, reference_code=one.reference_code
        )
        repair = RepairRequest(
            repair_id=uuid5(_ENDINGS, str(one.subscription_id)),
            actor="sweep",
            reason=f"the plan ended on {moment_in_words(one.ends_at)}",
        )
        try:
            await self._parts.door.request_repair(checkout, repair)
        except DoorClosed:
            await self._parts.records.write(
                lambda connection: unmark_asked(connection, one.subscription_id)
            )
            raise

    def _forget(self, before: float) -> None:
        while self._looked_at and next(iter(self._looked_at.values())) <= before:
            self._looked_at.popitem(last=False)
