"""Our side of a reconciliation, with a real PostgreSQL."""

from __future__ import annotations

from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from activities.ledger import EngineLedger
from database import reconciliation
from domain.payments import Page
from domain.reconciliation import ReconcileInput
from tests.conftest import Database

pytestmark = pytest.mark.postgres


async def test_what_cannot_be_read_is_a_case_under_its_own_name(
    engine: AsyncEngine, database: Database
) -> None:
    """An object in unknown words may be money: a person looks, and knows at what."""
    ledger = EngineLedger(
        engine, lambda _: b"", lambda _: True, is_account_shared=False
    )
    async with engine.begin() as connection:
        plan = await reconciliation.begin_run(connection, uuid4(), ReconcileInput())
    assert plan is not None
    for compared in (
        ledger.compare_charges(
            plan,
            Page(made=(), next_cursor=None, oldest_at=None, not_understood=("ch_9",)),
        ),
        ledger.compare_refunds(
            plan,
            Page(made=(), next_cursor=None, oldest_at=None, not_understood=("re_9",)),
        ),
        ledger.compare_disputes(
            plan,
            Page(made=(), next_cursor=None, oldest_at=None, not_understood=("du_9",)),
        ),
    ):
        await compared

    async with engine.begin() as connection:
        decided = await reconciliation.decide(connection, plan)

    assert (decided.repairs, decided.cases) == ((), 3)
    with database.connect_as_owner() as owner:
        rows = owner.execute("SELECT payment_intent_id, cause FROM cases ORDER BY 1")
        assert rows.fetchall() == [
            ("ch_9", "ForeignCharge"),
            ("du_9", "DisputeOpened"),
            ("re_9", "RefundNotRecorded"),
        ]
