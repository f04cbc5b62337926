"""Changes of a purchase in the workflow: told once, in turn, however long it takes.

The real rows and activities, an application made of memory, and skipped time.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from temporalio.testing import WorkflowEnvironment

from database.changes import Change, Wish, add_days, correct_address
from domain.changes import WHY
from domain.emails import EmailKind
from domain.messages import CheckoutEnd, RepairRequest
from domain.replies import Verified
from domain.states import AccessState, MoneyState
from tests.database.conftest import open_checkout
from tests.workflows.conftest import Handle
from tests.workflows.test_refunds import Shop, dispute, shop, skipping
from tests.workflows.test_subscription_life import execute

__all__ = ["open_checkout", "shop", "skipping"]

pytestmark = [pytest.mark.temporal, pytest.mark.postgres]

NEW = "mara@example.org"


async def is_in(shop: Shop) -> None:
    """Buy, and be heard of since, so that nobody asks whether they got in."""
    await shop.bought()
    execute(shop, "UPDATE checkouts SET heard_at = clock_timestamp()")


async def change(shop: Shop, kind: str, turn: int = 0) -> Change:
    """Write a change, as the console does before it knocks."""
    wish = Wish(turn=turn, actor="dana", reason="they wrote from elsewhere")
    checkout_id = shop.world.checkout_id
    async with shop.world.engine.begin() as connection:
        if kind == "days":
            made, _ = await add_days(connection, checkout_id, wish, 14)
        else:
            made, _ = await correct_address(
                connection, checkout_id, wish, NEW, Verified.PAGE_LINK
            )
    return made


async def knock(shop: Shop, made: Change) -> Handle:
    """Ask for the repair of a change, as the console and the starter do."""
    repair = RepairRequest(
        repair_id=made.change_id, actor=made.actor, reason=WHY[made.kind]
    )
    return await shop.start("request_repair", repair)


def told(shop: Shop) -> list[tuple[int, str]]:
    """Return what the application was told of changes: which, and the address."""
    turns = dict(shop.sql("SELECT number, sequence FROM purchase_changes"))
    return [(turns[one.change], one.email) for one in shop.world.told]


def rows(shop: Shop) -> list[tuple[Any, ...]]:
    """Return number and whether it was told, of each change."""
    return shop.sql(
        "SELECT sequence, told_at IS NOT NULL FROM purchase_changes ORDER BY 1"
    )


async def test_an_address_is_told_once_and_the_old_one_gets_a_notice(
    shop: Shop,
) -> None:
    """One call to the application, one mail to the old address, one outcome."""
    await is_in(shop)

    result = await (await knock(shop, await change(shop, "address"))).result()

    assert result.end is CheckoutEnd.DELIVERED
    assert told(shop) == [(1, NEW)]
    assert rows(shop) == [(1, True)]
    assert shop.world.mails == [EmailKind.RECEIPT, EmailKind.ADDRESS_CHANGED]
    assert shop.world.recipients == ["mara@example.com", "mara@example.com"]
    assert shop.sql("SELECT reason, outcome FROM repairs") == [
        (
            "the address was corrected",
            "delivered: told the application what was changed, sent a mail",
        )
    ]
    assert shop.cases() == []


async def test_days_are_told_and_no_mail_leaves(shop: Shop) -> None:
    """The application learns of the new end; the letter is a person's to write."""
    await is_in(shop)
    (before,) = shop.sql("SELECT ends_at FROM subscriptions")

    await (await knock(shop, await change(shop, "days"))).result()

    (grant,) = shop.world.told
    assert grant.ends_at == before[0] + timedelta(days=14)
    assert shop.world.mails == [EmailKind.RECEIPT]


async def test_a_knock_again_tells_nobody_twice(shop: Shop) -> None:
    """The starter that knocks once more finds it told."""
    await is_in(shop)
    made = await change(shop, "days")
    await (await knock(shop, made)).result()

    await (await knock(shop, made)).result()

    assert len(shop.world.told) == 1
    assert len(shop.sql("SELECT * FROM repairs")) == 1


async def test_two_changes_are_told_in_one_call(shop: Shop) -> None:
    """The newest number tells all of them, so the first needs no call of its own."""
    await is_in(shop)
    await change(shop, "days")
    made = await change(shop, "address", turn=1)

    await (await knock(shop, made)).result()

    assert told(shop) == [(2, NEW)]
    assert rows(shop) == [(1, True), (2, True)]


async def test_an_answer_that_is_lost_is_asked_for_again(shop: Shop) -> None:
    """A crash after the application acted says the same under the same number."""
    await is_in(shop)
    shop.world.lose_answers = 2

    await (await knock(shop, await change(shop, "days"))).result()

    assert [turn for turn, _ in told(shop)] == [1, 1, 1]
    assert len({(one.email, one.ends_at) for one in shop.world.told}) == 1
    assert rows(shop) == [(1, True)]


