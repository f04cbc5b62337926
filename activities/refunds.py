"""Refund activities: what the database says and is told of money that goes back.

This class holds the database and nothing else; each method is one transaction.
"""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio import activity

from activities.failures import sorted_failures
from database import aftermath
from domain.refunds import (
    AskNextRefundStep,
    RecordRefunds,
    RecordSecondCharge,
    RefundsRecorded,
    RefundStep,
)


class RefundActivities:
    """What a checkout writes down after its charge.

    Args:
        engine: The application role's database.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @activity.defn
    async def next_refund_step(self, ask: AskNextRefundStep) -> RefundStep:
        """Say what is due, and mark it as begun.

        Repeat: what was begun is looked for at the processor before it is sent.
        Survives: a crash leaves a step begun or not; nothing was sent in either case.

        Raises:
            ApplicationError: `DatabaseAway` is repeated, `RowMissing` is not.
        """
        with sorted_failures():
            async with self._engine.begin() as connection:
                return await aftermath.next_refund_step(connection, ask)

    @activity.defn
    async def record_refunds(self, record: RecordRefunds) -> RefundsRecorded:
        """Write down what the processor shows, with the money state and any case.

        Repeat: finds it written, and tells of no news.
        Survives: a crash leaves none or all of it.

        Raises:
            ApplicationError: `DatabaseAway` is repeated, `RuleBroken` is not.
        """
        with sorted_failures():
            async with self._engine.begin() as connection:
                return await aftermath.record_refunds(connection, record)

    @activity.defn
    async def record_second_charge(self, record: RecordSecondCharge) -> bool:
        """Write down what was found of a second charge; a proven one owes a refund.

        Repeat: finds it decided.
        Survives: a crash leaves it suspected, or proven with its refund.

        Returns:
            Whether this call proved it.

        Raises:
            ApplicationError: `DatabaseAway` is repeated.
        """
        with sorted_failures():
            async with self._engine.begin() as connection:
                return await aftermath.record_second_charge(connection, record)
