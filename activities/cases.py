"""Case activities: what support finds when a checkout does not get on by itself."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio import activity

from activities.failures import sorted_failures
from database import cases
from domain.messages import CloseCase, OpenCase, RecordRepair
from observability.logs import get_logger

_log = get_logger()


class CaseActivities:
    """What a checkout tells support.

    Args:
        engine: The application role's database.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @activity.defn
    async def open_case(self, case: OpenCase) -> None:
        """Put the checkout on support's list.

        Repeat: brings the one case up to date.
        Survives: a crash leaves the case as it was; the next round opens it.

        Raises:
            ApplicationError: `DatabaseAway` is repeated.
        """
        with sorted_failures():
            async with self._engine.begin() as connection:
                await cases.open_case(connection, case)
        _log.error(
            "needs_attention",
            checkout_id=str(case.checkout_id),
            step=case.step,
            cause=case.cause,
        )

    @activity.defn
    async def close_case(self, case: CloseCase) -> bool:
        """Take the checkout off support's list: it got on.

        Repeat: finds it closed.
        Survives: a crash leaves it open; a person finds nothing to do.

        Returns:
            Whether a case that only a person can close keeps it there.

        Raises:
            ApplicationError: `DatabaseAway` is repeated.
        """
        with sorted_failures():
            async with self._engine.begin() as connection:
                return await cases.close_case(connection, case.checkout_id)

    @activity.defn
    async def record_repair(self, record: RecordRepair) -> None:
        """Write down what a repair found and did.

        Repeat: the first outcome stands.
        Survives: a crash leaves the repair without outcome; the workflow writes it.

        Raises:
            ApplicationError: `DatabaseAway` is repeated.
        """
        with sorted_failures():
            async with self._engine.begin() as connection:
                await cases.record_repair(connection, record)
