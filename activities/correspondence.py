"""Correspondence activities: finding out what a customer must hear, now and next."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio import activity

from activities.failures import sorted_failures
from database.correspondence import plan_correspondence
from domain.messages import Correspondence, PlanCorrespondence
from domain.working_hours import WorkingHours


class CorrespondenceActivities:
    """What a checkout owes to say.

    Args:
        engine: The application role's database.
        hours: When people are there.
    """

    def __init__(self, engine: AsyncEngine, hours: WorkingHours) -> None:
        self._engine = engine
        self._hours = hours

    @activity.defn
    async def plan_correspondence(self, plan: PlanCorrespondence) -> Correspondence:
        """Write every mail that is due into the outbox, and say when the next one is.

        Repeat: owes the same mails, once.
        Survives: a crash leaves the outbox as it was, or complete.

        Raises:
            ApplicationError: `DatabaseAway` is repeated, `RowMissing` is not.
        """
        with sorted_failures():
            async with self._engine.begin() as connection:
                return await plan_correspondence(connection, plan, self._hours)
