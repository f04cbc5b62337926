"""Order activities: what the database is told of a checkout, one commit each.

This class holds the database and nothing else. Each method opens one transaction and
commits it; a crash before the commit leaves nothing, one after it leaves everything.
"""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio import activity

from activities.failures import sorted_failures
from database import checkouts, emails, orders
from domain.messages import (
    OrderWritten,
    PaymentClaim,
    RecordAccess,
    RecordActionNeeded,
    RecordEmail,
    RecordNotCharged,
    StorePaymentIntent,
    WriteOrder,
)
from observability import metrics


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

        Repeat: finds the claim made and says so (`is_resumed`).
        Survives: a crash leaves the request unclaimed or claimed.

        Raises:
            ApplicationError: `DatabaseAway` is repeated, `RowMissing` is not.
        """
        with sorted_failures():
            async with self._engine.begin() as connection:
                return await checkouts.claim_payment(connection, checkout_id)

    @activity.defn
    async def store_payment_intent(self, store: StorePaymentIntent) -> None:
        """Write down which PaymentIntent will be confirmed, before it is.

        Repeat: writes the same.
        Survives: a crash leaves the PaymentIntent unconfirmed, so no money moved.

        Raises:
            ApplicationError: `DatabaseAway` is repeated.
        """
        with sorted_failures():
            async with self._engine.begin() as connection:
                await checkouts.store_payment_intent(connection, store)

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
    async def record_processing(self, checkout_id: UUID) -> None:
        """Let the page say that the bank was answered and the outcome is open.

        Repeat: finds it written.
        Survives: a crash leaves the way to the bank on the page; it is harmless.

        Raises:
            ApplicationError: `DatabaseAway` is repeated.
        """
        with sorted_failures():
            async with self._engine.begin() as connection:
                await checkouts.record_processing(connection, checkout_id)

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
    async def record_access(self, record: RecordAccess) -> None:
        """Write that the company's application opened access.

        Repeat: finds it written.
        Survives: a crash leaves access open and our row behind; the next run asks the
            application again, which answers the same under the same key.

        Raises:
            ApplicationError: `DatabaseAway` is repeated.
        """
        with sorted_failures():
            async with self._engine.begin() as connection:
                await orders.record_access(connection, record)
                row = await checkouts.read_checkout(connection, record.checkout_id)
            if row.charged_at is not None:
                waited = (datetime.now(UTC) - row.charged_at).total_seconds()
                # The processor tells whole seconds, so "at once" may come out negative.
                activity.metric_meter().create_histogram_float(
                    metrics.CHARGE_TO_ACCESS_SECONDS.name,
                    metrics.CHARGE_TO_ACCESS_SECONDS.description,
                ).record(max(0.0, waited))

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
