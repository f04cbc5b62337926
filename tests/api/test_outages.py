"""The database or Temporal down: what is said is true, and nothing is lost."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from api import records
from api.starter import Starter
from database.checkouts import claim_payment
from tests.api.conftest import MakeShop
from tests.api.doubles import BEARER, Shop, text_of

NOWHERE = "postgresql+psycopg://nobody:secret@127.0.0.1:1/none"
HOLDING = (
    "Please don't pay again yet.",
    "We can't show your payment this second. If your card was charged, we will find it "
    "and finish your order.",
)
TOKEN = "A" * 43


def said(html: str) -> str:
    """Return what a page says."""
    return text_of(html).replace("&#39;", "'")


@pytest.mark.parametrize(
    ("method", "path", "form"),
    [
        ("GET", f"/c/{TOKEN}", None),
        ("GET", f"/c/{TOKEN}/return", None),
        ("POST", f"/c/{TOKEN}/pay", {"payment_method": "pm_card_visa"}),
        ("POST", f"/c/{TOKEN}/check", None),
    ],
)
async def test_without_a_database_a_checkout_shows_the_holding_words(
    make_shop: MakeShop, method: str, path: str, form: dict[str, str] | None
) -> None:
    """At a checkout's address an outage claims nothing and offers a way back."""
    shop = make_shop(database_url=NOWHERE)

    answer = await shop.browser.request(method, path, data=form)

    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
    for sentence in HOLDING:
        assert sentence in said(answer.text)
    assert f'href="/c/{TOKEN}"' in answer.text
    assert f'data-follow="/c/{TOKEN}/status"' in answer.text
    assert "not been charged" not in answer.text
    assert "<form" not in answer.text


async def test_without_a_database_nothing_can_be_opened_and_the_page_says_so(
    make_shop: MakeShop,
) -> None:
    """That nothing started here is true for everyone; of money no word is said."""
    shop = make_shop(database_url=NOWHERE)

    plan = await shop.browser.get("/")
    answer = await shop.browser.post(
        "/checkouts", data={"plan": "one-year", "email": "mara@example.com"}
    )

    assert plan.status_code == 200
    assert answer.status_code == 503
    assert "No payment was started here." in said(answer.text)
    assert "please don't pay again yet" in said(answer.text)
    assert "not been charged" not in answer.text


async def test_without_a_database_v1_says_unknown_and_what_to_do(
    make_shop: MakeShop,
) -> None:
    """A program is told that the outcome is unknown, and how to find it out safely."""
    shop = make_shop(database_url=NOWHERE)

    answer = await shop.browser.get(
        "/v1/entitlements?email=a@b.example", headers=BEARER
    )

    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert "outcome of this request is unknown" in answer.json()["detail"]


async def test_readiness_tells_the_two_outages_apart(make_shop: MakeShop) -> None:
    """Without the database the API is not ready; without Temporal it still is."""
    without_database = make_shop(database_url=NOWHERE)
    without_temporal = make_shop()
    without_temporal.door.is_closed = True

    first = await without_database.browser.get("/readyz")
    second = await without_temporal.browser.get("/readyz")
    alive = await without_database.browser.get("/healthz")

    assert (first.status_code, second.status_code, alive.status_code) == (503, 200, 200)
    assert first.json()["database"] == "does not answer"
    assert second.json()["temporal"] == "does not answer"


