"""Payments paused: no press gets through, all read the truth and are remembered."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from api import streams
from api.streams import Pace
from database.pauses import list_waiters_to_tell, pause_payments, resume_payments
from tests.api.conftest import MakeShop
from tests.api.doubles import BEARER, Opened, Shop, text_of
from tests.api.following import follow
from tests.api.test_json_api import create, is_problem

PAY = {"payment_method": "pm_card_visa"}


async def pause(engine: AsyncEngine) -> str:
    """Pause, and return the time as pages write it."""
    async with engine.begin() as connection:
        paused = await pause_payments(connection, reason="trouble", actor="dana")
    at: datetime = paused.paused_at
    return f"{at:%H:%M} UTC"


async def resume(engine: AsyncEngine) -> list[Any]:
    """Take payments again; return whom that is to be told to."""
    async with engine.begin() as connection:
        await resume_payments(connection, actor="dana")
        waiters = await list_waiters_to_tell(connection, 100)
    return [waiter.checkout_id for waiter in waiters]


def requested(shop: Shop) -> int:
    """Count what was made durable of presses on Pay."""
    return int(str(shop.sql("SELECT count(*) FROM payment_attempts")[0][0]))


async def test_a_press_in_a_pause_leads_back_to_a_page_that_says_so(
    shop: Shop, engine: AsyncEngine
) -> None:
    """Nothing is requested; the page names the time, offers no Pay, and follows."""
    opened = await shop.open()
    at = await pause(engine)

    pressed = await shop.pay(opened)
    page = await shop.browser.get(pressed.headers["location"])

    said = text_of(page.text)
    assert (pressed.status_code, pressed.headers["location"]) == (303, opened.path)
    assert f"We paused new payments at {at}. You have not been charged." in said
    assert "We will write to" in said
    assert "/pay" not in page.text
    assert "data-follow" in page.text
    assert (requested(shop), shop.door.paid) == (0, [])
    assert await resume(engine) == [opened.checkout_id]


async def test_the_plan_says_so_and_keeps_the_address(
    shop: Shop, engine: AsyncEngine
) -> None:
    """Who leaves an address at `/` has a checkout, and is told when it can be paid."""
    at = await pause(engine)

    plan = await shop.browser.get("/")
    opened = await shop.open()
    page = await shop.browser.get(opened.path)

    said = text_of(plan.text)
    assert "We paused new payments" in said
    assert at in said
    assert "You have not been charged" not in said, "it does not know who is reading"
    assert "Continue to payment" not in said
    assert "You have not been charged." in text_of(page.text)
    assert await resume(engine) == [opened.checkout_id]


async def test_whoever_is_promised_a_mail_is_remembered_first(
    shop: Shop, engine: AsyncEngine
) -> None:
    """A page that was open before promises nothing that no row holds."""
    shown, unseen = await shop.open("a@a.example"), await shop.open("b@a.example")
    by_program = await shop.open("c@a.example")
    await pause(engine)

    for _ in range(2):
        await shop.browser.get(shown.path)
    await shop.browser.get(f"/v1/checkouts/{by_program.checkout_id}", headers=BEARER)

    told = await resume(engine)
    assert set(told) == {shown.checkout_id, by_program.checkout_id}
    assert unseen.checkout_id not in told


async def test_who_has_paid_or_is_paying_reads_nothing_of_a_pause(
    shop: Shop, engine: AsyncEngine
) -> None:
    """In flight, charged: their own truth, and no mail about the shop's hours."""
    flying, paid = await shop.open("a@a.example"), await shop.open("b@a.example")
    for opened in (flying, paid):
        await shop.pay(opened)
    shop.charge(paid)
    await pause(engine)

    in_flight = await shop.browser.get(flying.path)
    done = await shop.browser.get(paid.path)

    assert "We are confirming your $249.00" in text_of(in_flight.text)
    assert "You're in" in text_of(done.text).replace("&#39;", "'")
    assert await resume(engine) == []


async def test_after_the_pause_pay_works_and_the_page_offers_it(
    shop: Shop, engine: AsyncEngine
) -> None:
    """The basket was kept: the same address, the same checkout, one press."""
    await pause(engine)
    opened = await shop.open()
    await shop.pay(opened)
    await resume(engine)

    page = await shop.browser.get(opened.path)
    await shop.pay(opened)

    assert f'action="{opened.path}/pay"' in page.text
    assert "paused" not in text_of(page.text)
    assert requested(shop) == 1


async def test_a_program_is_told_that_payments_are_paused(
    shop: Shop, engine: AsyncEngine
) -> None:
    """409 with a code; the checkout can be opened, read, and is not to be paid."""
    await pause(engine)
    opened = await create(shop)
    path = f"/v1/checkouts/{opened.json()['checkout_id']}"

    paid = await shop.browser.post(f"{path}/pay", json=PAY, headers=BEARER)
    found = (await shop.browser.get(path, headers=BEARER)).json()

    assert opened.status_code == 201
    assert is_problem(paid, 409)
    assert paid.json()["code"] == "payments_paused"
    assert (found["page"], found["may_pay"], found["what_to_do"]) == (
        "paused",
        False,
        "nothing",
    )
    assert found["paused_at"] is not None
    assert found["money_state"] == "NOT_CHARGED"
    assert (requested(shop), shop.door.paid) == (0, [])


async def test_a_stream_tells_when_it_is_open_again(
    shop: Shop, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waits on the page need not wait for the mail."""
    monkeypatch.setattr(streams, "PACE", Pace(looks=((1000, 0.01),)))
    await pause(engine)
    opened = await shop.open()

    async with follow(shop, f"/v1/checkouts/{opened.checkout_id}/events") as stream:
        _, _, paused = await stream.event()
        await resume(engine)
        _, _, again = await stream.event()

    assert (paused["page"], again["page"]) == ("paused", "checkout")
    assert (paused["may_pay"], again["may_pay"]) == (False, True)


async def test_twenty_presses_race_with_a_pause(
    shop: Shop, engine: AsyncEngine
) -> None:
    """Each is let through whole, with its start, or leaves nothing at all."""
    buyers = [await shop.open(f"m{n}@a.example") for n in range(20)]

    async def press(opened: Opened) -> int:
        answer = await shop.browser.post(
            f"/v1/checkouts/{opened.checkout_id}/pay", json=PAY, headers=BEARER
        )
        return answer.status_code

    answers, _ = await asyncio.gather(
        asyncio.gather(*(press(buyer) for buyer in buyers)), pause(engine)
    )
    at_the_end = requested(shop)
    late = [await press(buyer) for buyer in buyers]

    assert set(answers) <= {202, 409}
    assert answers.count(202) == at_the_end == len(shop.door.paid)
    assert late == answers
    assert requested(shop) == at_the_end


async def test_the_plan_is_shown_without_knowing_of_a_pause(
    make_shop: MakeShop,
) -> None:
    """With the database down `/` works as ever; the press is what the switch guards."""
    shop = make_shop(database_url="postgresql+psycopg://nobody@127.0.0.1:1/none")

    plan = await shop.browser.get("/")

    assert plan.status_code == 200
    assert "Continue to payment" in plan.text
