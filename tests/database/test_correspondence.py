"""What we owe to say, on real rows: owed once, promised in the same commit, kept."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from database.checkouts import (
    read_checkout,
    record_action_needed,
    record_asked,
    record_not_charged,
    withdraw_requests,
)
from database.correspondence import owe_open_again, plan_correspondence
from database.emails import read_owed_email, record_email
from database.pauses import pause_payments, resume_payments, wait_for_reopening
from database.sweeps import list_stale
from database.tables import promises
from domain.cadence import CHECKING_AFTER, FIRST_WORD_AFTER, PROMISE_GRACE
from domain.emails import EmailKind
from domain.messages import (
    Correspondence,
    EmailOutcome,
    PlanCorrespondence,
    RecordActionNeeded,
    RecordAsked,
    RecordEmail,
    RecordNotCharged,
)
from domain.states import NotChargedReason, Stage
from domain.working_hours import WorkingHours
from tests.database.conftest import CHARGED_AT, OpenCheckout

pytestmark = pytest.mark.postgres

HOURS = WorkingHours.parse("Monday to Friday, 09:00 to 17:00 UTC")
SENT = EmailOutcome(is_sent=True)


async def plan(engine: AsyncEngine, checkout_id: UUID, now: datetime) -> Correspondence:
    """Plan as the activity does."""
    async with engine.begin() as connection:
        return await plan_correspondence(
            connection, PlanCorrespondence(checkout_id=checkout_id, now=now), HOURS
        )


async def record(engine: AsyncEngine, email_id: UUID, outcome: EmailOutcome) -> None:
    """Write what became of a mail."""
    async with engine.begin() as connection:
        await record_email(connection, RecordEmail(email_id=email_id, outcome=outcome))


async def promises_of(engine: AsyncEngine, checkout_id: UUID) -> list[Any]:
    """Read the promises, oldest first."""
    async with engine.connect() as connection:
        found = await connection.execute(
            select(promises)
            .where(promises.c.checkout_id == checkout_id)
            .order_by(promises.c.due_at)
        )
        return list(found)


async def test_plan_owes_each_mail_once(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """Eight plans at once, a retry and a zombie among them, owe one mail."""
    checkout_id = await open_checkout(Stage.CHARGED)
    now = CHARGED_AT + FIRST_WORD_AFTER

    plans = await asyncio.gather(*(plan(engine, checkout_id, now) for _ in range(8)))

    assert len({one.email_ids for one in plans}) == 1
    assert len(plans[0].email_ids) == 1
    async with engine.connect() as connection:
        owed = await read_owed_email(connection, plans[0].email_ids[0])
    assert owed.kind is EmailKind.RECEIVED
    assert [p.due_at for p in await promises_of(engine, checkout_id)] == [
        owed.promised_at
    ]


async def test_mail_keeps_when_we_had_last_asked(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """A copy says the same, however often the processor was asked meanwhile."""
    checkout_id = await open_checkout(Stage.CHARGING)
    this = RecordAsked(checkout_id=checkout_id, buyer_attempt=1, asked_at=CHARGED_AT)
    async with engine.begin() as connection:
        await record_asked(connection, this)
        row = await read_checkout(connection, checkout_id)
    owed = await plan(engine, checkout_id, row.now + CHECKING_AFTER)
    later = replace(this, asked_at=CHARGED_AT + timedelta(hours=1))
    async with engine.begin() as connection:
        await record_asked(connection, later)
        mail = await read_owed_email(connection, owed.email_ids[0])

    assert mail.kind is EmailKind.CHECKING
    assert mail.asked_at == CHARGED_AT


async def test_mail_that_left_keeps_what_earlier_ones_promised(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """A promise is kept by the next mail that leaves, and by no other thing."""
    checkout_id = await open_checkout(Stage.CHARGED)
    first = (await plan(engine, checkout_id, CHARGED_AT + FIRST_WORD_AFTER)).email_ids
    await record(engine, first[0], SENT)
    assert [p.kept_at for p in await promises_of(engine, checkout_id)] == [None]

    later = CHARGED_AT + timedelta(hours=1)
    second = (await plan(engine, checkout_id, later)).email_ids
    await record(engine, second[0], SENT)

    kept, is_open = await promises_of(engine, checkout_id)
    assert kept.kept_by == "received-still:1"
    assert is_open.kept_at is None


async def test_needless_mail_takes_its_promise_back(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """What never left has promised nothing to anybody."""
    checkout_id = await open_checkout(Stage.CHARGED)
    owed = await plan(engine, checkout_id, CHARGED_AT + FIRST_WORD_AFTER)

    needless = EmailOutcome(is_sent=False, is_needless=True)
    await record(engine, owed.email_ids[0], needless)

    (promise,) = await promises_of(engine, checkout_id)
    assert promise.kept_by == "needless"
    assert not (await plan(engine, checkout_id, CHARGED_AT)).email_ids


async def test_broken_promise_is_told_and_no_longer_shown(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """When nothing followed by the time that we named, a person must be told."""
    checkout_id = await open_checkout(Stage.CHARGED)
    at = CHARGED_AT + FIRST_WORD_AFTER
    for _ in range(3):
        owed = await plan(engine, checkout_id, at)
        await record(engine, owed.email_ids[0], SENT)
        assert not owed.is_promise_overdue
        assert not (await plan(engine, checkout_id, at)).email_ids
        async with engine.connect() as connection:
            promised = (await read_checkout(connection, checkout_id)).next_message_at
        assert promised is not None
        at = promised
    # The third mail gave the word to a person, who did not speak.
    late = await plan(engine, checkout_id, at + timedelta(minutes=11))

    assert late.is_promise_overdue
    assert late.next_at is None


async def test_held_mail_does_not_hide_a_broken_promise(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """A hold says nothing to the customer: what was promised before is watched on."""
    checkout_id = await open_checkout(Stage.CHARGED)
    first = await plan(engine, checkout_id, CHARGED_AT + FIRST_WORD_AFTER)
    await record(engine, first.email_ids[0], SENT)
    (promise,) = await promises_of(engine, checkout_id)
    async with engine.begin() as connection:
        await connection.execute(
            text("UPDATE checkouts SET mail_held_at = now() WHERE checkout_id = :id"),
            {"id": checkout_id},
        )

    before = await plan(engine, checkout_id, promise.due_at)
    after = await plan(engine, checkout_id, promise.due_at + PROMISE_GRACE)

    assert (before.email_ids, before.is_promise_overdue) == ((), False)
    assert before.next_at == promise.due_at + PROMISE_GRACE
    assert (after.email_ids, after.is_promise_overdue) == ((), True)
    assert after.next_at is None


async def test_row_says_when_the_customer_hears_next(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """Each move of the row sets the time, so the page can name it before any mail."""
    requested = await open_checkout(Stage.REQUESTED)
    charged = await open_checkout(Stage.CHARGED)

    async with engine.connect() as connection:
        asked = await read_checkout(connection, requested)
        paid = await read_checkout(connection, charged)

    assert asked.pay_requested_at is not None
    assert asked.next_message_at is not None
    gap = asked.next_message_at - asked.pay_requested_at - CHECKING_AFTER
    assert abs(gap) < timedelta(seconds=1)
    assert paid.next_message_at == CHARGED_AT + FIRST_WORD_AFTER


async def test_row_keeps_the_time_that_the_page_named_to_who_may_have_left(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """A slow decline, or the bank's late question, leaves the named time as it was."""
    found = []
    for waited in (3, 20):
        asked, declined = [await open_checkout(Stage.CHARGING) for _ in range(2)]
        async with engine.begin() as connection:
            for checkout_id in (asked, declined):
                await connection.execute(
                    text(
                        "UPDATE checkouts SET pay_requested_at = now() - :waited,"
                        " next_message_at = now() - :waited + interval '5 minutes'"
                        " WHERE checkout_id = :id"
                    ),
                    {"id": checkout_id, "waited": timedelta(seconds=waited)},
                )
            await record_action_needed(
                connection,
                RecordActionNeeded(
                    checkout_id=asked, buyer_attempt=1, next_action_url="https://b.test"
                ),
            )
            await record_not_charged(
                connection,
                RecordNotCharged(
                    checkout_id=declined,
                    buyer_attempt=1,
                    reason=NotChargedReason.DECLINED,
                ),
            )
        async with engine.connect() as connection:
            rows = [await read_checkout(connection, one) for one in (asked, declined)]
        found.append(
            [
                row.next_message_at
                and row.pay_requested_at
                and row.next_message_at - row.pay_requested_at < timedelta(minutes=6)
                for row in rows
            ]
        )

    assert found == [[None, False], [True, True]]