class CuttingProxy:
    """Stands before PostgreSQL; can swallow a COMMIT's answer and hang up, or all."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self.is_cutting = False
        self.is_silent = False

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        up_reader, up_writer = await asyncio.open_connection(*self._target)
        ways = {
            asyncio.create_task(self._carry(reader, up_writer, is_answer=False)),
            asyncio.create_task(self._carry(up_reader, writer, is_answer=True)),
        }
        _, open_ways = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in open_ways:
            way.cancel()
        for one in (writer, up_writer):
            one.close()

    async def _carry(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        is_answer: bool,
    ) -> None:
        while data := await reader.read(65536):
            # PostgreSQL names the command that it has completed.
            if is_answer and self.is_cutting and b"COMMIT" in data:
                return
            if is_answer and self.is_silent:
                continue
            writer.write(data)
            await writer.drain()


@asynccontextmanager
async def cutting_proxy(url: str) -> AsyncIterator[tuple[CuttingProxy, str]]:
    """Run the proxy; give the database's address through it."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    proxy = CuttingProxy(parts.hostname, parts.port)
    async with await asyncio.start_server(proxy.serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        netloc = parts.netloc.replace(f":{parts.port}", f":{port}")
        yield proxy, urlunsplit(parts._replace(netloc=netloc))


async def test_a_commit_whose_answer_is_lost_is_unknown_and_still_carried_out(
    make_shop: MakeShop,
) -> None:
    """The commit took effect, the reply did not come: holding words, then the start."""
    opened = await make_shop().open()
    async with cutting_proxy(make_shop().database.app_url) as (proxy, url):
        shop = make_shop(database_url=url)
        await shop.browser.get(opened.path)
        proxy.is_cutting = True

        answer = await shop.pay(opened)

        proxy.is_cutting = False
        assert answer.status_code == 503
        for sentence in HOLDING:
            assert sentence in said(answer.text)
        assert shop.sql("SELECT stage FROM checkouts") == [("requested",)]
        assert shop.door.paid == []
        shop.sql("UPDATE checkouts SET pay_requested_at = now() - interval '4 s'")
        await Starter(shop.parts).round()
        assert [request.checkout_id for request in shop.door.paid] == [
            opened.checkout_id
        ]


async def test_a_frozen_database_holds_nobody_up_for_long(
    make_shop: MakeShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that stops answering costs each request the deadline, no more."""
    monkeypatch.setattr(records, "DEADLINE", timedelta(seconds=0.5))
    opened = await make_shop().open()
    async with cutting_proxy(make_shop().database.app_url) as (proxy, url):
        shop = make_shop(database_url=url)
        await shop.browser.get(opened.path)
        proxy.is_silent = True

        started = time.monotonic()
        answers = await asyncio.gather(
            *(shop.browser.get(opened.path) for _ in range(3)),
            shop.pay(opened),
            shop.browser.get("/readyz"),
        )
        seconds = time.monotonic() - started

        proxy.is_silent = False
    assert {answer.status_code for answer in answers} == {503}
    assert HOLDING[0] in said(answers[0].text)
    assert seconds < 2


async def test_a_closed_door_costs_the_buyer_nothing(shop: Shop) -> None:
    """With Temporal down Pay answers 303, and the starter loop starts it afterwards."""
    opened = await shop.open()
    shop.door.is_closed = True

    answer = await shop.pay(opened)
    starter = Starter(shop.parts)
    await starter.round()
    too_early = list(shop.door.paid)
    shop.sql("UPDATE checkouts SET pay_requested_at = now() - interval '4 s'")
    await starter.round()
    still_closed = list(shop.door.paid)
    shop.door.is_closed = False
    await starter.round()

    assert answer.status_code == 303
    assert (too_early, still_closed) == ([], [])
    assert [(r.checkout_id, r.buyer_attempt) for r in shop.door.paid] == [
        (opened.checkout_id, 1)
    ]
    assert shop.sql("SELECT interrupted_at IS NOT NULL FROM checkouts") == [(True,)]


async def test_a_request_that_nobody_claimed_is_withdrawn(shop: Shop) -> None:
    """After two minutes the page proves "not charged" and offers to pay again."""
    opened = await shop.open()
    shop.door.is_closed = True
    await shop.pay(opened)
    shop.sql("UPDATE checkouts SET pay_requested_at = now() - interval '121 s'")

    await Starter(shop.parts).round()

    page = await shop.browser.get(opened.path)
    assert "You have not been charged. You can safely try again." in said(page.text)
    assert "the card processor was never asked" in said(page.text)
    assert "Try again: $249.00" in page.text
    shop.door.is_closed = False
    await shop.pay(opened)
    assert [request.buyer_attempt for request in shop.door.paid] == [2]


async def test_of_a_withdrawal_and_a_claim_exactly_one_wins(
    shop: Shop, engine: AsyncEngine
) -> None:
    """Raced fifty times, no request is both taken back and being charged."""
    starter = Starter(shop.parts)
    stages = set()
    for number in range(50):
        opened = await shop.open(f"mara{number}@example.com")
        await shop.pay(opened)
        shop.sql("UPDATE checkouts SET pay_requested_at = now() - interval '121 s'")

        async def claim(checkout_id: Any = opened.checkout_id) -> str:
            async with engine.begin() as connection:
                return (await claim_payment(connection, checkout_id)).stage

        claimed, _ = await asyncio.gather(claim(), starter.round())

        row = shop.sql(
            "SELECT stage, not_charged_reason FROM checkouts WHERE checkout_id=%s",
            opened.checkout_id,
        )[0]
        assert row == (
            ("charging", None) if claimed == "charging" else ("open", "withdrawn")
        )
        stages.add(claimed)
        shop.sql("UPDATE checkouts SET stage='open', money_state='NOT_CHARGED'")
    assert stages <= {"charging", "open"}


async def test_the_starter_loop_tells_of_an_outage_once(
    make_shop: MakeShop, log_lines: io.StringIO
) -> None:
    """Ten rounds without a database are one line, and the next round works again."""
    down = Starter(make_shop(database_url=NOWHERE).parts)
    for _ in range(10):
        await down.round()
    closed = make_shop()
    opened = await closed.open()
    closed.door.is_closed = True
    await closed.pay(opened)
    closed.sql("UPDATE checkouts SET pay_requested_at = now() - interval '4 s'")
    starter = Starter(closed.parts)
    for _ in range(10):
        await starter.round()
    closed.door.is_closed = False
    await starter.round()

    lines = log_lines.getvalue().splitlines()
    waits = [line for line in lines if "starter loop waits" in line]
    assert len(waits) == 2
    assert len([line for line in lines if "starter loop goes on" in line]) == 1


async def test_the_starter_loop_survives_what_nobody_expected(
    shop: Shop, log_lines: io.StringIO
) -> None:
    """A bug in a round costs the round; a cancellation ends the loop at once."""
    opened = await shop.open()
    await shop.pay(opened)
    shop.sql("UPDATE checkouts SET pay_requested_at = now() - interval '4 s'")
    shop.door.error = ValueError("a bug")
    loop = asyncio.create_task(Starter(shop.parts).run())
    await asyncio.sleep(0.3)
    shop.door.error = None
    shop.door.paid.clear()
    for _ in range(40):
        await asyncio.sleep(0.1)
        if shop.door.paid:
            break

    loop.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loop
    assert [request.checkout_id for request in shop.door.paid] == [opened.checkout_id]
    assert "a step of the starter loop failed" in log_lines.getvalue()


async def test_two_replicas_start_each_request(make_shop: MakeShop) -> None:
    """Loops beside each other share the work and leave nothing undone."""
    one, other = make_shop(), make_shop()
    one.door.is_closed = True
    for number in range(10):
        await one.pay(await one.open(f"mara{number}@example.com"))
    one.door.is_closed = False
    one.sql("UPDATE checkouts SET pay_requested_at = now() - interval '4 s'")

    await asyncio.gather(Starter(one.parts).round(), Starter(other.parts).round())

    started = {request.checkout_id for request in one.door.paid + other.door.paid}
    assert len(started) == 10
