"""Mails from the command line: what was refused, or came back, is sent again."""

from __future__ import annotations

from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncEngine

from database.cases import insert_repair
from database.emails import owe_again
from domain.messages import CheckoutInput, RepairRequest
from operating.one_checkout import find_checkout, on_shop
from settings import Settings
from workflows.door import CheckoutDoor, DoorClosed, connect


def send_again(checkout: str, actor: str) -> int:
    """Have every mail sent again that did not arrive; returns the exit code.

    The row is written first. When Temporal is down the sweep finds it there.
    """

    async def work(settings: Settings, engine: AsyncEngine) -> str:
        async with engine.begin() as connection:
            row = await find_checkout(connection, checkout)
            kinds = await owe_again(connection, row.checkout_id)
            if not kinds:
                msg = f"{row.reference_code} has no mail that was refused or came back."
                raise ValueError(msg)
            repair = RepairRequest(
                repair_id=uuid4(),
                actor=actor,
                reason=f"send again: {', '.join(kinds)}",
            )
            await insert_repair(connection, row.checkout_id, repair)
        this = CheckoutInput(
            checkout_id=row.checkout_id, reference_code=row.reference_code
        )
        told = await _knock(settings, this, repair)
        return f"{row.reference_code} gets again: {', '.join(kinds)}.{told}"

    return on_shop(work)


async def _knock(
    settings: Settings, checkout: CheckoutInput, repair: RepairRequest
) -> str:
    client = await connect(settings.temporal_address, settings.temporal_namespace)
    try:
        await CheckoutDoor(client).request_repair(checkout, repair)
    except DoorClosed:
        return " Temporal does not answer; they leave as soon as it does."
    return ""