async def test_bank_that_asks_late_is_owed_to_the_outbox(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """The mail tells when the bank asked, and is of this attempt."""
    checkout_id = await open_checkout(Stage.CHARGING)
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "UPDATE checkouts SET pay_requested_at = now() - interval '20 s'"
                " WHERE checkout_id = :id"
            ),
            {"id": checkout_id},
        )
        await record_action_needed(
            connection,
            RecordActionNeeded(
                checkout_id=checkout_id,
                buyer_attempt=1,
                next_action_url="https://bank.test/1",
            ),
        )
        row = await read_checkout(connection, checkout_id)

    owed = await plan(engine, checkout_id, row.now + FIRST_WORD_AFTER)

    async with engine.connect() as connection:
        mail = await read_owed_email(connection, owed.email_ids[0])
    assert (mail.kind, mail.sequence) == (EmailKind.BANK_CHECK, 1)
    assert mail.checkout.bank_asked_at is not None


async def test_withdrawn_request_is_answered_although_no_run_is_there(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """Who pressed Pay while Temporal was down is on the sweep's list at once."""
    checkout_id = await open_checkout(Stage.REQUESTED)
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "UPDATE checkouts SET pay_requested_at = now() - interval '3 minutes'"
                " WHERE checkout_id = :id"
            ),
            {"id": checkout_id},
        )
        await withdraw_requests(connection, timedelta(minutes=2))
    async with engine.connect() as connection:
        row = await read_checkout(connection, checkout_id)
        stale = await list_stale(connection, timedelta(), 1000)

    assert checkout_id in {one.checkout_id for one in stale}
    owed = await plan(engine, checkout_id, row.now)
    async with engine.connect() as connection:
        mail = await read_owed_email(connection, owed.email_ids[0])
    assert mail.kind is EmailKind.NOT_CHARGED


