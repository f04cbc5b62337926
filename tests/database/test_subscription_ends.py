"""The end of a subscription on real rows: when it is, who finds it, what is written."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from database.accounts import list_entitlements
from database.aftermath import next_refund_step, record_access_ended, record_refunds
from database.correspondence import plan_correspondence
from database.emails import read_owed_email, record_email
from database.orders import record_access, write_order
from database.refunds import request_refund
from database.sweeps import (
    ASK_AGAIN_AFTER,
    EndedSubscription,
    take_ended_subscriptions,
    unmark_asked,
)
from database.tables import checkouts, subscriptions
from domain.cadence import first_reminder
from domain.emails import EmailKind
from domain.identifiers import derived_id
from domain.messages import (
    Correspondence,
    EmailOutcome,
    GrantEntitlement,
    PlanCorrespondence,
    RecordEmail,
    WriteOrder,
)
from domain.plans import add_months
from domain.refunds import (
    AskNextRefundStep,
    EndEntitlement,
    RecordRefunds,
    Refund,
    RefundRequest,
    RefundStatus,
    RefundStepKind,
)
from domain.states import AccessState, EntitlementState, MoneyState, Stage
from domain.working_hours import WorkingHours
from tests.conftest import Database
from tests.database.conftest import CHARGED_AT, PRICE, OpenCheckout, charge

pytestmark = pytest.mark.postgres

HOURS = WorkingHours.parse("Monday to Friday, 09:00 to 17:00 UTC")
ENDS_AT = add_months(CHARGED_AT, 12)


def entitlement_of(checkout_id: UUID) -> UUID:
    """Return the id of the checkout's one entitlement."""
    return derived_id(checkout_id, "entitlement")


async def bought(engine: AsyncEngine, open_checkout: OpenCheckout) -> UUID:
    """Return a checkout whose access is open, as all is when nothing breaks."""
    checkout_id = await open_checkout(Stage.CHARGED)
    grant = GrantEntitlement(
        checkout_id=checkout_id,
        entitlement_id=entitlement_of(checkout_id),
        was_interrupted=False,
    )
    async with engine.begin() as connection:
        await record_access(
            connection, grant, None, first_reminder(CHARGED_AT, ENDS_AT)
        )
        await connection.execute(text("UPDATE emails SET state='sent', sent_at=now()"))
    return checkout_id


async def run_out(
    engine: AsyncEngine, checkout_id: UUID, since: timedelta = timedelta(minutes=1)
) -> None:
    """Let a year have passed since the purchase."""
    async with engine.begin() as connection:
        await connection.execute(
            update(subscriptions)
            .where(subscriptions.c.order_id == derived_id(checkout_id, "order"))
            .values(
                starts_at=text("now() - interval '1 year'"),
                ends_at=datetime.now(UTC) - since,
            )
        )


async def take(engine: AsyncEngine, limit: int = 20) -> list[EndedSubscription]:
    """Take as a sweep does."""
    async with engine.begin() as connection:
        return await take_ended_subscriptions(connection, limit)


async def end(engine: AsyncEngine, checkout_id: UUID, *, is_over: bool = True) -> None:
    """Write the end as the activity does after the application knows."""
    ended = EndEntitlement(
        checkout_id=checkout_id,
        entitlement_id=entitlement_of(checkout_id),
        is_over=is_over,
    )
    async with engine.begin() as connection:
        await record_access_ended(connection, ended)


def sql(database: Database, statement: str) -> list[tuple[Any, ...]]:
    """Ask the database as its owner."""
    with database.connect_as_owner() as owner:
        return list(owner.execute(statement.encode()).fetchall())


# When it is


