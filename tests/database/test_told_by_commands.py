"""What the operator's commands tell a workflow, and what stays in the row."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from uuid import UUID

import pytest

from api.telling import WHY
from domain.states import Stage
from operating import refunds, repairs
from operating.address import ShopAddress
from operating.refunds import RefundOrder
from tests.api.doubles import FakeDoor
from tests.conftest import Database
from tests.database.conftest import OpenCheckout

pytestmark = pytest.mark.postgres

WORDS = "Mara Lind telephoned"


def _repair(shop: ShopAddress, checkout_id: UUID) -> None:
    repairs.repair(shop, str(checkout_id), actor="dana", reason=WORDS, as_json=False)


def _refund(shop: ShopAddress, checkout_id: UUID) -> None:
    order = RefundOrder(
        checkout=str(checkout_id),
        amount="9.00",
        actor="dana",
        reason=WORDS,
        keeps_access=True,
    )
    refunds.ask(shop, order, as_json=False)


@pytest.mark.parametrize(
    "case",
    [
        (_repair, "SELECT reason, told_at IS NOT NULL FROM repairs"),
        (_refund, "SELECT reason, knocked_at IS NOT NULL FROM refunds"),
    ],
    ids=["repair", "refund"],
)
async def test_no_history_keeps_what_an_operator_typed(
    shop: ShopAddress,
    database: Database,
    open_checkout: OpenCheckout,
    door: FakeDoor,
    case: tuple[Callable[[ShopAddress, UUID], None], str],
) -> None:
    """Temporal is told that it was asked for; a row, which can be erased, says why."""
    command, told = case
    checkout_id = await open_checkout(Stage.CHARGED)

    await asyncio.to_thread(command, shop, checkout_id)

    reasons = [repair.reason for _, repair in door.repairs]
    reasons += [refund.reason for _, refund in door.refunds]
    assert reasons == [WHY]
    assert database.sql(told) == [(WORDS, True)]
