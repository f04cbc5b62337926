"""Order activities: what the database is told of a checkout, one commit each.

This class holds the database and nothing else. Each method opens one transaction and
commits it; a crash before the commit leaves nothing, one after it leaves everything.
"""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio import activity

from activities.failures import sorted_failures
from database import checkouts, emails, orders
from domain.messages import (
    OrderWritten,
    PaymentClaim,
    RecordActionNeeded,
    RecordAsked,
    RecordEmail,
    RecordNotCharged,
    RecordProcessing,
    StorePaymentIntent,
    WriteOrder,
)


class OrderActivities:
    """What a checkout writes down.

    Args:
        engine: The application role's database.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @activity.defn
    async def claim_payment(self, checkout_id: UUID) -> PaymentClaim:
        """Claim the buyer's request to pay, or say what stands there instead.

        Repeat: finds the claim made, and says whether a PaymentIntent is stored.
        Survives: a crash leaves the request unclaimed or claimed.

        Raises:
            ApplicationError: `DatabaseAway` is repeated, `RowMissing` is not.
        """
        with sorted_failures():
            async with self._engine.begin() as connection:
                return await checkouts.claim_payment(connection, checkout_id)

    @activity.defn
    async def store_payment_intent(self, store: StorePaymentIntent) -> bool:
        """Write down which PaymentIntent will be confirmed, before it is.

        Repeat: writes the same.
        Survives: a crash leaves the PaymentIntent unconfirmed, so no money moved.

        Returns:
            False when the attempt has ended or uses another PaymentIntent: nothing was
            written, and the caller must not confirm.

        Raises:
            ApplicationError: `DatabaseAway` is repeated.
        """
        with sorted_failures():
            try:
                async with self._engine.begin() as connection:
                    await checkouts.store_payment_intent(connection, store)
            except checkouts.AttemptMovedOn:
                return False
            return True

    @activity.defn
    async def record_action_needed(self, record: RecordActionNeeded) -> None:
        """Let the page send the buyer to the bank.

        Repeat: writes the same; nothing once the attempt has ended.
        Survives: a crash leaves the page at "confirming".

        Raises:
            ApplicationError: `DatabaseAway` is repeated.
        """
        with sorted_failures():
            async with self._engine.begin() as connection:
                await checkouts.record_action_needed(connection, record)

    @activity.defn
    async def record_processing(self, record: RecordProcessing) -> None:
        """Let the page say that the bank was answered and the outcome is open.

        Repeat: finds it written.
        Survives: a crash leaves the way to the bank on the page; it is harmless.

        Raises:
            ApplicationError: `DatabaseAway` is repeated.
        """
        with sorted_failures():
            async with self._engine.begin() as connection:
                await checkouts.record_processing(connection, record)

    @activity.defn
    async def record_asked(self, record: RecordAsked) -> None:
        """Let the page say when the processor was last asked.

        Repeat: writes the same; nothing once the attempt has ended.
        Survives: a crash leaves the time before.

        Raises:
            ApplicationError: `DatabaseAway`; the ladder goes on without.
        """
        with sorted_failures():
            async with self._engine.begin() as connection:
                await checkouts.record_asked(connection, record)

    @activity.defn
    async def record_not_charged(self, record: RecordNotCharged) -> None:
        """End an attempt with proof that no money moved.

        Repeat: finds the attempt ended.
        Survives: a crash leaves "confirming", which is still true enough to be asked
            again.

        Raises:
            ApplicationError: `DatabaseAway` is repeated.
        """
        with sorted_failures():
            async with self._engine.begin() as connection:
                await checkouts.record_not_charged(connection, record)

    @activity.defn
    async def record_charge(self, order: WriteOrder) -> None:
        """Let the page say that the money arrived, while the order cannot be written.

        Repeat: finds it written.
        Survives: a crash leaves the page at "confirming".

        Raises:
            ApplicationError: As `write_order`.
        """
        with sorted_failures():
            async with self._engine.begin() as connection:
                await orders.mark_charged(connection, order.checkout_id, order.charge)

    @activity.defn
    async def write_order(self, order: WriteOrder) -> OrderWritten:
        """Write order, subscription, entitlement and owed receipt in one commit.

        Repeat: finds all of it written, and returns the same ids.
        Survives: a crash leaves none or all of it.

        Raises:
            ApplicationError: `DatabaseAway` is repeated. `ChargeDisagrees` and
                `RuleBroken` are not: nothing was written and a person must look.
        """
        with sorted_failures():
            async with self._engine.begin() as connection:
                return await orders.write_order(connection, order)

    @activity.defn
    async def record_email(self, record: RecordEmail) -> None:
        """Write what became of an owed message.

        Repeat: finds it written; `sent` is never taken back.
        Survives: a crash after the mail left leads to a second copy with the same
            Message-ID.

        Raises:
            ApplicationError: `DatabaseAway` is repeated.
        """
        with sorted_failures():
            async with self._engine.begin() as connection:
                await emails.record_email(connection, record)
