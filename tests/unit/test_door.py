"""The door to Temporal: every way of having no answer is one, and comes in time."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from temporalio.client import (
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.service import RPCError, RPCStatusCode

from workflows.door import DoorClosed, within_deadline


@pytest.mark.parametrize(
    "error",
    [
        RPCError("gone", RPCStatusCode.UNAVAILABLE, b""),
        TimeoutError(),
        RuntimeError("Failed client connect"),
        WorkflowUpdateFailedError(ValueError("secret")),
        WorkflowUpdateRPCTimeoutOrCancelledError(),
    ],
)
async def test_whatever_keeps_the_answer_is_a_closed_door(error: Exception) -> None:
    """Callers know one error, which names its kind and quotes nothing."""
    with pytest.raises(DoorClosed) as closed:
        async with within_deadline():
            raise error

    assert str(closed.value) == type(error).__name__
    assert closed.value.__cause__ is None


async def test_no_answer_in_time_is_a_closed_door() -> None:
    """Nobody waits longer than they were told."""
    with pytest.raises(DoorClosed):
        async with within_deadline(timedelta(milliseconds=1)):
            await asyncio.Event().wait()


async def test_a_fault_of_our_own_is_not_taken_for_an_outage() -> None:
    """What no outage raises goes on to whoever mends it."""
    with pytest.raises(LookupError):
        async with within_deadline():
            raise LookupError
