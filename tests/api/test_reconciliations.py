"""Having processor and shop compared, from a program and by the loop's own watch."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from api.starter import Starter
from domain.reconciliation import LATE_AFTER, RunState, Trigger
from observability import metrics
from tests.api.doubles import API_KEY, Shop

pytestmark = pytest.mark.postgres

_KEY = {"authorization": f"Bearer {API_KEY}"}


async def test_a_program_starts_a_run_and_reads_it(shop: Shop) -> None:
    """A run that was asked for is begun under the id that the answer names."""
    begun = await shop.browser.post("/v1/reconciliations", json={}, headers=_KEY)

    assert begun.status_code == 202
    run_id = begun.json()["run_id"]
    assert [(str(r.run_id), r.trigger, r.actor) for r in shop.door.runs] == [
        (run_id, Trigger.PERSON, "api")
    ]
    unknown = await shop.browser.get(f"/v1/reconciliations/{run_id}", headers=_KEY)
    assert unknown.status_code == 404
    with shop.database.connect_as_owner() as connection:
        connection.execute(
            "INSERT INTO reconciliation_runs (run_id, trigger, actor, is_deep, state,"
            " compare_from, compare_before, finished_at, found)"
            " VALUES (%s, 'person', 'api', false, 'finished', now() - interval '1 h',"
            """ now(), now(), '{"duplicate_charge": 2}')""",
            (run_id,),
        )
    found = await shop.browser.get(f"/v1/reconciliations/{run_id}", headers=_KEY)
    assert found.json()["state"] == RunState.FINISHED
    assert found.json()["found"] == {"duplicate_charge": 2}


async def test_a_run_that_cannot_begin_says_so(shop: Shop) -> None:
    """With Temporal down the answer is 503, and not a run that never was."""
    shop.door.is_closed = True

    refused = await shop.browser.post("/v1/reconciliations", json={}, headers=_KEY)

    assert refused.status_code == 503


async def test_runs_are_behind_the_key(shop: Shop) -> None:
    """Nobody without a key starts a run or reads one."""
    started = await shop.browser.post("/v1/reconciliations", json={})
    read = await shop.browser.get(f"/v1/reconciliations/{uuid4()}")

    assert (started.status_code, read.status_code) == (401, 401)
    assert shop.door.runs == []


async def test_an_old_watermark_is_seen(shop: Shop) -> None:
    """The reconciliation's own age is measured: it cannot stop without a trace."""
    now = [0.0]
    starter = Starter(shop.parts, clock=lambda: now[0])
    late = LATE_AFTER + timedelta(minutes=5)
    with shop.database.connect_as_owner() as connection:
        connection.execute(
            "UPDATE reconciliation_state SET watermark_at = now() - %s", (late,)
        )

    await starter.round()

    assert metrics.RECONCILIATION_AGE._value.get() >= late.total_seconds()


async def test_a_repair_that_nobody_told_is_told(shop: Shop) -> None:
    """A request that was accepted is never lost: the loop tells its workflow, once."""
    opened = await shop.open()
    repair_id = uuid4()
    with shop.database.connect_as_owner() as connection:
        connection.execute(
            "INSERT INTO repairs (repair_id, checkout_id, actor, reason, requested_at)"
            " VALUES (%s, %s, 'dana', 'she wrote', now() - interval '1 minute')",
            (repair_id, opened.checkout_id),
        )
    starter = Starter(shop.parts)
    shop.door.is_closed = True
    await starter.round()
    shop.door.is_closed = False

    await starter.round()
    await starter.round()

    assert [_told(repair) for repair in shop.door.repairs] == [
        (opened.checkout_id, repair_id, "dana")
    ]


def _told(repair: tuple[object, object]) -> tuple[UUID, UUID, str]:
    checkout, request = repair
    return checkout.checkout_id, request.repair_id, request.actor  # type: ignore[attr-defined]
