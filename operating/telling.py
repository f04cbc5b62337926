"""What a command has at hand to tell a shop's workflows of a row."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from api.parts import Door
from api.records import Records
from operating.address import ShopAddress
from workflows.door import CheckoutDoor, connect


@dataclass(frozen=True, slots=True, kw_only=True)
class Teller:
    """A shop's database and the way to its workflows: an `api.telling.Messenger`."""

    records: Records
    door: Door


async def teller_of(shop: ShopAddress, engine: AsyncEngine) -> Teller:
    """Return what reaches a shop; Temporal may be down."""
    client = await connect(shop.temporal_address, shop.temporal_namespace)
    return Teller(records=Records(engine), door=CheckoutDoor(client))
