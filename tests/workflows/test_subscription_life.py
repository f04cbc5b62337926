"""The life of a subscription in skipped time, with the real rows: notices and the end.

The Temporal server's clock skips and the database's does not, so a year that has passed
is written into the row.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from temporalio.testing import WorkflowEnvironment

from domain.emails import EmailKind
from domain.messages import CheckoutEnd, RepairRequest
from domain.plans import add_months
from domain.refunds import RefundStatus
from domain.states import AccessState, MoneyState
from tests.database.conftest import CHARGED_AT, open_checkout
from tests.workflows.conftest import Handle
from tests.workflows.test_refunds import Shop, shop, skipping

__all__ = ["open_checkout", "shop", "skipping"]

pytestmark = [pytest.mark.temporal, pytest.mark.postgres]

#: The sweep derives it from the subscription: one for every knock.
ENDING = RepairRequest(
    repair_id=UUID(int=7), actor="sweep", reason="the plan ended on 23 Nov 2027"
)


def execute(shop: Shop, statement: str) -> None:
    """Change rows as the owner."""
    with shop._database.connect_as_owner() as owner:
        owner.execute(statement.encode())


def run_out(shop: Shop) -> None:
    """Let the bought year be over since a minute."""
    execute(
        shop,
        "UPDATE subscriptions SET starts_at = now() - interval '1 year',"
        " ends_at = now() - interval '1 minute'",
    )


async def knock(shop: Shop) -> Handle:
    """Ask for the end as the sweep does."""
    return await shop.start("request_repair", ENDING)


def rows(shop: Shop) -> tuple[Any, ...]:
    """Return the states of subscription and entitlement."""
    (row,) = shop.sql(
        "SELECT subscriptions.state, entitlements.state FROM subscriptions"
        " JOIN entitlements USING (order_id)"
    )
    return row


async def test_a_year_that_is_over_ends_access(shop: Shop) -> None:
    """The application is told, the rows say expired, and no mail speaks of money."""
    await shop.bought()
    mails = list(shop.world.mails)
    run_out(shop)

    result = await (await knock(shop)).result()

    assert result.end is CheckoutEnd.ENDED
    assert await shop.stands() == (MoneyState.CHARGED, AccessState.ENDED)
    assert rows(shop) == ("expired", "ended")
    assert list(shop.world.application.values()) == ["ended"]
    assert shop.world.mails == mails
    assert shop.sql("SELECT actor, outcome FROM repairs") == [
        ("sweep", "ended: ended access: its time is over")
    ]
    assert shop.cases() == []


async def test_a_knock_before_the_end_changes_nothing(shop: Shop) -> None:
    """The database's clock decides, not who knocks."""
    await shop.bought()

    result = await (await knock(shop)).result()

    assert result.end is CheckoutEnd.DELIVERED
    assert rows(shop) == ("active", "active")


async def test_knocks_again_are_one_end(shop: Shop) -> None:
    """A sweep that asks again, or a lost run, finds it ended and tells nobody twice."""
    await shop.bought()
    run_out(shop)
    await (await knock(shop)).result()
    shop.world.application.clear()

    result = await (await knock(shop)).result()

    assert result.end is CheckoutEnd.ENDED
    assert shop.world.application == {}
    assert len(shop.sql("SELECT * FROM repairs")) == 1


async def test_an_application_that_is_down_is_told_later(
    shop: Shop, skipping: WorkflowEnvironment
) -> None:
    """The end is tried in rounds, shown to people meanwhile, and never given up."""
    await shop.bought()
    run_out(shop)
    shop.world.is_application_away = True
    handle = await knock(shop)
    await skipping.sleep(timedelta(hours=9))
    before = (rows(shop), shop.cases())
    await knock(shop)
    shop.world.is_application_away = False

    result = await handle.result()

    assert before == (("active", "active"), [("ApplicationAway", "open")])
    assert result.end is CheckoutEnd.ENDED
    assert rows(shop) == ("expired", "ended")
    assert shop.cases() == [("ApplicationAway", "resolved")]


async def test_a_refund_does_not_wait_for_an_application_that_is_down(
    shop: Shop, skipping: WorkflowEnvironment
) -> None:
    """While the end cannot be told, money that is asked for still goes back."""
    await shop.bought()
    run_out(shop)
    shop.world.is_application_away = True
    handle = await knock(shop)
    await skipping.sleep(timedelta(hours=1))
    request = await shop.world.ask()
    await shop.start("request_refund", request)
    await skipping.sleep(timedelta(minutes=11))
    # The starter loop knocks again for a refund whose time has come.
    await shop.start("request_refund", request)
    await skipping.sleep(timedelta(minutes=4))
    returned = shop.returned()
    shop.world.is_application_away = False

    result = await handle.result()

    assert returned == 24900
    assert result.end is CheckoutEnd.REFUNDED
    assert await shop.stands() == (MoneyState.REFUNDED, AccessState.ENDED)
    assert rows(shop) == ("canceled", "ended")


