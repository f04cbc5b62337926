"""Refunds from the command line: the row first, then a knock at the workflow."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncEngine

from database.checkouts import CheckoutRow
from database.refunds import (
    RefundRefused,
    cancel_refund,
    cancellable_refund,
    mark_knocked,
    request_refund,
)
from domain.messages import CheckoutInput
from domain.money import parse_money
from domain.refunds import CANCEL_WITHIN, RefundRequest
from operating.one_checkout import find_checkout, on_shop
from settings import Settings
from workflows.door import CheckoutDoor, DoorClosed, connect


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundOrder:
    """What an operator typed."""

    checkout: str
    amount: str
    actor: str
    reason: str
    keeps_access: bool


def ask(order: RefundOrder) -> int:
    """Ask for a refund; returns the exit code and says what was done."""

    async def work(settings: Settings, engine: AsyncEngine) -> str:
        async with engine.begin() as connection:
            row = await find_checkout(connection, order.checkout)
            request = RefundRequest(
                refund_id=uuid4(),
                amount=parse_money(order.amount, row.price.currency),
                actor=order.actor,
                reason=order.reason,
                ends_access=not order.keeps_access,
            )
            refund = await request_refund(connection, row.checkout_id, request)
        told = await _knock(settings, engine, row, request)
        minutes = int(CANCEL_WITHIN.total_seconds()) // 60
        return (
            f"{request.amount} of {row.reference_code} goes back at "
            f"{refund.not_before:%H:%M} UTC, in {minutes} minutes. Until then: "
            f"refund {row.reference_code} --cancel --actor NAME.{told}"
        )

    return on_shop(work)


def take_back(checkout: str, actor: str) -> int:
    """Take the newest request back that was not sent; returns the exit code."""

    async def work(settings: Settings, engine: AsyncEngine) -> str:
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
        told = await _knock(settings, engine, row, request)
        return f"{refund.amount} of {row.reference_code} stays: taken back.{told}"

    return on_shop(work)


async def _knock(
    settings: Settings, engine: AsyncEngine, row: CheckoutRow, request: RefundRequest
) -> str:
    """Tell the workflow; when Temporal is down the starter loop does it later."""
    client = await connect(settings.temporal_address, settings.temporal_namespace)
    checkout = CheckoutInput(
        checkout_id=row.checkout_id, reference_code=row.reference_code
    )
    try:
        await CheckoutDoor(client).request_refund(checkout, request)
    except DoorClosed:
        return " Temporal does not answer; it is told as soon as it does."
    async with engine.begin() as connection:
        await mark_knocked(connection, request.refund_id)
    return ""