async def test_an_application_that_is_down_is_told_later(
    shop: Shop, skipping: WorkflowEnvironment
) -> None:
    """Tried in rounds and shown to people; the old address hears of it meanwhile."""
    await is_in(shop)
    shop.world.is_application_away = True
    handle = await knock(shop, await change(shop, "address"))
    await skipping.sleep(timedelta(hours=3))
    before = (rows(shop), shop.cases(), list(shop.world.mails))
    shop.world.is_application_away = False

    result = await handle.result()

    assert before[0] == [(1, False)]
    assert before[1] == [("ApplicationAway", "open")]
    assert before[2] == [EmailKind.RECEIPT, EmailKind.ADDRESS_CHANGED]
    assert result.end is CheckoutEnd.DELIVERED
    assert told(shop) == [(1, NEW)]
    assert shop.cases() == [("ApplicationAway", "resolved")]


async def test_money_goes_back_although_the_application_is_down(
    shop: Shop, skipping: WorkflowEnvironment
) -> None:
    """A refund that is asked for meanwhile waits for no application."""
    await is_in(shop)
    shop.world.is_application_away = True
    await knock(shop, await change(shop, "days"))
    await skipping.sleep(timedelta(minutes=5))

    handle = await shop.refund(9900)
    await skipping.sleep(timedelta(hours=2))
    between = (shop.returned(), rows(shop))
    shop.world.is_application_away = False
    await handle.result()

    assert between == (9900, [(1, False)])
    assert rows(shop) == [(1, True)]


async def test_a_change_before_access_is_open_is_told_with_it(
    shop: Shop, skipping: WorkflowEnvironment
) -> None:
    """The call that opens access tells the new address; then the number follows."""
    shop.world.is_application_away = True
    await shop.start()
    await skipping.sleep(timedelta(minutes=5))
    made = await change(shop, "address")
    handle = await knock(shop, made)
    shop.world.is_application_away = False

    result = await handle.result()

    assert result.end is CheckoutEnd.DELIVERED
    assert await shop.stands() == (MoneyState.CHARGED, AccessState.ACTIVE)
    assert told(shop) == [(1, NEW)]
    assert shop.world.recipients[-1] in {NEW, "mara@example.com"}
    assert sorted(set(shop.world.recipients)) == ["mara@example.com", NEW]


async def test_an_old_address_that_refuses_is_nobodys_case(shop: Shop) -> None:
    """It was mistyped, so nobody has to be found another way: the run just ends."""
    await is_in(shop)
    shop.world.refusal = "550"

    await (await knock(shop, await change(shop, "address"))).result()

    assert shop.sql("SELECT state FROM emails WHERE recipient IS NOT NULL") == [
        ("failed",)
    ]
    assert shop.cases() == []


async def test_what_has_ended_is_told_no_change(shop: Shop) -> None:
    """Mail about a returned payment goes to the new address; access is over."""
    await is_in(shop)
    await (await shop.refund()).result()
    calls = dict(shop.world.application)

    result = await (await knock(shop, await change(shop, "address"))).result()

    assert result.end is CheckoutEnd.REFUNDED
    assert shop.world.told == []
    assert shop.world.application == calls
    assert shop.world.mails[-1] is EmailKind.ADDRESS_CHANGED


async def test_histories_hold_no_address(shop: Shop) -> None:
    """Neither the old nor the new one, nor the words of whoever changed it."""
    await is_in(shop)

    handle = await knock(shop, await change(shop, "address"))
    await handle.result()

    events = (await handle.fetch_history()).events
    history = b"".join(event.SerializeToString() for event in events)
    assert b"change_entitlement" in history
    for personal in (b"example.org", b"example.com", b"they wrote from elsewhere"):
        assert personal not in history


async def test_a_dispute_is_found_although_the_application_is_down(
    shop: Shop, skipping: WorkflowEnvironment
) -> None:
    """The bank's date does not wait until the application can be told of a change."""
    await is_in(shop)
    shop.world.is_application_away = True
    await knock(shop, await change(shop, "days"))
    await skipping.sleep(timedelta(minutes=5))
    shop.world.bank.disputes.append(dispute(shop))

    await shop.repair()
    await skipping.sleep(timedelta(hours=1))
    between = (shop.sql("SELECT count(*) FROM disputes"), rows(shop))
    shop.world.is_application_away = False
    await (await shop.repair()).result()

    assert between == ([(1,)], [(1, False)])
    assert rows(shop) == [(1, True)]
