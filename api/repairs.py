"""Runs that are gone: a checkout that is not finished and has no workflow gets one.

A workflow can be lost with Temporal's database, be terminated by hand or end by a bug.
The row is what counts: whoever finds it unfinished and hears that nobody listens asks
for a repair, which starts the workflow anew; it then does exactly what is missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self
from uuid import UUID, uuid5

from api.parts import Door
from database.checkouts import CheckoutRow
from domain.messages import CheckoutInput, RepairRequest
from domain.states import AccessState, Stage
from observability import logs

#: Makes a repair's id from a checkout's attempt: presses, webhooks and the starter
#: loops of all replicas that find the same run gone ask for one repair.
_REPAIRS = UUID("c4a1b6de-7b0f-4f6e-9c55-1f0a8f6f0d37")

#: What the record of a repair says of a run that is gone.
_LOST = "no workflow running"

_log = logs.get_logger("api.repairs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """What has to be known of a checkout to have its run started anew."""

    checkout_id: UUID
    reference_code: str
    buyer_attempt: int

    @classmethod
    def of(cls, row: CheckoutRow) -> Self:
        """Take it from a whole row."""
        return cls(
            checkout_id=row.checkout_id,
            reference_code=row.reference_code,
            buyer_attempt=row.buyer_attempt,
        )


def is_unfinished(row: CheckoutRow) -> bool:
    """Whether a run must exist that has something left to do."""
    if row.stage is Stage.CHARGED:
        return row.access_state is AccessState.PENDING
    return row.stage in {Stage.REQUESTED, Stage.CHARGING}


def repair_id_of(checkout: Unfinished) -> UUID:
    """Return the id of the one repair of a checkout's attempt."""
    return uuid5(_REPAIRS, f"{checkout.checkout_id}:{checkout.buyer_attempt}")


async def look_or_repair(
    door: Door,
    checkout: Unfinished,
    *,
    actor: str,
    reason: str = _LOST,
    repair_id: UUID | None = None,
) -> None:
    """Have the workflow look again; have it started anew when there is none.

    Args:
        door: The way to the workflows.
        checkout: One that is not finished.
        actor: Who found it: `api`, `webhook` or `starter`.
        reason: What the repair's record says.
        repair_id: For a repair of its own; by default it is the attempt's one.

    Raises:
        DoorClosed: Unknown whether Temporal took it. Safe to repeat.
    """
    if not await door.look_again(checkout.checkout_id):
        await _start_anew(
            door, checkout, actor, reason, repair_id or repair_id_of(checkout)
        )


async def start_if_lost(door: Door, checkout: Unfinished, *, actor: str) -> None:
    """Have the workflow started anew when there is none; one that waits is let wait.

    Raises:
        DoorClosed: Unknown whether Temporal took it. Safe to repeat.
    """
    if not await door.is_running(checkout.checkout_id):
        await _start_anew(door, checkout, actor, _LOST, repair_id_of(checkout))


async def _start_anew(
    door: Door, checkout: Unfinished, actor: str, reason: str, repair_id: UUID
) -> None:
    _log.warning(
        "no workflow looks after this checkout: asking for a repair",
        checkout_id=str(checkout.checkout_id),
        actor=actor,
    )
    await door.request_repair(
        CheckoutInput(
            checkout_id=checkout.checkout_id, reference_code=checkout.reference_code
        ),
        RepairRequest(repair_id=repair_id, actor=actor, reason=reason),
    )
