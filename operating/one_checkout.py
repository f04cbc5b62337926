"""What commands about one checkout share: finding it, and saying what was done."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from database.checkouts import (
    CheckoutNotFound,
    CheckoutRow,
    find_by_reference,
    read_checkout,
)
from database.refunds import RefundRefused
from operating.address import ShopAddress
from operating.database import NotDone, on_database


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a command did: in a sentence, and for programs."""

    text: str
    content: dict[str, object] = field(default_factory=dict)


async def find_checkout(connection: AsyncConnection, name: str) -> CheckoutRow:
    """Read the checkout that an operator names by its id or its reference code.

    Raises:
        NotDone: There is none.
    """
    try:
        return await read_checkout(connection, UUID(name))
    except (ValueError, CheckoutNotFound):
        row = await find_by_reference(connection, name.strip().upper())
    if row is None:
        raise NotDone(f"No checkout is called {name}.")
    return row


def on_shop(
    shop: ShopAddress,
    work: Callable[[AsyncEngine], Awaitable[Said]],
    *,
    as_json: bool,
) -> None:
    """Do one thing in a shop, and say its sentence.

    Raises:
        DatabaseAway: The database did not do it.
        NotDone: It cannot be; `RefundRefused` and `ValueError` of `work` say why.
    """
    try:
        said = on_database(shop.database_url, work)
    except (RefundRefused, ValueError) as error:
        raise NotDone(str(error)) from error
    sys.stdout.write((json.dumps(said.content) if as_json else said.text) + "\n")
