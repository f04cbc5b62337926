"""Runs that are gone: a press, or a minute's patience, brings the checkout on again."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable
from uuid import UUID

import pytest

from api.starter import Starter
from api.sweep import Sweep
from tests.api.conftest import MakeShop
from tests.api.doubles import Opened, Shop
from workflows.door import DoorClosed

#: Every unfinished state that a row can be in, as SQL; None where Pay is enough.
UNFINISHED = {
    "requested": None,
    "charging": "UPDATE checkouts SET stage='charging'",
    "at the bank": "UPDATE checkouts SET stage='charging', money_state='ACTION_NEEDED',"
    " next_action_url='https://bank.example'",
    "charged": "PENDING",
}


async def bring_to(shop: Shop, state: str) -> Opened:
    """Open a checkout, pay it and bring its row to a state."""
    opened = await shop.open()
    await shop.pay(opened)
    match UNFINISHED[state]:
        case None:
            pass
        case "PENDING":
            shop.sql("UPDATE checkouts SET stage='charging'")
            shop.charge(opened, access="PENDING")
        case statement:
            shop.sql(statement)
    return opened


def age(shop: Shop, minutes: int = 3) -> None:
    """Let the rows stand still for so long."""
    shop.sql(
        "UPDATE checkouts SET updated_at = now() - make_interval(mins => %s)", minutes
    )


def repaired(shop: Shop) -> list[UUID]:
    """Return the ids of the checkouts that a repair was asked for."""
    return [checkout.checkout_id for checkout, _ in shop.door.repairs]


# A press


@pytest.mark.parametrize("state", UNFINISHED)
async def test_a_press_repairs_what_nobody_looks_after(shop: Shop, state: str) -> None:
    """Bank return and "Check again" start a lost run anew, by one repair for all."""
    opened = await bring_to(shop, state)
    shop.door.is_listening = False

    answers = [
        await shop.browser.get(f"{opened.path}/return"),
        await shop.browser.post(f"{opened.path}/check"),
        await shop.browser.post(f"{opened.path}/check"),
    ]

    assert [answer.status_code for answer in answers] == [303] * 3
    assert repaired(shop) == [opened.checkout_id] * 3
    assert len({repair.repair_id for _, repair in shop.door.repairs}) == 1
    checkout, repair = shop.door.repairs[0]
    assert shop.sql("SELECT reference_code FROM checkouts") == [
        (checkout.reference_code,)
    ]
    assert (repair.actor, repair.reason) == ("api", "no workflow running")


async def test_the_next_attempt_has_its_own_repair(shop: Shop) -> None:
    """A repair that is recorded for one card does not stand for the next one's."""
    opened = await shop.open()
    shop.door.is_listening = False
    for _ in range(2):
        await shop.pay(opened)
        await shop.browser.post(f"{opened.path}/check")
        shop.decline(opened)

    assert len({repair.repair_id for _, repair in shop.door.repairs}) == 2


async def test_nothing_is_repaired_that_is_finished(shop: Shop) -> None:
    """An open, a declined and a delivered checkout need no run."""
    shop.door.is_listening = False
    opened = await shop.open()
    await shop.browser.post(f"{opened.path}/check")
    await shop.pay(opened)
    shop.decline(opened)
    await shop.browser.post(f"{opened.path}/check")
    await shop.pay(opened)
    shop.sql("UPDATE checkouts SET stage='charging'")
    shop.charge(opened)
    await shop.browser.post(f"{opened.path}/check")

    assert shop.door.repairs == []


@pytest.mark.parametrize("state", UNFINISHED)
async def test_who_listens_is_left_to_it(shop: Shop, state: str) -> None:
    """A run that is there is told, and not repaired."""
    opened = await bring_to(shop, state)

    await shop.browser.post(f"{opened.path}/check")

    assert shop.door.hinted == [opened.checkout_id]
    assert shop.door.repairs == []


# The sweep