@pytest.mark.parametrize(
    ("charged_at", "ends_at"),
    [
        ("2028-02-29T10:00:00+00:00", "2029-02-28T10:00:00+00:00"),
        ("2027-02-28T10:00:00+00:00", "2028-02-28T10:00:00+00:00"),
        ("2027-10-31T23:59:59+00:00", "2028-10-31T23:59:59+00:00"),
        # 1 January in UTC, where the day is counted; and 29 February only there.
        ("2026-12-31T20:00:00-05:00", "2028-01-01T01:00:00+00:00"),
        ("2028-02-28T20:00:00-05:00", "2029-02-28T01:00:00+00:00"),
        # Neither change of the clocks moves an instant.
        ("2027-03-28T03:30:00+02:00", "2028-03-28T01:30:00+00:00"),
    ],
)
async def test_a_year_ends_on_the_same_day_in_utc(
    engine: AsyncEngine, open_checkout: OpenCheckout, charged_at: str, ends_at: str
) -> None:
    """Leap days, month ends and the zone of the charge do not cost or give a day."""
    checkout_id = await open_checkout(Stage.CHARGING)
    proof = replace(charge(), charged_at=datetime.fromisoformat(charged_at))
    order = WriteOrder(checkout_id=checkout_id, charge=proof)

    async with engine.begin() as connection:
        await write_order(connection, order)
        await write_order(connection, order)
        found = await connection.execute(select(subscriptions))

    row = found.one()
    assert row.starts_at == proof.charged_at
    assert row.ends_at == datetime.fromisoformat(ends_at)


# Who finds it


