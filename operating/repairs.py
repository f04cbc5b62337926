"""A repair from the command line, through the one door.

Part of `cli.py`. The request is a row before the workflow is told: when Temporal is
away, the shop's own loop tells it later.
"""

from __future__ import annotations

from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncEngine

from api.telling import tell_repair
from database.audit import digest_of, record_action
from database.cases import insert_repair
from domain.messages import CheckoutInput, RepairRequest
from operating.address import ShopAddress
from operating.one_checkout import Said, find_checkout, on_shop
from operating.recording import did
from operating.telling import teller_of


def repair(
    shop: ShopAddress, checkout: str, *, actor: str, reason: str, as_json: bool
) -> None:
    """Have a checkout looked at afresh, and all done that is missing.

    Raises:
        DatabaseAway: The database did not answer; nothing was asked for.
        NotDone: There is no such checkout.
    """
    request = RepairRequest(repair_id=uuid4(), actor=actor, reason=reason)

    async def work(engine: AsyncEngine) -> Said:
        async with engine.begin() as connection:
            row = await find_checkout(connection, checkout)
            await insert_repair(connection, row.checkout_id, request)
            action = did(
                actor,
                "repair.asked",
                checkout_id=row.checkout_id,
                repair=str(request.repair_id),
                is_new=True,
                reason_sha256=digest_of(reason),
            )
            await record_action(connection, action)
        asked = CheckoutInput(
            checkout_id=row.checkout_id, reference_code=row.reference_code
        )
        content: dict[str, object] = {
            "repair_id": str(request.repair_id),
            "checkout_id": str(row.checkout_id),
        }
        if not await tell_repair(await teller_of(shop, engine), asked, request):
            text = (
                f"Temporal does not answer. The request for {row.reference_code} is "
                "kept, and carried out as soon as it does."
            )
            return Said(text=text, content=content | {"is_told": False})
        return Said(
            text=f"{row.reference_code} is being looked at afresh.",
            content=content | {"is_told": True},
        )

    on_shop(shop, work, as_json=as_json)
