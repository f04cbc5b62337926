"""Telling a checkout's workflow of a row that is written: a repair, or a refund.

The one way there, for pages, the starter loop and the command line. What people typed
stays in the row: a workflow's history cannot be erased. When Temporal does not take it,
the row waits, and the starter loop tells it later.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from api.parts import Door
from api.records import Records
from database.cases import mark_told
from database.refunds import mark_knocked
from domain.messages import CheckoutInput, RepairRequest
from domain.refunds import RefundRequest
from workflows.door import DoorClosed

#: All that a workflow is told of why.
WHY = "its row says why"


class Messenger(Protocol):
    """What telling takes; the parts of an API process are one."""

    @property
    def records(self) -> Records:
        """The database."""

    @property
    def door(self) -> Door:
        """The way to the workflows."""


async def tell_repair(
    parts: Messenger, checkout: CheckoutInput, repair: RepairRequest
) -> bool:
    """Have the workflow do a repair, and mark it told; False when Temporal is away."""
    try:
        await pass_repair_on(parts.door, checkout, repair)
    except DoorClosed:
        return False
    await parts.records.write(lambda c: mark_told(c, repair.repair_id))
    return True


async def tell_refund(
    parts: Messenger, checkout: CheckoutInput, refund: RefundRequest
) -> bool:
    """Have the workflow tend a refund, and mark it told; False when Temporal is away.

    Whether it was asked for or taken back is the row's word.
    """
    try:
        await pass_refund_on(parts.door, checkout, refund)
    except DoorClosed:
        return False
    await parts.records.write(lambda c: mark_knocked(c, refund.refund_id))
    return True


async def pass_repair_on(
    door: Door, checkout: CheckoutInput, repair: RepairRequest
) -> None:
    """Pass a repair on without the words that it was asked for with.

    Raises:
        DoorClosed: Unknown whether Temporal took it. Safe to repeat.
    """
    await door.request_repair(checkout, replace(repair, reason=WHY))


async def pass_refund_on(
    door: Door, checkout: CheckoutInput, refund: RefundRequest
) -> None:
    """Pass a refund on without the words that it was asked for with.

    Raises:
        DoorClosed: Unknown whether Temporal took it. Safe to repeat.
    """
    await door.request_refund(checkout, replace(refund, reason=WHY))
