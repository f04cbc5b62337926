"""`/v1/reconciliations`: have the processor's books compared with ours, and look."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID, uuid4

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from api.json_api import ApiKey, errors
from api.parts import TheParts
from api.problems import Problem
from database.reconciliation import RunRow, find_run
from domain.reconciliation import ReconcileInput, RunState, Trigger
from workflows.door import DoorClosed

router = APIRouter(prefix="/v1")


class ReconciliationRequest(BaseModel):
    """How far back a run goes."""

    model_config = ConfigDict(extra="forbid")

    is_deep: bool = Field(
        default=False, description="Go back four months instead of to the last run."
    )


class ReconciliationResource(BaseModel):
    """One run."""

    run_id: UUID
    state: RunState
    started_at: datetime | None
    finished_at: datetime | None
    compared: int = Field(description="Objects of the processor that were compared.")
    found: dict[str, int] = Field(description="How often each kind was found.")
    repairs: int = Field(description="Repairs that were asked for.")
    cases: int = Field(description="Cases that were opened for a person.")
    withheld: int = Field(description="Repairs left to later runs.")
    warnings: list[str] = Field(description="What looks broken about ourselves.")

    @classmethod
    def of(cls, row: RunRow) -> ReconciliationResource:
        """Describe a row."""
        return cls(
            run_id=row.run_id,
            state=row.state,
            started_at=row.started_at,
            finished_at=row.finished_at,
            compared=row.compared,
            found=row.found,
            repairs=row.repairs,
            cases=row.cases,
            withheld=row.withheld,
            warnings=list(row.warnings),
        )


@router.post(
    "/reconciliations",
    status_code=202,
    summary="Compare with the processor now",
    operation_id="reconcile",
    response_description="The run begins; read it by its id.",
    responses=errors(413),
)
async def reconcile(
    parts: TheParts, _: ApiKey, body: ReconciliationRequest
) -> ReconciliationResource:
    """Start a run. While another one is under way, this one ends without a row."""
    run_id = uuid4()
    try:
        await parts.door.reconcile(
            ReconcileInput(
                run_id=run_id,
                trigger=Trigger.PERSON,
                actor="api",
                is_deep=body.is_deep,
            )
        )
    except DoorClosed:
        raise Problem(503, "Our workflows do not answer; ask again.") from None
    return ReconciliationResource(
        run_id=run_id,
        state=RunState.RUNNING,
        started_at=None,
        finished_at=None,
        compared=0,
        found={},
        repairs=0,
        cases=0,
        withheld=0,
        warnings=[],
    )


@router.get(
    "/reconciliations/{run_id}",
    summary="Read a run",
    operation_id="readReconciliation",
    response_description="The run as it stands.",
    responses=errors(404),
)
async def read_reconciliation(
    parts: TheParts, _: ApiKey, run_id: UUID
) -> ReconciliationResource:
    """Read a run; one that found another under way has no row."""
    row = await parts.records.read(lambda connection: find_run(connection, run_id))
    if row is None:
        raise Problem(404, "No run has this id, or it has not begun yet.")
    return ReconciliationResource.of(row)
