"""A repair from the command line, through the one door.

Part of `cli.py`. The request is a row before the workflow is told: when Temporal is
away, the shop's own loop tells it later.
"""

from __future__ import annotations

import json
import sys
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from database.cases import insert_repair, mark_told
from database.checkouts import (
    CheckoutNotFound,
    CheckoutRow,
    find_by_reference,
    read_checkout,
)
from domain.messages import CheckoutInput, RepairRequest
from operating.address import ShopAddress
from operating.database import NotDone, on_database
from workflows.door import CheckoutDoor, DoorClosed, connect


def repair(
    shop: ShopAddress, checkout: str, *, actor: str, reason: str, as_json: bool
) -> None:
    """Have a checkout looked at afresh, and all done that is missing.

    Raises:
        DatabaseAway: The database did not answer; nothing was asked for.
        NotDone: There is no such checkout.
    """
    request = RepairRequest(repair_id=uuid4(), actor=actor, reason=reason)

    async def work(engine: AsyncEngine) -> tuple[CheckoutRow, bool]:
        async with engine.begin() as connection:
            row = await _find(connection, checkout)
            await insert_repair(connection, row.checkout_id, request)
        client = await connect(shop.temporal_address, shop.temporal_namespace)
        asked = CheckoutInput(
            checkout_id=row.checkout_id, reference_code=row.reference_code
        )
        try:
            await CheckoutDoor(client).request_repair(asked, request)
        except DoorClosed:
            return row, False
        async with engine.begin() as connection:
            await mark_told(connection, request.repair_id)
        return row, True

    row, is_told = on_database(shop.database_url, work)
    text = (
        f"{row.reference_code} is being looked at afresh."
        if is_told
        else f"Temporal does not answer. The request for {row.reference_code} is kept, "
        "and carried out as soon as it does."
    )
    content = {
        "repair_id": str(request.repair_id),
        "checkout_id": str(row.checkout_id),
        "is_told": is_told,
    }
    sys.stdout.write((json.dumps(content) if as_json else text) + "\n")


async def _find(connection: AsyncConnection, checkout: str) -> CheckoutRow:
    """Find a checkout by its id or by its reference code."""
    try:
        return await read_checkout(connection, UUID(checkout))
    except (ValueError, CheckoutNotFound):
        row = await find_by_reference(connection, checkout.strip().upper())
    if row is None:
        raise NotDone(f"No checkout is called {checkout}.")
    return row
