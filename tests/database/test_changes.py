"""Changes of a purchase on real rows: made once, whole, and followed by all else."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import func, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from database.accounts import list_entitlements
from database.aftermath import next_refund_step, record_access_ended
from database.cases import take_waiting_repairs
from database.changes import (
    Change,
    ChangeRefused,
    Wish,
    add_days,
    correct_address,
    list_changes,
    record_change_told,
)
from database.correspondence import plan_correspondence
from database.emails import owe_again, read_owed_email, record_bounce, record_email
from database.orders import read_grant, write_order
from database.sweeps import take_ended_subscriptions
from database.tables import checkouts, subscriptions
from domain.changes import ChangeEntitlement, ChangeKind, change_id_of
from domain.emails import EmailKind
from domain.identifiers import derived_id
from domain.messages import EmailOutcome, PlanCorrespondence, RecordEmail, WriteOrder
from domain.plans import add_months
from domain.refunds import (
    AskNextRefundStep,
    EndEntitlement,
    RefundStep,
    RefundStepKind,
)
from domain.replies import Draft, Situation, Verified, prepare, suggest
from domain.states import Stage
from tests.conftest import Database
from tests.database.conftest import CHARGED_AT, OpenCheckout, charge
from tests.database.test_reply_facts import _facts
from tests.database.test_subscription_ends import HOURS, bought, entitlement_of

pytestmark = pytest.mark.postgres

ENDS_AT = add_months(CHARGED_AT, 12)
NEW = "mara@example.org"


def wish(turn: int = 0, actor: str = "dana") -> Wish:
    """What somebody wants."""
    return Wish(turn=turn, actor=actor, reason="lost an evening")


async def add(
    engine: AsyncEngine, checkout_id: UUID, days: int = 14, **changes: Any
) -> tuple[Change, bool]:
    """Add days in a transaction of their own."""
    async with engine.begin() as connection:
        return await add_days(connection, checkout_id, wish(**changes), days)


async def correct(
    engine: AsyncEngine, checkout_id: UUID, email: str = NEW, **changes: Any
) -> tuple[Change, bool]:
    """Correct the address likewise."""
    async with engine.begin() as connection:
        return await correct_address(
            connection, checkout_id, wish(**changes), email, Verified.CARD_AND_DAY
        )


async def step(engine: AsyncEngine, checkout_id: UUID) -> RefundStep:
    """Ask what is due."""
    ask = AskNextRefundStep(checkout_id=checkout_id, now=datetime.now(UTC))
    async with engine.begin() as connection:
        return await next_refund_step(connection, ask)


async def tell(engine: AsyncEngine, checkout_id: UUID, number: int) -> None:
    """Write that the application knows."""
    told = ChangeEntitlement(
        checkout_id=checkout_id, entitlement_id=entitlement_of(checkout_id)
    )
    async with engine.begin() as connection:
        await record_change_told(connection, told, number)


def sql(database: Database, statement: str) -> list[tuple[Any, ...]]:
    """Ask the database as its owner."""
    with database.connect_as_owner() as owner:
        return list(owner.execute(statement.encode()).fetchall())


# Made once, and whole


async def test_days_move_the_end_and_owe_the_application_a_word(
    engine: AsyncEngine, database: Database, open_checkout: OpenCheckout
) -> None:
    """Row, end and repair are one commit; the next step is to tell of it."""
    checkout_id = await bought(engine, open_checkout)

    made, is_new = await add(engine, checkout_id)

    assert (is_new, made.days, made.sequence) == (True, 14, 1)
    assert sql(database, "SELECT ends_at FROM subscriptions") == [
        (ENDS_AT + timedelta(days=14),)
    ]
    assert sql(database, "SELECT repair_id, actor, reason FROM repairs") == [
        (change_id_of(checkout_id, 0), "dana", "days were added to the plan")
    ]
    due = await step(engine, checkout_id)
    assert due.kind is RefundStepKind.TELL_CHANGE
    assert due.entitlement_id == entitlement_of(checkout_id)


async def test_an_address_moves_with_all_that_follows(
    engine: AsyncEngine, database: Database, open_checkout: OpenCheckout
) -> None:
    """Checkout, row, notice to the old address and repair are one commit."""
    checkout_id = await bought(engine, open_checkout)

    made, _ = await correct(engine, checkout_id)

    assert (made.old_email, made.new_email) == ("mara@example.com", NEW)
    assert sql(database, "SELECT email FROM checkouts") == [(NEW,)]
    assert sql(
        database,
        "SELECT sequence, state, recipient FROM emails WHERE kind='address-changed'",
    ) == [(1, "pending", "mara@example.com")]
    assert sql(database, "SELECT reason FROM repairs") == [
        ("the address was corrected",)
    ]
    async with engine.begin() as connection:
        grant = await read_grant(connection, entitlement_of(checkout_id))
        assert [one.reference_code for one in await list_entitlements(connection, NEW)]
        assert not await list_entitlements(connection, "mara@example.com")
    assert (grant.email, grant.change) == (NEW, made.number)


async def test_eight_presses_of_one_page_are_one_change(
    engine: AsyncEngine, database: Database, open_checkout: OpenCheckout
) -> None:
    """Two people who press at once, both of them twice, add the days once."""
    checkout_id = await bought(engine, open_checkout)

    answers = await asyncio.gather(
        *(add(engine, checkout_id, actor=actor) for actor in ("dana", "eli") * 4)
    )

    assert sum(is_new for _, is_new in answers) == 1
    assert len({made.change_id for made, _ in answers}) == 1
    assert sql(database, "SELECT ends_at FROM subscriptions") == [
        (ENDS_AT + timedelta(days=14),)
    ]
    assert sql(database, "SELECT count(*) FROM repairs") == [(1,)]


async def test_an_older_page_finds_the_change_that_was_made(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """Days against an address on one turn: the second gets the first one's change."""
    checkout_id = await bought(engine, open_checkout)
    await add(engine, checkout_id)

    made, is_new = await correct(engine, checkout_id, actor="eli")

    assert (made.kind, made.actor, is_new) == (ChangeKind.DAYS, "dana", False)
    async with engine.begin() as connection:
        assert len(await list_changes(connection, checkout_id)) == 1