async def pause_and_resume(engine: AsyncEngine, checkout_id: UUID) -> int:
    """Let a buyer meet a pause, end it, and return how many will hear of that."""
    async with engine.begin() as connection:
        await pause_payments(connection, reason="the bank is down", actor="dana")
        await wait_for_reopening(connection, checkout_id)
    async with engine.begin() as connection:
        assert await owe_open_again(connection, 20) == 0
    async with engine.begin() as connection:
        await resume_payments(connection, actor="dana")
    async with engine.begin() as connection:
        told = await owe_open_again(connection, 20)
        assert await owe_open_again(connection, 20) == 0
    return told


async def test_buyer_who_waited_for_the_pause_to_end_is_told_once_each_time(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """Who met the switch hears once that payments are taken again, for each pause."""
    checkout_id = await open_checkout(Stage.OPEN)

    for turn in (1, 2):
        assert await pause_and_resume(engine, checkout_id) == 1
        async with engine.connect() as connection:
            row = await read_checkout(connection, checkout_id)
            stale = await list_stale(connection, timedelta(), 1000)
        assert checkout_id in {one.checkout_id for one in stale}
        owed = await plan(engine, checkout_id, row.now)
        async with engine.connect() as connection:
            mail = await read_owed_email(connection, owed.email_ids[0])
        assert (mail.kind, mail.sequence) == (EmailKind.OPEN_AGAIN, turn)
        await record(engine, mail.email_id, SENT)
