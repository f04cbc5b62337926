"""What commands about one checkout share: finding it, and saying what was done."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from database.checkouts import (
    CheckoutNotFound,
    CheckoutRow,
    find_by_reference,
    read_checkout,
)
from database.engine import make_engine
from database.refunds import RefundRefused
from settings import Settings, SettingsError, load_settings


async def find_checkout(connection: AsyncConnection, name: str) -> CheckoutRow:
    """Read the checkout that an operator names by its id or its reference code.

    Raises:
        CheckoutNotFound: There is none.
    """
    try:
        return await read_checkout(connection, UUID(name))
    except ValueError:
        row = await find_by_reference(connection, name.strip().upper())
    if row is None:
        raise CheckoutNotFound(name)
    return row


def on_shop(work: Callable[[Settings, AsyncEngine], Awaitable[str]]) -> int:
    """Do one thing in the shop of the settings, and say its sentence.

    A `ValueError` of `work` is a sentence too, of what could not be done.

    Returns:
        The exit code.
    """

    async def go(settings: Settings) -> str:
        engine = make_engine(
            settings.database_url.get_secret_value(),
            pool_size=1,
            application_name="holdfast-cli",
        )
        try:
            return await work(settings, engine)
        finally:
            await engine.dispose()

    try:
        said = asyncio.run(go(load_settings()))
    except CheckoutNotFound as error:
        sys.stderr.write(f"No checkout is called {error}.\n")
        return 1
    except (RefundRefused, SettingsError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{said}\n")
    return 0