async def test_only_what_is_over_and_not_ended_is_taken(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """A running, a canceled and an expired subscription are left alone."""
    over, running, canceled, expired = [
        await bought(engine, open_checkout) for _ in range(4)
    ]
    for one in (over, canceled, expired):
        await run_out(engine, one)
    await end(engine, canceled, is_over=False)
    await end(engine, expired)

    taken = await take(engine)

    assert [one.checkout_id for one in taken] == [over]
    assert taken[0].subscription_id == derived_id(over, "subscription")
    assert running not in {one.checkout_id for one in taken}


async def test_who_was_asked_is_asked_again_after_an_hour(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """A run that waits for a dead application is not knocked for each minute."""
    checkout_id = await bought(engine, open_checkout)
    await run_out(engine, checkout_id)

    first, at_once = await take(engine), await take(engine)
    async with engine.begin() as connection:
        asked_at = datetime.now(UTC) - ASK_AGAIN_AFTER
        await connection.execute(update(subscriptions).values(end_asked_at=asked_at))
    an_hour_later = await take(engine)
    async with engine.begin() as connection:
        await unmark_asked(connection, first[0].subscription_id)
    unmarked = await take(engine)

    assert [len(one) for one in (first, at_once, an_hour_later, unmarked)] == [
        1,
        0,
        1,
        1,
    ]


async def test_replicas_take_different_ones_and_miss_none(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """Eight sweeps at once over thirty: each is taken by one of them."""
    over = [await bought(engine, open_checkout) for _ in range(30)]
    for one in over:
        await run_out(engine, one)

    rounds = await asyncio.gather(*(take(engine, 5) for _ in range(8)))
    rounds.append(await take(engine, 30))

    taken = [one.checkout_id for round_ in rounds for one in round_]
    assert sorted(taken) == sorted(over)


async def test_the_search_uses_its_index(engine: AsyncEngine) -> None:
    """The sweep of each minute does not read a year of subscriptions."""
    async with engine.begin() as connection:
        await connection.execute(text("SET LOCAL enable_seqscan = off"))
        plan = await connection.execute(
            text(
                "EXPLAIN SELECT subscription_id FROM subscriptions"
                " WHERE state = 'active' AND ends_at <= clock_timestamp()"
                " ORDER BY ends_at LIMIT 20"
            )
        )
        assert "ix_subscriptions_running" in "\n".join(plan.scalars())


# What is due, and what is written


async def next_step(engine: AsyncEngine, checkout_id: UUID) -> Any:
    """Ask what is due as the workflow does."""
    ask = AskNextRefundStep(checkout_id=checkout_id, now=datetime.now(UTC))
    async with engine.begin() as connection:
        return await next_refund_step(connection, ask)


async def test_access_is_due_to_end_when_the_time_is_over(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """Before the end nothing is due; after it the end is, until it is written."""
    checkout_id = await bought(engine, open_checkout)
    before = await next_step(engine, checkout_id)
    await run_out(engine, checkout_id)
    due = await next_step(engine, checkout_id)
    await end(engine, checkout_id)
    after = await next_step(engine, checkout_id)

    assert (before.kind, before.is_over) == (RefundStepKind.NOTHING, False)
    assert (due.kind, due.is_over) == (RefundStepKind.END_ACCESS, True)
    assert due.entitlement_id == entitlement_of(checkout_id)
    assert (after.kind, after.access) == (RefundStepKind.NOTHING, AccessState.ENDED)


async def test_a_new_run_has_nothing_to_open_when_the_time_is_over(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """What is over is not called granted, and the run is told to ask what is due."""
    checkout_id = await open_checkout(Stage.CHARGED)
    await run_out(engine, checkout_id)
    again = WriteOrder(checkout_id=checkout_id, charge=charge(f"pi_{checkout_id}"))

    async with engine.begin() as connection:
        written = await write_order(connection, again)

    assert not written.is_granted
    assert not written.is_access_ended
    assert written.has_aftermath


async def test_the_end_is_written_once_and_audited(
    engine: AsyncEngine, open_checkout: OpenCheckout, database: Database
) -> None:
    """Subscription, entitlement and checkout move together, with two audit lines."""
    checkout_id = await bought(engine, open_checkout)
    await run_out(engine, checkout_id)
    before = len(sql(database, "SELECT * FROM audit"))

    for _ in range(2):
        await end(engine, checkout_id)
    await end(engine, checkout_id, is_over=False)

    assert sql(database, "SELECT state FROM subscriptions") == [("expired",)]
    assert sql(database, "SELECT state FROM entitlements") == [("ended",)]
    assert sql(database, "SELECT money_state, access_state FROM checkouts") == [
        ("CHARGED", "ENDED")
    ]
    lines = sql(
        database,
        "SELECT action, checkout_id, after->>'state', after->>'access' FROM audit"
        " ORDER BY audit_id",
    )
    assert lines[before:] == [
        ("checkout.moved", checkout_id, None, "ENDED"),
        ("subscription.moved", checkout_id, "expired", None),
    ]


async def test_what_goes_with_the_money_is_canceled_not_expired(
    engine: AsyncEngine, open_checkout: OpenCheckout, database: Database
) -> None:
    """When a whole refund and the end meet, the rows say that the money went back."""
    checkout_id = await bought(engine, open_checkout)
    await run_out(engine, checkout_id)
    payment, now = f"pi_{checkout_id}", datetime.now(UTC)
    wish = RefundRequest(
        refund_id=uuid4(), amount=PRICE, actor="dana", reason="they asked"
    )
    shown = Refund(
        processor_refund_id="re_1",
        payment_intent_id=payment,
        amount=PRICE,
        status=RefundStatus.SUCCEEDED,
        created_at=now,
        refund_id=wish.refund_id,
    )
    async with engine.begin() as connection:
        await request_refund(connection, checkout_id, wish)
    requested = await next_step(engine, checkout_id)
    async with engine.begin() as connection:
        await record_refunds(
            connection,
            RecordRefunds(
                checkout_id=checkout_id,
                payment_intent_id=payment,
                now=now,
                refunds=(shown,),
                is_complete=True,
            ),
        )
    returned = await next_step(engine, checkout_id)
    await end(engine, checkout_id, is_over=returned.is_over)

    assert (requested.kind, requested.is_over) == (RefundStepKind.END_ACCESS, True)
    assert (returned.kind, returned.is_over) == (RefundStepKind.END_ACCESS, False)
    assert returned.money is MoneyState.REFUNDED
    assert sql(database, "SELECT state FROM subscriptions") == [("canceled",)]


async def test_a_renewed_purchase_is_independent(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """The end of the first year takes nothing from the year that was bought anew."""
    first, renewed = [await bought(engine, open_checkout) for _ in range(2)]
    await run_out(engine, first)

    taken = await take(engine)
    await end(engine, first)

    assert [one.checkout_id for one in taken] == [first]
    async with engine.begin() as connection:
        owned = await list_entitlements(connection, "mara@example.com")
        found = await connection.execute(
            select(checkouts.c.access_state).where(checkouts.c.checkout_id == renewed)
        )
    assert [one.state for one in owned] == [
        EntitlementState.ACTIVE,
        EntitlementState.ENDED,
    ]
    assert found.scalar_one() == AccessState.ACTIVE


# The reminders


async def plan(engine: AsyncEngine, checkout_id: UUID, now: datetime) -> Correspondence:
    """Plan as the activity does."""
    async with engine.begin() as connection:
        return await plan_correspondence(
            connection, PlanCorrespondence(checkout_id=checkout_id, now=now), HOURS
        )


async def owed(
    engine: AsyncEngine, checkout_id: UUID, now: datetime
) -> list[EmailKind]:
    """Plan, send what is due, and return what that was."""
    planned = await plan(engine, checkout_id, now)
    kinds = []
    async with engine.begin() as connection:
        for email_id in planned.email_ids:
            kinds.append((await read_owed_email(connection, email_id)).kind)
            sent = RecordEmail(email_id=email_id, outcome=EmailOutcome(is_sent=True))
            await record_email(connection, sent)
    return kinds


async def no_question(engine: AsyncEngine) -> None:
    """Let the customer have been heard of, so that nobody asks if they got in."""
    async with engine.begin() as connection:
        await connection.execute(update(checkouts).values(heard_at=text("now()")))


async def test_each_reminder_is_owed_once(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """Thirty and seven days before the end, each once however often it is planned."""
    checkout_id = await bought(engine, open_checkout)
    await no_question(engine)
    times = [
        ENDS_AT - timedelta(days=30, minutes=1),
        *[ENDS_AT - timedelta(days=30)] * 2,
        ENDS_AT - timedelta(days=20),
        *[ENDS_AT - timedelta(days=7)] * 2,
        ENDS_AT - timedelta(days=1),
        ENDS_AT + timedelta(days=1),
    ]

    said = [await owed(engine, checkout_id, at) for at in times]

    nothing: list[EmailKind] = []
    assert said == [
        nothing,
        [EmailKind.ENDING_IN_30],
        nothing,
        nothing,
        [EmailKind.ENDING_IN_7],
        nothing,
        nothing,
        nothing,
    ]


async def test_the_row_names_the_next_reminder_until_there_is_none(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """No run stays for a year: the sweep starts one when the row says so."""
    checkout_id = await bought(engine, open_checkout)
    await no_question(engine)

    async def next_at() -> datetime | None:
        async with engine.begin() as connection:
            found = await connection.execute(select(checkouts.c.next_message_at))
        return found.scalar_one()  # type: ignore[no-any-return]

    named = [await next_at()]
    for days in (30, 7):
        await owed(engine, checkout_id, ENDS_AT - timedelta(days=days))
        named.append(await next_at())

    assert named == [
        ENDS_AT - timedelta(days=30),
        ENDS_AT - timedelta(days=7),
        None,
    ]


@pytest.mark.parametrize("is_over", [True, False], ids=["expired", "refunded"])
async def test_no_reminder_once_access_is_over(
    engine: AsyncEngine, open_checkout: OpenCheckout, *, is_over: bool
) -> None:
    """After the end, or after the money went back, nobody is told of an end to come."""
    checkout_id = await bought(engine, open_checkout)
    await no_question(engine)
    await end(engine, checkout_id, is_over=is_over)

    for days in (30, 7):
        at = ENDS_AT - timedelta(days=days)
        assert await owed(engine, checkout_id, at) == []