async def test_a_page_of_the_future_is_none_of_ours(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """A form made by hand cannot leave a gap in the numbers."""
    checkout_id = await bought(engine, open_checkout)

    with pytest.raises(ChangeRefused, match="not one of ours"):
        await add(engine, checkout_id, turn=1)


@pytest.mark.parametrize(
    ("stage", "statement", "words"),
    [
        (Stage.OPEN, "", "Nothing is bought yet"),
        (Stage.CHARGED, "", "not open yet"),
        (
            Stage.CHARGED,
            "UPDATE checkouts SET access_state='ENDED'",
            "never opens again",
        ),
        (
            Stage.CHARGED,
            "UPDATE checkouts SET access_state='ACTIVE';"
            "UPDATE subscriptions SET starts_at = now() - interval '1 year',"
            " ends_at = now()",
            "never opens again",
        ),
    ],
)
async def test_days_are_refused_in_words(
    engine: AsyncEngine,
    database: Database,
    open_checkout: OpenCheckout,
    *,
    stage: Stage,
    statement: str,
    words: str,
) -> None:
    """Unpaid, waiting, ended, or over since this second: a sentence, and no row."""
    checkout_id = await open_checkout(stage)
    with database.connect_as_owner() as owner:
        for one in filter(None, statement.split(";")):
            owner.execute(one.encode())

    with pytest.raises(ChangeRefused, match=words):
        await add(engine, checkout_id)

    assert sql(database, "SELECT count(*) FROM purchase_changes") == [(0,)]


@pytest.mark.parametrize("stage", [Stage.OPEN, Stage.REQUESTED, Stage.CHARGING])
async def test_an_address_is_not_corrected_before_the_money_is_here(
    engine: AsyncEngine, open_checkout: OpenCheckout, stage: Stage
) -> None:
    """The processor was told the address under a key that takes no other one."""
    checkout_id = await open_checkout(stage)

    with pytest.raises(ChangeRefused, match="orders anew"):
        await correct(engine, checkout_id)


async def test_the_same_address_is_no_correction(
    engine: AsyncEngine, database: Database, open_checkout: OpenCheckout
) -> None:
    """In whatever letters it is written; and nobody gets a notice."""
    checkout_id = await bought(engine, open_checkout)

    with pytest.raises(ChangeRefused, match="already"):
        await correct(engine, checkout_id, "Mara@Example.com")

    assert sql(database, "SELECT kind FROM emails") == [("receipt",)]


async def test_no_row_of_the_audit_and_no_value_in_words_has_an_address(
    engine: AsyncEngine, database: Database, open_checkout: OpenCheckout
) -> None:
    """Addresses are in the checkout, the change and the outbox, and nowhere else."""
    checkout_id = await bought(engine, open_checkout)
    made, _ = await correct(engine, checkout_id)
    tables = ("audit", "repairs", "cases", "findings", "promises", "orders")

    found = [sql(database, f"SELECT t::text FROM {t} t") for t in tables]  # noqa: S608  # Our own names.

    assert "@" not in repr(found)
    assert "@" not in repr(made)


def test_the_application_changes_no_change(migrated: Database) -> None:
    """Its role adds rows and notes that they were told: nothing else, and no delete."""
    url = migrated.app_url.replace("postgresql+psycopg://", "postgresql://")
    with psycopg.connect(url, autocommit=True) as app:
        app.execute("UPDATE purchase_changes SET told_at = now()")
        for statement in (
            "UPDATE purchase_changes SET days = 90",
            "UPDATE purchase_changes SET new_email = 'eve@example.com'",
            "DELETE FROM purchase_changes",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute(statement.encode())


# The application


async def test_what_is_told_has_the_number_of_its_facts(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """A change that comes while one is told stays owed; telling covers all before."""
    checkout_id = await bought(engine, open_checkout)
    await add(engine, checkout_id, 1)
    await add(engine, checkout_id, 2, turn=1)
    async with engine.begin() as connection:
        told = await read_grant(connection, entitlement_of(checkout_id))
    await add(engine, checkout_id, 3, turn=2)

    await tell(engine, checkout_id, told.change)

    async with engine.begin() as connection:
        made = await list_changes(connection, checkout_id)
    assert (told.change, told.ends_at) == (made[1].number, ENDS_AT + timedelta(days=3))
    assert [one.told_at is not None for one in made] == [True, True, False]
    assert (await step(engine, checkout_id)).kind is RefundStepKind.TELL_CHANGE
    await tell(engine, checkout_id, made[2].number)
    assert (await step(engine, checkout_id)).kind is RefundStepKind.NOTHING


async def test_numbers_grow_whatever_was_lost(
    engine: AsyncEngine, database: Database, open_checkout: OpenCheckout
) -> None:
    """After a restore, in one millisecond, and with a clock that was put back."""
    checkout_id = await bought(engine, open_checkout)
    lost, _ = await add(engine, checkout_id)
    with database.connect_as_owner() as owner:
        owner.execute("DELETE FROM purchase_changes")

    first, _ = await add(engine, checkout_id)
    with database.connect_as_owner() as owner:
        owner.execute("UPDATE purchase_changes SET number = number + 3600000")
    second, _ = await add(engine, checkout_id, turn=1)

    assert first.sequence == lost.sequence
    assert first.number > lost.number
    assert second.number == first.number + 3600000 + 1


async def test_a_run_that_was_lost_still_tells(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """Whoever starts a checkout anew learns that a change is owed, until it ended."""
    checkout_id = await bought(engine, open_checkout)
    owed = WriteOrder(checkout_id=checkout_id, charge=charge(f"pi_{checkout_id}"))

    async def has_aftermath() -> bool:
        async with engine.begin() as connection:
            return (await write_order(connection, owed)).has_aftermath

    before = await has_aftermath()
    await correct(engine, checkout_id)
    between = await has_aftermath()
    async with engine.begin() as connection:
        end = EndEntitlement(
            checkout_id=checkout_id, entitlement_id=entitlement_of(checkout_id)
        )
        await record_access_ended(connection, end)

    assert (before, between, await has_aftermath()) == (False, True, False)
    assert (await step(engine, checkout_id)).kind is RefundStepKind.NOTHING


async def test_a_press_whose_process_died_is_told_by_the_starter(
    engine: AsyncEngine, database: Database, open_checkout: OpenCheckout
) -> None:
    """The repair's row waits for whoever knocks, in words that name nobody."""
    checkout_id = await bought(engine, open_checkout)
    await correct(engine, checkout_id)
    with database.connect_as_owner() as owner:
        owner.execute("UPDATE repairs SET requested_at = now() - interval '6 s'")

    async with engine.begin() as connection:
        (waiting,) = await take_waiting_repairs(connection, 10)

    assert waiting.checkout.checkout_id == checkout_id
    assert waiting.repair.repair_id == change_id_of(checkout_id, 0)
    assert "@" not in repr(waiting)


# The end


async def test_the_sweep_follows_the_new_end(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """Nobody is asked to end at the old time; at the new one somebody is."""
    checkout_id = await bought(engine, open_checkout)
    async with engine.begin() as connection:
        await connection.execute(
            update(subscriptions).values(
                starts_at=text("now() - interval '1 year'"),
                ends_at=text("now() + interval '1 hour'"),
            )
        )
    await add(engine, checkout_id, 1)

    async def pass_by(hours: int) -> int:
        async with engine.begin() as connection:
            await connection.execute(
                text(
                    "UPDATE subscriptions SET ends_at ="
                    " ends_at - make_interval(hours => :hours)"
                ),
                {"hours": hours},
            )
            return len(await take_ended_subscriptions(connection, 10))

    assert await pass_by(2) == 0
    assert await pass_by(24) == 1


async def test_notices_of_the_end_name_the_new_day_and_come_again(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """Told of the old end, the customer is told of the new one; the row says when."""
    checkout_id = await bought(engine, open_checkout)
    async with engine.begin() as connection:
        # Nobody has to ask whether they got in.
        await connection.execute(update(checkouts).values(heard_at=func.now()))

    async def plan(at: datetime) -> tuple[list[tuple[str, int]], datetime | None]:
        asked = PlanCorrespondence(checkout_id=checkout_id, now=at)
        async with engine.begin() as connection:
            planned = await plan_correspondence(connection, asked, HOURS)
            mails = [
                await read_owed_email(connection, one) for one in planned.email_ids
            ]
            for mail in mails:
                sent = EmailOutcome(is_sent=True)
                await record_email(
                    connection, RecordEmail(email_id=mail.email_id, outcome=sent)
                )
        return [(mail.kind, mail.sequence) for mail in mails], planned.next_at

    told, _ = await plan(ENDS_AT - timedelta(days=30))
    await add(engine, checkout_id)
    moved = ENDS_AT + timedelta(days=14)
    quiet, next_at = await plan(ENDS_AT - timedelta(days=29))
    again, last_at = await plan(moved - timedelta(days=30))

    assert told == [(EmailKind.ENDING_IN_30, 1)]
    assert (quiet, next_at) == ([], moved - timedelta(days=30))
    assert again == [(EmailKind.ENDING_IN_30, 2)]
    assert last_at == moved - timedelta(days=7)


# The notice to the old address


async def _notice(engine: AsyncEngine, checkout_id: UUID) -> UUID:
    """Correct the address; return the notice that is owed."""
    await correct(engine, checkout_id)
    return derived_id(checkout_id, f"{EmailKind.ADDRESS_CHANGED}:1")


async def test_the_notice_says_the_same_after_one_more_correction(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """Each change owes its own notice, to the address that it took the order from."""
    checkout_id = await bought(engine, open_checkout)
    first = await _notice(engine, checkout_id)
    await correct(engine, checkout_id, "kim@example.net", turn=1)
    second = derived_id(checkout_id, f"{EmailKind.ADDRESS_CHANGED}:2")

    async with engine.begin() as connection:
        owed = [await read_owed_email(connection, one) for one in (first, second)]

    assert [(one.recipient, one.moved_to) for one in owed] == [
        ("mara@example.com", "m•••@example.org"),
        (NEW, "k•••@example.net"),
    ]


async def test_a_notice_keeps_no_promise_and_its_loss_is_nobodys_case(
    engine: AsyncEngine, database: Database, open_checkout: OpenCheckout
) -> None:
    """The customer has not heard from us by it, and need not be found another way."""
    checkout_id = await bought(engine, open_checkout)
    notice = await _notice(engine, checkout_id)
    with database.connect_as_owner() as owner:
        owner.execute(
            "INSERT INTO promises (promise_id, email_id, checkout_id, due_at)"
            " SELECT email_id, email_id, checkout_id, now() + interval '1 hour'"
            " FROM emails WHERE kind='receipt'"
        )

    async with engine.begin() as connection:
        sent = EmailOutcome(is_sent=True)
        await record_email(connection, RecordEmail(email_id=notice, outcome=sent))
        reaches_customer = await record_bounce(connection, notice, "5.1.1")
        again = await owe_again(connection, checkout_id)

    assert not reaches_customer
    assert again == ()
    assert sql(database, "SELECT kept_at FROM promises") == [(None,)]


async def test_what_came_back_from_the_old_address_goes_to_the_new_one(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """The receipt that failed is sent again by hand, and the notice stays as it is."""
    checkout_id = await bought(engine, open_checkout)
    receipt = derived_id(checkout_id, "receipt")
    async with engine.begin() as connection:
        assert await record_bounce(connection, receipt, "5.1.1")
    await correct(engine, checkout_id)

    async with engine.begin() as connection:
        kinds = await owe_again(connection, checkout_id)
        owed = await read_owed_email(connection, receipt)

    assert kinds == (EmailKind.RECEIPT,)
    assert (owed.recipient, owed.checkout.email) == (None, NEW)


# The letters


async def test_the_letters_find_their_facts_in_the_rows(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """“Wrong address” and “Days for the wait” can leave once the rows say so."""
    checkout_id = await bought(engine, open_checkout)
    both = (Situation.WRONG_ADDRESS, Situation.COMPENSATION)
    before = await _facts(engine, checkout_id)
    await correct(engine, checkout_id)
    await add(engine, checkout_id, 3, turn=1)
    await add(engine, checkout_id, 14, turn=2)

    facts = await _facts(engine, checkout_id)

    assert not any(isinstance(prepare(one, before), Draft) for one in both)
    assert all(isinstance(prepare(one, facts), Draft) for one in both)
    assert set(suggest(facts)[:2]) == set(both)
    assert facts.wrong_address == "m•••@example.com"
    assert (facts.email, facts.verified) == (NEW, Verified.CARD_AND_DAY)
    assert facts.added is not None
    assert (facts.added.days, facts.added.until) == (14, ENDS_AT + timedelta(days=17))
