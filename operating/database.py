"""How a command does one thing in the database, and what it says when it cannot."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from database.engine import make_engine

T = TypeVar("T")


class DatabaseAway(Exception):
    """The database did not do it; the message says why, without its address."""


def do(database_url: str, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    """Do one thing in one transaction.

    Raises:
        DatabaseAway: It was not done, or it is not known whether it was.
    """

    async def run() -> T:
        engine = make_engine(database_url, pool_size=1, application_name="holdfast-cli")
        try:
            async with engine.begin() as connection:
                return await work(connection)
        finally:
            await engine.dispose()

    try:
        return asyncio.run(run())
    except (SQLAlchemyError, OSError) as error:
        cause = str(getattr(error, "orig", None) or error).strip().splitlines()
        raise DatabaseAway(
            f"The database did not answer as it should: {cause[0] if cause else error}"
        ) from error
