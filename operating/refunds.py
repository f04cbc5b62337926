"""Refunds from the command line: the row first, then a knock at the workflow."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncEngine

from api.telling import tell_refund
from database.audit import Outcome, digest_of, record_action
from database.checkouts import CheckoutRow
from database.refunds import (
    RefundRefused,
    cancel_refund,
    list_meant_to_take_back,
    request_refund,
)
from domain.messages import CheckoutInput
from domain.money import parse_money
from domain.refunds import CANCEL_WITHIN, RefundRequest, RefundRow
from domain.states import RefundState
from operating.address import ShopAddress
from operating.one_checkout import Said, find_checkout, on_shop
from operating.recording import did
from operating.telling import teller_of


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundOrder:
    """What an operator typed.

    Attributes:
        nth: Which refund of this amount it is: given twice, a command is one refund.
    """

    checkout: str
    amount: str
    actor: str
    reason: str
    keeps_access: bool
    nth: int = 1


def ask(shop: ShopAddress, order: RefundOrder, *, as_json: bool) -> None:
    """Ask for a refund, and say what was done.

    Raises:
        DatabaseAway: The database did not answer.
        NotDone: There is no such checkout, or the amount cannot be given back.
    """

    async def work(engine: AsyncEngine) -> Said:
        async with engine.begin() as connection:
            row = await find_checkout(connection, order.checkout)
        async with _refusals_written(engine, order.actor, "refund.asked", row):
            request = _request(order, row)
            refund = await _write(engine, row, request, order)
        told = await _knock(shop, engine, row, request)
        minutes = int(CANCEL_WITHIN.total_seconds()) // 60
        return Said(
            text=f"{request.amount} of {row.reference_code} goes back at "
            f"{refund.not_before:%H:%M} UTC, in {minutes} minutes. Until then: "
            f"refund {row.reference_code} --cancel "
            f"--id {short_id(refund.refund_id)}{told}",
            content={
                "refund_id": str(request.refund_id),
                "checkout_id": str(row.checkout_id),
                "not_before": refund.not_before.isoformat(),
            },
        )

    on_shop(shop, work, as_json=as_json)


def _request(order: RefundOrder, row: CheckoutRow) -> RefundRequest:
    return RefundRequest(
        refund_id=uuid4(),
        amount=parse_money(order.amount, row.price.currency),
        actor=order.actor,
        reason=order.reason,
        ends_access=not order.keeps_access,
    )


async def _write(
    engine: AsyncEngine, row: CheckoutRow, request: RefundRequest, order: RefundOrder
) -> RefundRow:
    async with engine.begin() as connection:
        refund, _ = await request_refund(
            connection, row.checkout_id, request, nth=order.nth
        )
        action = did(
            order.actor,
            "refund.asked",
            checkout_id=row.checkout_id,
            refund=str(request.refund_id),
            amount_minor=request.amount.amount_minor,
            currency=request.amount.currency,
            ends_access=request.ends_access,
            reason_sha256=digest_of(request.reason),
        )
        await record_action(connection, action)
    return refund


@asynccontextmanager
async def _refusals_written(
    engine: AsyncEngine, actor: str, action: str, row: CheckoutRow
) -> AsyncIterator[None]:
    """Keep in the audit that somebody was refused, whose own transaction is undone."""
    try:
        yield
    except (RefundRefused, ValueError):
        refused = did(
            actor, action, outcome=Outcome.REFUSED, checkout_id=row.checkout_id
        )
        async with engine.begin() as connection:
            await record_action(connection, refused)
        raise


def take_back(
    shop: ShopAddress, checkout: str, *, actor: str, refund: str | None, as_json: bool
) -> None:
    """Take a request back that was not sent.

    Args:
        shop: Where.
        checkout: Its id or reference code.
        actor: Who does it.
        refund: How the refund's id begins; None when only one can be meant.
        as_json: For programs.

    Raises:
        DatabaseAway: The database did not answer.
        NotDone: There is no such checkout, nothing can be taken back, or several could
            be meant.
    """

    async def work(engine: AsyncEngine) -> Said:
        async with engine.begin() as connection:
            row = await find_checkout(connection, checkout)
        async with _refusals_written(engine, actor, "refund.taken_back", row):
            one = await _cancel(engine, row, actor, refund)
        request = RefundRequest(
            refund_id=one.refund_id,
            amount=one.amount,
            actor=actor,
            reason="taken back",
            ends_access=one.ends_access,
        )
        told = await _knock(shop, engine, row, request)
        return Said(
            text=f"{one.amount} of {row.reference_code} stays: taken back.{told}",
            content={"refund_id": str(one.refund_id)},
        )

    on_shop(shop, work, as_json=as_json)


async def _cancel(
    engine: AsyncEngine, row: CheckoutRow, actor: str, named: str | None
) -> RefundRow:
    async with engine.begin() as connection:
        meant = await list_meant_to_take_back(connection, row.checkout_id)
        one = _which(row.reference_code, meant, named)
        _, is_taken = await cancel_refund(
            connection, row.checkout_id, one.refund_id, actor
        )
        if not is_taken:
            raise RefundRefused(_nothing_to_take_back(row.reference_code))
        action = did(
            actor,
            "refund.taken_back",
            checkout_id=row.checkout_id,
            refund=str(one.refund_id),
        )
        await record_action(connection, action)
    return one


def _which(code: str, meant: list[RefundRow], named: str | None) -> RefundRow:
    """Return the one refund that can be meant.

    Raises:
        RefundRefused: None can be taken back, or several could be meant.
    """
    if named is not None:
        wanted = named.strip().lower()
        meant = [
            one for one in meant if wanted and str(one.refund_id).startswith(wanted)
        ]
    waiting = [one for one in meant if one.state is RefundState.REQUESTED]
    if not waiting:
        raise RefundRefused(_nothing_to_take_back(code))
    if len(meant) > 1:
        lines = [
            f"{one.amount}, asked for by {one.actor}: --id {short_id(one.refund_id)}"
            for one in waiting
        ]
        lines += [
            f"{one.amount}, asked for by {one.actor}: taken back already"
            for one in meant
            if one not in waiting
        ]
        msg = f"Several refunds of {code} can be meant; say which. Nothing was changed."
        raise RefundRefused("\n".join([msg, *lines]))
    return waiting[0]


def _nothing_to_take_back(code: str) -> str:
    return f"{code} has no refund that can be taken back."


def short_id(refund_id: UUID) -> str:
    """Return what people call a refund at the command line."""
    return str(refund_id)[:8]


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