@pytest.mark.parametrize("state", ["charging", "charged"])
async def test_the_starter_loop_finds_a_lost_run(shop: Shop, state: str) -> None:
    """Without any press, a row that stands still gets a run within minutes."""
    opened = await bring_to(shop, state)
    age(shop)
    shop.door.is_listening = False

    await Starter(shop.parts).round()
    await Starter(shop.parts).round()

    assert repaired(shop) == [opened.checkout_id] * 2
    assert len({repair.repair_id for _, repair in shop.door.repairs}) == 1
    assert shop.door.repairs[0][1].actor == "starter"


@pytest.mark.parametrize("state", ["requested", "at the bank"])
async def test_the_sweep_leaves_alone_who_waits_rightly(shop: Shop, state: str) -> None:
    """Requests have a loop of their own; a buyer at the bank may take their time."""
    await bring_to(shop, state)
    age(shop)
    shop.door.is_listening = False

    await Starter(shop.parts).round()

    assert (shop.door.asked_after, shop.door.repairs) == ([], [])


async def test_the_sweep_leaves_alone_what_moves(shop: Shop) -> None:
    """A run that wrote something a minute ago is well."""
    await bring_to(shop, "charging")
    age(shop, 1)

    await Starter(shop.parts).round()

    assert shop.door.asked_after == []


async def test_the_sweep_leaves_alone_what_is_finished(shop: Shop) -> None:
    """Delivered, declined and untouched checkouts need no run, however old."""
    delivered = await bring_to(shop, "charging")
    shop.charge(delivered)
    declined = await shop.open()
    await shop.pay(declined)
    shop.sql(
        "UPDATE checkouts SET stage='open', money_state='NOT_CHARGED'"
        " WHERE stage='requested'"
    )
    await shop.open()
    age(shop, 60)

    await Starter(shop.parts).round()

    assert shop.door.asked_after == []


async def test_a_healthy_wait_is_asked_after_and_not_ended(shop: Shop) -> None:
    """Whoever waits rightly is told nothing, and asked after once in ten minutes."""
    opened = await bring_to(shop, "charging")
    age(shop)
    now = [0.0]
    sweep = Sweep(shop.parts, clock=lambda: now[0])

    looked = []
    for now[0] in (0, 1, 59, 60, 120, 540, 600, 660):
        await sweep.go()
        looked.append(len(shop.door.asked_after))

    assert looked == [1, 1, 1, 1, 1, 1, 2, 2]
    assert set(shop.door.asked_after) == {opened.checkout_id}
    assert (shop.door.hinted, shop.door.repairs) == ([], [])


async def test_who_should_have_heard_from_us_is_told(shop: Shop) -> None:
    """A run that cannot know that its mail may leave by now hears of it."""
    opened = await bring_to(shop, "charging")
    shop.sql("UPDATE checkouts SET next_message_at = now() - interval '3 min'")

    await Starter(shop.parts).round()

    assert (shop.door.hinted, shop.door.repairs) == ([opened.checkout_id], [])


async def suspected(shop: Shop) -> Opened:
    """Have a second charge that nobody has asked the processor about."""
    opened = await bring_to(shop, "charging")
    shop.charge(opened)
    shop.sql(
        "INSERT INTO second_charges (payment_intent_id, checkout_id, next_look_at)"
        " SELECT 'pi_second', checkout_id, now() - interval '11 min' FROM checkouts"
    )
    return opened


async def refunded(shop: Shop, *, ends_access: bool = True) -> Opened:
    """Have the whole price gone back while access is open."""
    opened = await bring_to(shop, "charging")
    shop.charge(opened)
    shop.sql(
        "INSERT INTO refunds (refund_id, checkout_id, payment_intent_id, amount_minor,"
        " currency, captured_minor, purpose, actor, reason, ends_access, not_before,"
        " state, processor_refund_id, accepted_at, finished_at)"
        " SELECT gen_random_uuid(), checkout_id, payment_intent_id, amount_minor,"
        " currency, amount_minor, 'outside', 'processor', 'none', %s, now(),"
        " 'succeeded', 're_1', now(), now() FROM checkouts",
        ends_access,
    )
    shop.sql("UPDATE checkouts SET money_state = 'REFUNDED'")
    return opened


