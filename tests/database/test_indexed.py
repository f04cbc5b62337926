"""Support's and the desk's questions are answered by indexes, however many rows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from database import console
from database.oncall import read_signs
from domain.search import Wanted
from stack.postgres import DATABASE, PostgresHandle
from tests.conftest import Database

pytestmark = pytest.mark.postgres

#: One of the rows below.
CHECKOUT_ID = UUID("c4ca4238-a0b9-2382-0dcc-509a6f75849b")  # md5 of "1"

#: A year of a shop that sells one every 26 minutes, with an event and a change each.
MANY = """
INSERT INTO checkouts (checkout_id, reference_code, token_hash, token_key_id, email,
    plan_id, plan_name, plan_months, amount_minor, currency, stage, money_state,
    access_state, buyer_attempt, pay_requested_at, payment_intent_id, charged_at,
    card_last4, created_at)
SELECT md5(n::text)::uuid, 'ORD-' || n, sha256(n::text::bytea), 'k',
    'mara' || n || '@example.com', 'p', 'p', 12, 24900, 'usd', 'charged', 'CHARGED',
    'ACTIVE', 1, at, 'pi_' || n, at, '4242', at
FROM generate_series(1, 20000) AS n,
    LATERAL (SELECT now() - n * interval '26 min') AS t(at);

INSERT INTO payment_attempts (checkout_id, buyer_attempt, payment_method,
    payment_intent_id, ended_at, outcome)
SELECT checkout_id, 1, 'pm', payment_intent_id, now(), 'charged' FROM checkouts;

INSERT INTO processor_events (event_id, kind, payment_intent_id, checkout_id,
    received_at, applied_at)
SELECT 'evt_' || reference_code, 'payment_intent.succeeded', payment_intent_id,
    checkout_id, charged_at, charged_at FROM checkouts;

INSERT INTO purchase_changes (change_id, checkout_id, sequence, number, kind, actor,
    reason, old_email, new_email, verified)
SELECT checkout_id, checkout_id, 1, 1, 'address', 'dana', 'x', 'old' || email, email,
    'page_link' FROM checkouts;

INSERT INTO second_charges (payment_intent_id, checkout_id)
SELECT 'second_' || payment_intent_id, checkout_id FROM checkouts;

INSERT INTO refunds (refund_id, checkout_id, payment_intent_id, amount_minor, currency,
    captured_minor, purpose, actor, reason, ends_access, state, not_before, finished_at)
SELECT checkout_id, checkout_id, payment_intent_id, 100, 'usd', 24900, 'asked', 'dana',
    'x', false, 'canceled', now(), now() FROM checkouts;

INSERT INTO disputes (dispute_id, checkout_id, payment_intent_id, amount_minor,
    currency, reason, status, opened_at, closed_at)
SELECT 'dp_' || payment_intent_id, checkout_id, payment_intent_id, 100, 'usd', 'x',
    'won', now(), now() FROM checkouts;

ANALYZE checkouts, payment_attempts, processor_events, purchase_changes, second_charges,
    refunds, disputes;
"""

#: None of them may be read from one end to the other.
LARGE = {
    "checkouts",
    "payment_attempts",
    "processor_events",
    "purchase_changes",
    "second_charges",
    "refunds",
    "disputes",
}


@pytest.fixture
def many(database: Database, postgres: PostgresHandle) -> None:
    """Fill the tables past their triggers: nothing here is about what they guard."""
    del database  # First it is emptied.
    with postgres.cluster.connect(DATABASE) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(MANY)


Ask = Callable[[AsyncConnection], Awaitable[Any]]

QUESTIONS: dict[str, Ask] = {
    "an address": lambda c: console.search(c, Wanted(email="mara1@example.com")),
    "an old address": lambda c: console.search(c, Wanted(email="oldmara1@example.com")),
    "a reference": lambda c: console.search(c, Wanted(reference="ORD-1")),
    "a payment": lambda c: console.search(c, Wanted(payment_intent_id="pi_1")),
    "a second payment": lambda c: console.search(
        c, Wanted(payment_intent_id="second_pi_1")
    ),
    "a card and a day": lambda c: console.search(
        c, Wanted(last4="4242", amounts=(424200,), day=_today())
    ),
    "an amount and a day": lambda c: console.search(
        c, Wanted(amounts=(24900,), day=_today())
    ),
    "a case": lambda c: console.read_record(c, CHECKOUT_ID, None),
    "the signs of the shop": read_signs,
}


def _today() -> date:
    return datetime.now(UTC).date()


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from _nodes(part)


async def _plans(engine: AsyncEngine, ask: Ask) -> list[dict[str, Any]]:
    """Return how PostgreSQL answers each statement of a question."""
    statements: list[tuple[str, Any]] = []

    @event.listens_for(engine.sync_engine, "before_cursor_execute")
    def keep(*given: Any) -> None:
        statements.append((given[2], given[3]))

    async with engine.connect() as connection:
        found = await ask(connection)
        assert found, "what is looked for is there"
        event.remove(engine.sync_engine, "before_cursor_execute", keep)
        plans = []
        for statement, values in statements:
            answer = await connection.exec_driver_sql(
                f"EXPLAIN (FORMAT JSON) {statement}", values
            )
            plans.append(answer.scalar_one()[0]["Plan"])
    return plans


@pytest.mark.usefixtures("many")
async def test_no_question_reads_a_whole_table(engine: AsyncEngine) -> None:
    """With 20,000 checkouts each is answered by its rows alone, in time at any size."""
    scanned = {
        name: {
            node["Relation Name"]
            for plan in await _plans(engine, ask)
            for node in _nodes(plan)
            if node["Node Type"] == "Seq Scan"
        }
        & LARGE
        for name, ask in QUESTIONS.items()
    }

    assert {name: tables for name, tables in scanned.items() if tables} == {}
