"""Asking for repairs: the reconciliation's way to the one door."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from temporalio import activity

from activities.failures import sorted_failures
from domain.messages import CheckoutInput, RepairRequest
from domain.reconciliation import AskForRepair

#: Signal-with-start on the checkout's workflow; see `workflows.door`.
RequestRepair = Callable[[CheckoutInput, RepairRequest], Awaitable[None]]

#: Who asks, in the repairs' records.
ACTOR = "reconciliation"


class RepairActivities:
    """The door to the checkouts' workflows, and nothing else.

    Args:
        request_repair: Safe to repeat with the same id.
    """

    def __init__(self, request_repair: RequestRepair) -> None:
        self._request_repair = request_repair

    @activity.defn
    async def ask_for_repairs(self, repairs: list[AskForRepair]) -> None:
        """Ask the workflow of each checkout to look afresh and do what is missing.

        Repeat: the same ids; a workflow takes each once.
        Survives: a crash leaves some asked for; the others are rows already, and the
            API's starter loop tells them.

        Raises:
            ApplicationError: `DoorClosed` is repeated.
        """
        with sorted_failures():
            for repair in repairs:
                activity.heartbeat()
                await self._request_repair(
                    CheckoutInput(
                        checkout_id=repair.checkout_id,
                        reference_code=repair.reference_code,
                    ),
                    RepairRequest(
                        repair_id=repair.repair_id,
                        actor=ACTOR,
                        reason=repair.reason,
                        payment_intent_id=repair.payment_intent_id,
                    ),
                )