async def test_the_end_meets_a_refund_that_waits(shop: Shop) -> None:
    """Within a refund's ten minutes the plan ends: both happen, each once."""
    await shop.bought()
    run_out(shop)
    await shop.refund()

    result = await (await knock(shop)).result()

    assert result.end is CheckoutEnd.REFUNDED
    assert await shop.stands() == (MoneyState.REFUNDED, AccessState.ENDED)
    assert rows(shop) == ("expired", "ended")
    assert len(shop.world.bank.refunds) == 1


async def test_a_run_that_is_there_is_knocked_for(
    shop: Shop, skipping: WorkflowEnvironment
) -> None:
    """A run that waits for a bank's word ends access in between, and waits on."""
    await shop.bought()
    shop.world.bank.first_status = RefundStatus.PENDING
    handle = await shop.refund(5000)
    await skipping.sleep(timedelta(hours=30))
    run_out(shop)

    await knock(shop)
    await skipping.sleep(timedelta(minutes=1))
    between = rows(shop)
    shop.world.bank.decide(RefundStatus.SUCCEEDED)
    await handle.result()

    assert between == ("expired", "ended")
    assert await shop.stands() == (MoneyState.CHARGED, AccessState.ENDED)
    assert shop.returned() == 5000


async def test_access_that_never_opened_is_ended_and_not_opened(
    shop: Shop, skipping: WorkflowEnvironment
) -> None:
    """Who could not be let in for the whole time is not let in after it."""
    shop.world.is_application_away = True
    handle = await shop.start()
    await skipping.sleep(timedelta(minutes=5))
    run_out(shop)
    await knock(shop)
    await skipping.sleep(timedelta(minutes=5))
    shop.world.is_application_away = False

    result = await handle.result()

    assert result.end is CheckoutEnd.ENDED
    assert list(shop.world.application.values()) == ["ended"]
    assert EmailKind.RECEIPT not in shop.world.mails
    assert rows(shop) == ("expired", "ended")


async def test_a_run_that_died_in_between_is_taken_up(
    shop: Shop, skipping: WorkflowEnvironment
) -> None:
    """A run lost in the middle of the end is started anew by the next knock."""
    await shop.bought()
    run_out(shop)
    shop.world.is_application_away = True
    handle = await knock(shop)
    await skipping.sleep(timedelta(minutes=10))
    await handle.terminate("lost")
    shop.world.is_application_away = False

    result = await (await knock(shop)).result()

    assert result.end is CheckoutEnd.ENDED
    assert rows(shop) == ("expired", "ended")


async def test_notices_leave_thirty_and_seven_days_before_once(
    shop: Shop, skipping: WorkflowEnvironment
) -> None:
    """Whoever starts a run, however often: two notices, and none after the end."""
    await shop.bought()
    execute(shop, "UPDATE checkouts SET heard_at = now()")
    ends_at = add_months(CHARGED_AT, 12)
    kinds = {EmailKind.ENDING_IN_30, EmailKind.ENDING_IN_7}

    said = []
    for days in (50, 30, 25, 7, 6):
        now = await skipping.get_current_time()
        await skipping.sleep(ends_at - timedelta(days=days) - now)
        await (await shop.repair()).result()
        said.append([kind for kind in shop.world.mails if kind in kinds])
    run_out(shop)
    await (await knock(shop)).result()

    first, second = [EmailKind.ENDING_IN_30], [EmailKind.ENDING_IN_7]
    assert said == [[], first, first, first + second, first + second]
    assert [kind for kind in shop.world.mails if kind in kinds] == first + second


async def test_no_notice_after_the_money_went_back(
    shop: Shop, skipping: WorkflowEnvironment
) -> None:
    """Who has their money back is not told that a plan of theirs ends."""
    await shop.bought()
    await (await shop.refund()).result()
    ends_at = add_months(CHARGED_AT, 12)

    for days in (30, 7):
        now = await skipping.get_current_time()
        await skipping.sleep(ends_at - timedelta(days=days) - now)
        await (await shop.repair()).result()

    assert not {EmailKind.ENDING_IN_30, EmailKind.ENDING_IN_7} & set(shop.world.mails)
