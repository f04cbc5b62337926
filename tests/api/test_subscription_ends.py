"""The sweep and the end of a plan: it knocks, by one repair, and ends nothing."""

from __future__ import annotations

import asyncio

import pytest

from api.starter import Starter
from api.sweep import Sweep
from tests.api.conftest import MakeShop
from tests.api.doubles import Opened, Shop, text_of
from workflows.door import DoorClosed


async def bought(shop: Shop, email: str = "mara@example.com") -> Opened:
    """Buy a plan whose access is open."""
    opened = await shop.open(email)
    await shop.pay(opened)
    shop.sql(
        "UPDATE checkouts SET stage='charging' WHERE checkout_id=%s", opened.checkout_id
    )
    shop.charge(opened)
    return opened


def end_in(shop: Shop, interval: str) -> None:
    """Let every plan end so long from now, or before; nobody was asked yet."""
    shop.sql(
        "UPDATE subscriptions SET starts_at = now() - interval '2 years',"
        " ends_at = now() + %s::interval, end_asked_at = NULL",
        interval,
    )


async def test_a_plan_that_is_over_is_asked_to_end(shop: Shop) -> None:
    """One knock, that says who asks and why; the rows are left to the workflow."""
    opened = await bought(shop)
    end_in(shop, "-1 day")
    shop.sql("UPDATE subscriptions SET ends_at = '2026-11-23 14:32Z'")
    before = shop.sql("SELECT access_state, state FROM checkouts, subscriptions")

    await Starter(shop.parts).round()

    ((checkout, repair),) = shop.door.repairs
    assert checkout.checkout_id == opened.checkout_id
    assert [(checkout.reference_code,)] == shop.sql(
        "SELECT reference_code FROM checkouts"
    )
    assert repair.actor == "sweep"
    assert repair.reason == "the plan ended on 23 Nov 2026, 14:32 UTC"
    assert shop.sql("SELECT access_state, state FROM checkouts, subscriptions") == (
        before
    )


async def test_a_plan_that_runs_is_left_alone(shop: Shop) -> None:
    """Before its end nobody is asked."""
    await bought(shop)
    end_in(shop, "1 minute")

    reached = await Sweep(shop.parts).go()

    assert (reached, shop.door.repairs) == (0, [])


@pytest.mark.parametrize("state", ["canceled", "expired"])
async def test_a_plan_that_has_ended_is_left_alone(shop: Shop, state: str) -> None:
    """What went with the money, or by its time, is not ended a second time."""
    await bought(shop)
    end_in(shop, "-1 day")
    shop.sql("UPDATE subscriptions SET state=%s", state)

    await Sweep(shop.parts).go()

    assert shop.door.repairs == []


async def test_an_unfinished_end_is_asked_for_hourly_by_one_repair(shop: Shop) -> None:
    """While the application is down the run is not knocked for each minute."""
    await bought(shop)
    end_in(shop, "-1 day")
    now = [0.0]
    sweep = Sweep(shop.parts, clock=lambda: now[0])

    asked = []
    for now[0] in (0, 60, 120):
        await sweep.go()
        asked.append(len(shop.door.repairs))
    shop.sql("UPDATE subscriptions SET end_asked_at = now() - interval '61 minutes'")
    now[0] = 180
    await sweep.go()

    assert asked == [1, 1, 1]
    assert len(shop.door.repairs) == 2
    assert len({repair.repair_id for _, repair in shop.door.repairs}) == 1


async def test_what_a_closed_door_kept_is_asked_the_next_minute(shop: Shop) -> None:
    """With Temporal down the row stays unasked, and nothing is lost."""
    opened = await bought(shop)
    end_in(shop, "-1 day")
    now = [0.0]
    sweep = Sweep(shop.parts, clock=lambda: now[0])
    shop.door.is_closed = True
    with pytest.raises(DoorClosed):
        await sweep.go()

    shop.door.is_closed = False
    now[0] = 60
    reached = await sweep.go()

    assert reached == 1
    assert [checkout.checkout_id for checkout, _ in shop.door.repairs] == [
        opened.checkout_id
    ]


async def test_replicas_knock_once(make_shop: MakeShop) -> None:
    """Two processes that sweep in the same second ask for each end once."""
    one, other = make_shop(), make_shop()
    for number in range(8):
        await bought(one, f"mara{number}@example.com")
    end_in(one, "-1 day")

    await asyncio.gather(Sweep(one.parts).go(), Sweep(other.parts).go())

    asked = [checkout.checkout_id for checkout, _ in one.door.repairs]
    asked += [checkout.checkout_id for checkout, _ in other.door.repairs]
    assert len(asked) == len(set(asked)) == 8


async def test_the_page_of_a_plan_that_ran_out_speaks_of_no_refund(shop: Shop) -> None:
    """A year that is over reads as just that: ended, paid, nothing more charged."""
    opened = await bought(shop)
    end_in(shop, "-1 day")
    shop.sql("UPDATE checkouts SET access_state='ENDED'")
    shop.sql("UPDATE entitlements SET state='ended', ended_at=now()")
    shop.sql("UPDATE subscriptions SET state='expired'")

    page = await shop.browser.get(opened.path)

    said = text_of(page.text)
    assert page.status_code == 200
    assert "Your plan has ended." in said
    assert "You paid $249.00 for it. Nothing more is charged." in said
    for word in ("refund", "return", "You're in", "Pay $"):
        assert word not in said


async def test_a_refund_that_kept_access_and_ran_out_says_both(shop: Shop) -> None:
    """The access did not go with the money, so the page does not say that it did."""
    opened = await bought(shop)
    end_in(shop, "-1 day")
    shop.sql("UPDATE checkouts SET access_state='ENDED', money_state='REFUNDED'")
    shop.sql("UPDATE subscriptions SET state='expired'")

    said = text_of((await shop.browser.get(opened.path)).text)

    assert "Your access has ended." in said
    assert "ended with it" not in said
