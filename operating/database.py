"""The database under the operator's commands: an outage is a sentence, not a trace.

Every command reaches the database through `on_database`, so that none of them answers
a person at three in the morning with a stack of frames.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from api.records import RecordsUnavailable
from database.engine import make_engine

T = TypeVar("T")


class DatabaseAway(Exception):
    """The database did not do it; the message says why, without its address."""


class NotDone(Exception):
    """What was asked for cannot be; the message says why, in a sentence."""


def on_database(database_url: str, work: Callable[[AsyncEngine], Awaitable[T]]) -> T:
    """Do a piece of work with an engine of its own, which holds one connection.

    Raises:
        DatabaseAway: It was not done, or it is not known whether it was.
    """

    async def run() -> T:
        engine = make_engine(database_url, pool_size=1, application_name="holdfast-cli")
        try:
            return await work(engine)
        finally:
            await engine.dispose()

    try:
        return asyncio.run(run())
    except (SQLAlchemyError, OSError, RecordsUnavailable) as error:
        cause = str(getattr(error, "orig", None) or error).strip().splitlines()
        raise DatabaseAway(
            f"The database did not answer as it should: {cause[0] if cause else error}"
        ) from error


def in_transaction(
    database_url: str, work: Callable[[AsyncConnection], Awaitable[T]]
) -> T:
    """Do one thing in one transaction.

    Raises:
        DatabaseAway: It was not done, or it is not known whether it was.
    """

    async def begin(engine: AsyncEngine) -> T:
        async with engine.begin() as connection:
            return await work(connection)

    return on_database(database_url, begin)
