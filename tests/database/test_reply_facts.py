"""What a reply may say, read from real rows."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from database.checkouts import read_checkout
from database.emails import record_bounce, record_email
from database.orders import record_access
from database.replies import mark_reply_sent, write_reply_row
from database.reply_facts import list_thread, read_reply_facts
from database.tables import checkouts, disputes, emails, entitlements, promises
from domain.messages import EmailOutcome, GrantEntitlement, RecordEmail
from domain.replies import Blocked, Draft, Fact, ReplyFacts, Situation, prepare, suggest
from domain.states import AccessState, MoneyState, Stage
from tests.conftest import Database
from tests.database.conftest import CHARGED_AT, PRICE, OpenCheckout
from tests.database.test_refunds import columns, put
from tests.database.test_replies import new_reply

pytestmark = pytest.mark.postgres


async def _facts(engine: AsyncEngine, checkout_id: UUID) -> ReplyFacts:
    async with engine.begin() as connection:
        return await read_reply_facts(
            connection,
            checkout_id,
            page_of=lambda one, key: f"https://shop.acme.test/c/{key}-{one}",
            application_url="https://app.acme.test/",
        )


async def _receipt_leaves(engine: AsyncEngine, checkout_id: UUID) -> UUID:
    async with engine.begin() as connection:
        email_id = (
            await connection.execute(
                select(emails.c.email_id).where(emails.c.checkout_id == checkout_id)
            )
        ).scalar_one()
        await record_email(
            connection,
            RecordEmail(email_id=email_id, outcome=EmailOutcome(is_sent=True)),
        )
    return UUID(str(email_id))


async def test_a_paid_checkout_is_told_as_its_rows_say(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """Amount, card, time and page; no access and no promise before they are there."""
    checkout_id = await open_checkout(Stage.CHARGED)
    facts = await _facts(engine, checkout_id)
    bought = facts.purchase

    assert bought is not None
    assert (bought.money, bought.access) == (MoneyState.CHARGED, AccessState.PENDING)
    assert (bought.price, bought.charged_at) == (PRICE, CHARGED_AT)
    assert (bought.card_brand, bought.card_last4) == ("visa", "4242")
    assert bought.page_url == f"https://shop.acme.test/c/01234567-{checkout_id}"
    assert (bought.access_url, bought.receipt_left_at) == (None, None)
    assert (facts.email, facts.refunds, facts.dispute) == (bought.email, (), None)
    blocked = prepare(Situation.WENT_THROUGH, facts)
    assert isinstance(blocked, Blocked)
    assert [one.fact for one in blocked.missing] == [Fact.NEXT_MESSAGE]


async def test_open_access_and_a_receipt_make_a_letter(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """The way in is that of the row, or of the installation; the receipt has a time."""
    checkout_id = await open_checkout(Stage.CHARGED)
    async with engine.begin() as connection:
        entitlement_id = (
            await connection.execute(select(entitlements.c.entitlement_id))
        ).scalar_one()
        grant = GrantEntitlement(
            checkout_id=checkout_id,
            entitlement_id=entitlement_id,
            was_interrupted=False,
        )
        await record_access(connection, grant, None, None)
    email_id = await _receipt_leaves(engine, checkout_id)
    before = await _facts(engine, checkout_id)
    async with engine.begin() as connection:
        await record_bounce(connection, email_id, "5.1.1")
    after = await _facts(engine, checkout_id)

    assert before.purchase is not None
    assert after.purchase is not None
    assert before.purchase.access_url == "https://app.acme.test/"
    assert isinstance(prepare(Situation.NO_MAIL, before), Draft)
    assert not before.purchase.receipt_came_back
    assert after.purchase.receipt_came_back
    assert suggest(after)[0] is Situation.NO_MAIL


async def test_a_promise_counts_until_it_is_kept_or_has_passed(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """Only a time to come that a row still owes may be named."""
    checkout_id = await open_checkout(Stage.CHARGED)
    found = []
    async with engine.begin() as connection:
        row = await read_checkout(connection, checkout_id)
        email_id = (await connection.execute(select(emails.c.email_id))).scalar_one()
        due = row.now + timedelta(hours=1)
        await connection.execute(
            insert(promises).values(
                promise_id=email_id,
                email_id=email_id,
                checkout_id=checkout_id,
                due_at=due,
            )
        )
    found.append((await _facts(engine, checkout_id)).next_message_at)
    for values in (
        {"due_at": row.now - timedelta(minutes=1)},
        {"due_at": due, "kept_at": row.now, "kept_by": "received:1"},
    ):
        async with engine.begin() as connection:
            await connection.execute(update(promises).values(**values))
        found.append((await _facts(engine, checkout_id)).next_message_at)

    assert found == [due, None, None]


async def test_a_refund_counts_when_the_processor_took_it(
    database: Database, engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """What was only asked for is not told as returned."""
    checkout_id = await open_checkout(Stage.CHARGED)
    with database.connect_as_owner() as owner:
        put(owner, **columns(checkout_id, amount_minor=10000))
        asked = await _facts(engine, checkout_id)
        owner.execute(
            "UPDATE refunds SET state = 'pending', processor_refund_id = 're_1',"
            " accepted_at = now(), next_look_at = now()"
        )
    taken = await _facts(engine, checkout_id)

    assert asked.refunds == ()
    assert [one.amount.amount_minor for one in taken.refunds] == [10000]
    assert not taken.refunds[0].is_second_charge


async def test_every_refund_is_known_and_what_it_returns(
    database: Database, engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """Parts add up, the one that makes them whole ends access; a second is a second."""
    checkout_id = await open_checkout(Stage.CHARGED)
    taken = {
        "state": "pending",
        "accepted_at": "2026-11-24 09:00Z",
        "next_look_at": "2026-11-24 09:00Z",
    }
    with database.connect_as_owner() as owner:
        owner.execute(
            "INSERT INTO second_charges (payment_intent_id, checkout_id, state,"
            " amount_minor, currency) VALUES ('pi_2', %s, 'proven', 24900, 'usd')",
            [checkout_id],
        )
        for minutes, amount, changes in (
            (1, 10000, {}),
            (2, 24900, {"payment_intent_id": "pi_2", "ends_access": False}),
            (3, 14900, {}),
        ):
            values = (
                taken
                | changes
                | {
                    "amount_minor": amount,
                    "processor_refund_id": f"re_{minutes}",
                    "requested_at": f"2026-11-24 08:0{minutes}Z",
                    "accepted_at": f"2026-11-24 09:0{minutes}Z",
                }
            )
            put(owner, **columns(checkout_id, **values))

    facts = await _facts(engine, checkout_id)

    told = [
        (r.amount.amount_minor, r.is_second_charge, r.ends_access)
        for r in facts.refunds
    ]
    assert told == [
        (10000, False, False),
        (24900, True, False),
        (14900, False, True),
    ]


async def test_an_undecided_dispute_comes_first(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """Until the bank has decided, it is what the letter is about."""
    checkout_id = await open_checkout(Stage.CHARGED)
    async with engine.begin() as connection:
        await connection.execute(
            insert(disputes).values(
                dispute_id="dp_1",
                checkout_id=checkout_id,
                payment_intent_id="pi_1",
                amount_minor=24900,
                currency="usd",
                reason="fraudulent",
                status="needs_response",
                opened_at=CHARGED_AT,
            )
        )
    undecided = await _facts(engine, checkout_id)
    async with engine.begin() as connection:
        await connection.execute(update(disputes).values(closed_at=CHARGED_AT))
    decided = await _facts(engine, checkout_id)

    assert undecided.dispute is not None
    assert undecided.dispute.amount == PRICE
    assert suggest(undecided)[0] is Situation.DISPUTE
    assert decided.dispute is None


async def test_the_thread_is_all_that_left_in_its_order(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """Automatic mails and people's letters stand in one thread; what waits does not."""
    checkout_id = await open_checkout(Stage.CHARGED)
    await _receipt_leaves(engine, checkout_id)
    sent, waiting = new_reply(checkout_id), new_reply(checkout_id)
    async with engine.begin() as connection:
        for reply in (sent, waiting):
            await write_reply_row(connection, reply)
        await mark_reply_sent(connection, sent.reply_id)
        thread = await list_thread(connection, checkout_id, "acme.test")
        none = await list_thread(connection, uuid4(), "acme.test")
        code = (await connection.execute(select(checkouts.c.reference_code))).scalar()

    assert thread == (f"<receipt.{str(code).lower()}@acme.test>", sent.message_id)
    assert none == ()
