"""Mails from the command line: what was refused, or came back, is sent again."""

from __future__ import annotations

from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncEngine

from api.telling import tell_repair
from database.audit import record_action
from database.cases import insert_repair
from database.emails import owe_again
from domain.messages import CheckoutInput, RepairRequest
from operating.address import ShopAddress
from operating.one_checkout import Said, find_checkout, on_shop
from operating.recording import did
from operating.telling import teller_of


def send_again(shop: ShopAddress, checkout: str, *, actor: str, as_json: bool) -> None:
    """Have every mail sent again that did not arrive.

    The rows are written first. When Temporal is down the shop's own loop tells it.

    Raises:
        DatabaseAway: The database did not answer.
        NotDone: There is no such checkout, or no such mail.
    """

    async def work(engine: AsyncEngine) -> Said:
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
            action = did(
                actor,
                "mail.sent_again",
                checkout_id=row.checkout_id,
                repair=str(repair.repair_id),
                mails=", ".join(kinds),
            )
            await record_action(connection, action)
        this = CheckoutInput(
            checkout_id=row.checkout_id, reference_code=row.reference_code
        )
        told = await _knock(shop, engine, this, repair)
        return Said(
            text=f"{row.reference_code} gets again: {', '.join(kinds)}.{told}",
            content={"checkout_id": str(row.checkout_id), "mails": list(kinds)},
        )

    on_shop(shop, work, as_json=as_json)


async def _knock(
    shop: ShopAddress,
    engine: AsyncEngine,
    checkout: CheckoutInput,
    repair: RepairRequest,
) -> str:
    if await tell_repair(await teller_of(shop, engine), checkout, repair):
        return ""
    return " Temporal does not answer; they leave as soon as it does."