@pytest.mark.parametrize("left", [suspected, refunded], ids=lambda one: one.__name__)
async def test_what_is_left_after_a_delivery_is_found_too(
    shop: Shop, left: Callable[[Shop], Awaitable[Opened]]
) -> None:
    """A second charge that is not proven, and access whose money is back, get a run."""
    opened = await left(shop)
    age(shop)
    shop.door.is_listening = False

    await Starter(shop.parts).round()

    assert repaired(shop) == [opened.checkout_id]


async def test_access_that_was_left_open_by_choice_is_left_alone(shop: Shop) -> None:
    """Support may give the money back and leave the access: nothing is missing then.

    A second charge that was asked about lately has its run.
    """
    await refunded(shop, ends_access=False)
    shop.sql(
        "INSERT INTO second_charges (payment_intent_id, checkout_id, next_look_at)"
        " SELECT 'pi_second', checkout_id, now() - interval '5 min' FROM checkouts"
    )
    age(shop)

    await Starter(shop.parts).round()

    assert shop.door.asked_after == []


async def test_a_minute_takes_twenty_and_misses_none(shop: Shop) -> None:
    """A backlog is looked at in bounded steps, all of it before any a second time."""
    opened = []
    for number in range(45):
        one = await shop.open(f"mara{number}@example.com")
        await shop.pay(one)
        opened.append(one.checkout_id)
    shop.sql("UPDATE checkouts SET stage='charging'")
    age(shop)
    now = [0.0]
    sweep = Sweep(shop.parts, clock=lambda: now[0])

    sizes = []
    for now[0] in (0, 60, 120, 180):
        sizes.append(await sweep.go())

    assert sizes == [20, 20, 5, 0]
    assert sorted(shop.door.asked_after) == sorted(opened)


async def test_what_a_closed_door_hid_is_asked_again(shop: Shop) -> None:
    """With Temporal down nothing is ticked off: the next minute asks all again."""
    opened = await bring_to(shop, "charging")
    age(shop)
    now = [0.0]
    sweep = Sweep(shop.parts, clock=lambda: now[0])
    shop.door.is_closed = True
    with pytest.raises(DoorClosed):
        await sweep.go()
    shop.door.is_closed = False
    shop.door.is_listening = False

    too_early = await sweep.go()
    now[0] = 60
    reached = await sweep.go()

    assert (too_early, reached) == (0, 1)
    assert repaired(shop) == [opened.checkout_id]


async def test_the_loop_tells_of_temporals_outage_once(
    shop: Shop, log_lines: io.StringIO
) -> None:
    """A sweep at a closed door costs neither the round nor a line per minute."""
    await bring_to(shop, "charging")
    age(shop)
    starter = Starter(shop.parts)
    now = [0.0]
    starter._sweep = Sweep(shop.parts, clock=lambda: now[0])
    shop.door.is_closed = True
    for _ in range(3):
        await starter.round()
        now[0] += 60
    shop.door.is_closed = False
    await starter.round()

    lines = log_lines.getvalue().splitlines()
    assert len([line for line in lines if "starter loop waits" in line]) == 1
    assert len([line for line in lines if "starter loop goes on" in line]) == 1


async def test_a_sweep_remembers_a_bounded_number(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many checkouts stand still, the process's memory does not grow."""
    monkeypatch.setattr("api.sweep._MOST_REMEMBERED", 2)
    for number in range(4):
        await shop.pay(await shop.open(f"mara{number}@example.com"))
    shop.sql("UPDATE checkouts SET stage='charging'")
    age(shop)
    sweep = Sweep(shop.parts, clock=lambda: 0.0)

    assert await sweep.go() == 4
    assert len(sweep._looked_at) == 2


async def test_replicas_ask_for_the_same_repair(make_shop: MakeShop) -> None:
    """Two processes that find the same run gone ask for one repair."""
    one, other = make_shop(), make_shop()
    await bring_to(one, "charged")
    age(one)
    one.door.is_listening = other.door.is_listening = False

    await asyncio.gather(Starter(one.parts).round(), Starter(other.parts).round())

    asked = [repair.repair_id for _, repair in one.door.repairs + other.door.repairs]
    assert len(asked) == 2
    assert len(set(asked)) == 1
