"""Disputes: the buyer's bank takes the money back."""

from sandbox.processor import errors, objects
from sandbox.processor.errors import Json
from sandbox.processor.work import Call, Work


def open_dispute(work: Work, charge: Json, *, reason: str) -> Json:
    """Open a dispute of the whole charge and say so by event."""
    dispute = objects.dispute(work, charge, reason=reason)
    charge["disputed"] = True
    work.save(charge)
    work.save(dispute)
    work.emit("charge.dispute.created", dispute)
    return dispute


def retrieve(call: Call) -> Json:
    """``GET /v1/disputes/{id}``."""
    call.params.allow({"expand"})
    dispute = call.world.storage.get(call.path_id, "dispute")
    if dispute is None:
        raise errors.no_such("dispute", call.path_id, param="dispute", in_path=True)
    return dispute
