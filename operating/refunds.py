"""Refunds from the command line: the row first, then a knock at the workflow."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncEngine

from api.telling import tell_refund
from database.checkouts import CheckoutRow
from database.refunds import (
    RefundRefused,
    cancel_refund,
    cancellable_refund,
    request_refund,
)
from domain.messages import CheckoutInput
from domain.money import parse_money
from domain.refunds import CANCEL_WITHIN, RefundRequest
from operating.address import ShopAddress
from operating.one_checkout import Said, find_checkout, on_shop
from operating.telling import teller_of


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundOrder:
    """What an operator typed."""

    checkout: str
    amount: str
    actor: str
    reason: str
    keeps_access: bool


def ask(shop: ShopAddress, order: RefundOrder, *, as_json: bool) -> None:
    """Ask for a refund, and say what was done.

    Raises:
        DatabaseAway: The database did not answer.
        NotDone: There is no such checkout, or the amount cannot be given back.
    """

    async def work(engine: AsyncEngine) -> Said:
        async with engine.begin() as connection:
            row = await find_checkout(connection, order.checkout)
            request = RefundRequest(
                refund_id=uuid4(),
                amount=parse_money(order.amount, row.price.currency),
                actor=order.actor,
                reason=order.reason,
                ends_access=not order.keeps_access,
            )
            refund, _ = await request_refund(connection, row.checkout_id, request)
        told = await _knock(shop, engine, row, request)
        minutes = int(CANCEL_WITHIN.total_seconds()) // 60
        return Said(
            text=f"{request.amount} of {row.reference_code} goes back at "
            f"{refund.not_before:%H:%M} UTC, in {minutes} minutes. Until then: "
            f"refund {row.reference_code} --cancel{told}",
            content={
                "refund_id": str(request.refund_id),
                "checkout_id": str(row.checkout_id),
                "not_before": refund.not_before.isoformat(),
            },
        )

    on_shop(shop, work, as_json=as_json)


def take_back(shop: ShopAddress, checkout: str, *, actor: str, as_json: bool) -> None:
    """Take the newest request back that was not sent.

    Raises:
        DatabaseAway: The database did not answer.
        NotDone: There is no such checkout, or nothing can be taken back.
    """

    async def work(engine: AsyncEngine) -> Said:
        async with engine.begin() as connection:
            row = await find_checkout(connection, checkout)
            refund = await cancellable_refund(connection, row.checkout_id)
            if refund is None or not await cancel_refund(
                connection, refund.refund_id, actor
            ):
                msg = f"{row.reference_code} has no refund that can be taken back."
                raise RefundRefused(msg)
        request = RefundRequest(
            refund_id=refund.refund_id,
            amount=refund.amount,
            actor=actor,
            reason="taken back",
            ends_access=refund.ends_access,
        )
        told = await _knock(shop, engine, row, request)
        return Said(
            text=f"{refund.amount} of {row.reference_code} stays: taken back.{told}",
            content={"refund_id": str(refund.refund_id)},
        )

    on_shop(shop, work, as_json=as_json)


async def _knock(
    shop: ShopAddress, engine: AsyncEngine, row: CheckoutRow, request: RefundRequest
) -> str:
    """Tell the workflow; when Temporal is down the starter loop does it later."""
    checkout = CheckoutInput(
        checkout_id=row.checkout_id, reference_code=row.reference_code
    )
    if await tell_refund(await teller_of(shop, engine), checkout, request):
        return ""
    return " Temporal does not answer; it is told as soon as it does."
