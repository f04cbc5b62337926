"""Following a checkout by events or by a waiting request: each state once, and true."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest

from api import records, streams
from api.followers import Followers
from api.streams import Pace
from tests.api.conftest import MakeShop
from tests.api.doubles import API_KEY, BEARER, Opened, Shop
from tests.api.following import follow
from tests.api.test_outages import NOWHERE, cutting_proxy

#: No test waits for a look.
FAST = Pace(looks=((1000, 0.01),), late_look=0.01, look_deadline=0.5, heartbeat=1000)


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "PACE", FAST)


def path_of(opened: Opened) -> str:
    """Return where a checkout is read."""
    return f"/v1/checkouts/{opened.checkout_id}"


async def read(shop: Shop, opened: Opened, query: str = "") -> dict[str, Any]:
    """Read a checkout as a program does."""
    answer = await shop.browser.get(path_of(opened) + query, headers=BEARER)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


class Watched(Followers):
    """Followers whose number can be waited for."""

    def __init__(self, **most: int) -> None:
        super().__init__(**most)
        self._changed = asyncio.Event()

    @contextmanager
    def hold(self, key: bytes) -> Iterator[None]:
        try:
            with super().hold(key):
                self._changed.set()
                yield
        finally:
            self._changed.set()

    async def until(self, count: int) -> None:
        """Wait until so many are open."""
        async with asyncio.timeout(20):
            while self.count != count:
                self._changed.clear()
                await self._changed.wait()


def watch(shop: Shop, **most: int) -> Watched:
    """Put followers under a shop whose number can be waited for."""
    watched = Watched(**most)
    shop.parts.__dict__["followers"] = watched
    return watched


async def test_a_stream_tells_the_state_now_then_each_change_once(shop: Shop) -> None:
    """From the press to the open door: what the page says, as it becomes true."""
    opened = await shop.open()
    await shop.pay(opened)

    async with follow(shop, f"{path_of(opened)}/events") as stream:
        first = await stream.event()
        shop.charge(opened, access="PENDING")
        second = await stream.event()
        shop.sql("UPDATE checkouts SET access_state='ACTIVE'")
        third = await stream.event()
        rest = await stream.rest()

    states = [
        (data["money_state"], data["access_state"], data["page"])
        for _, _, data in (first, second, third)
    ]
    assert states == [
        ("UNKNOWN", "NONE", "confirming"),
        ("CHARGED", "PENDING", "received"),
        ("CHARGED", "ACTIVE", "success"),
    ]
    assert [name for name, _, _ in (first, second, third)] == ["checkout"] * 3
    assert third[2] == await read(shop, opened)
    assert third[1] == third[2]["version"]
    assert third[2]["is_settled"] is True
    assert rest == []
    assert (stream.status, stream.headers["content-type"]) == (
        200,
        "text/event-stream; charset=utf-8",
    )
    assert stream.headers["cache-control"] == "no-store"
    assert stream.headers["x-accel-buffering"] == "no"


async def test_the_first_line_says_how_soon_to_come_back(shop: Shop) -> None:
    """A browser waits two seconds before it connects again."""
    opened = await shop.open()
    await shop.pay(opened)

    async with follow(shop, f"{path_of(opened)}/events") as stream:
        assert await stream.block() == "retry: 2000"


async def test_a_stream_resumes_without_a_repeat(shop: Shop) -> None:
    """Who has a version already hears only of the next one."""
    followers = watch(shop)
    opened = await shop.open()
    await shop.pay(opened)
    version = (await read(shop, opened))["version"]

    async with follow(
        shop, f"{path_of(opened)}/events", last_event_id=version
    ) as stream:
        await stream.block()
        await followers.until(1)
        shop.charge(opened)
        _, _, data = await stream.event()

    assert data["page"] == "success"


async def test_a_settled_checkout_that_is_known_is_not_followed_again(
    shop: Shop,
) -> None:
    """204 is how a browser learns to stop coming back."""
    opened = await shop.open()
    await shop.pay(opened)
    shop.charge(opened)
    version = (await read(shop, opened))["version"]

    known = await shop.browser.get(
        f"{path_of(opened)}/events", headers=BEARER | {"last-event-id": version}
    )
    other = await shop.browser.get(
        f"{path_of(opened)}/events", headers=BEARER | {"last-event-id": "0" * 16}
    )

    assert (known.status_code, known.content) == (204, b"")
    assert other.status_code == 200
    assert other.text.count("event: checkout") == 1


async def test_a_silent_stream_is_kept_alive(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While nothing changes a comment comes, which clients pass over."""
    monkeypatch.setattr(streams, "PACE", Pace(looks=(), late_look=0.01, heartbeat=0.02))
    opened = await shop.open()
    await shop.pay(opened)

    async with follow(shop, f"{path_of(opened)}/events") as stream:
        blocks = [await stream.block() for _ in range(4)]

    assert blocks[2:] == [": still here", ": still here"]


async def test_a_stream_ends_by_itself_after_a_while(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replica that is drained is free of its clients some minutes later."""
    monkeypatch.setattr(streams, "PACE", Pace(looks=((9, 0.01),), lasts=0.05))
    opened = await shop.open()
    await shop.pay(opened)

    async with follow(shop, f"{path_of(opened)}/events") as stream:
        blocks = await stream.rest()

    assert len(blocks) == 2
    assert shop.parts.followers.count == 0


async def test_streams_and_waiting_requests_end_with_the_process(shop: Shop) -> None:
    """At a shutdown all end at once, with what was true, and no new one lasts."""
    followers = watch(shop)
    opened = await shop.open()
    await shop.pay(opened)
    known = await read(shop, opened)
    query = f"?wait_seconds=25&unless_version={known['version']}"

    async with follow(shop, f"{path_of(opened)}/events") as stream:
        await stream.event()
        waiting = asyncio.create_task(read(shop, opened, query))
        await followers.until(2)
        shop.parts.followers.close()
        rest = await stream.rest()

    assert rest == []
    assert await waiting == known
    assert await read(shop, opened, query) == known


async def test_who_goes_away_makes_room(shop: Shop) -> None:
    """A closed browser costs nothing a moment later: neither looks nor a place."""
    followers = watch(shop)
    opened = await shop.open()
    await shop.pay(opened)
    version = (await read(shop, opened))["version"]

    async with (
        follow(shop, f"{path_of(opened)}/events") as stream,
        follow(
            shop, f"{path_of(opened)}?wait_seconds=25&unless_version={version}"
        ) as waiting,
    ):
        await followers.until(2)
        stream.leave()
        waiting.leave()
        await followers.until(0)


async def test_an_outage_claims_nothing_and_the_stream_goes_on(
    make_shop: MakeShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No word about money while nobody can know it; then the truth, also an old one."""
    monkeypatch.setattr(records, "DEADLINE", timedelta(seconds=0.5))
    opened = await make_shop().open()
    await make_shop().pay(opened)
    async with cutting_proxy(make_shop().database.app_url) as (proxy, url):
        shop = make_shop(database_url=url)
        async with follow(shop, f"{path_of(opened)}/events") as stream:
            before = await stream.event()
            proxy.is_silent = True
            during = await stream.event()
            proxy.is_silent = False
            after = await stream.event()

    name, mark, data = during
    assert (name, mark) == ("unavailable", "")
    assert list(data) == ["detail"]
    for word in ("charged", "paid", "received", "try again"):
        assert word not in data["detail"].lower()
    assert after == before


async def test_a_stream_that_begins_in_an_outage_stays_open(
    make_shop: MakeShop,
) -> None:
    """A browser gives up on an error status for good, so it gets a stream."""
    shop = make_shop(database_url=NOWHERE)
    opened = await make_shop().open()

    async with follow(shop, f"{path_of(opened)}/events") as stream:
        name, _, _ = await stream.event()

    assert (stream.status, name) == (200, "unavailable")


async def test_streams_are_bounded_per_key_and_in_all(make_shop: MakeShop) -> None:
    """One embedder leaves room for another, and all together for the buyers' pages."""
    other = "another-key-0123456789abcdefghijklm"
    shop = make_shop(api_keys=f"{API_KEY},{other}")
    followers = watch(shop, most_per_key=1, most_in_all=2)
    opened = await shop.open()
    await shop.pay(opened)
    path = f"{path_of(opened)}/events"
    by_other = {"authorization": f"Bearer {other}"}

    async with follow(shop, path):
        await followers.until(1)
        of_key = await shop.browser.get(path, headers=BEARER)
        waiting = await shop.browser.get(
            f"{path_of(opened)}?wait_seconds=9&unless_version=1", headers=BEARER
        )
        async with follow(shop, path, **by_other) as stream:
            await stream.event()
            followers._most_per_key = 9
            in_all = await shop.browser.get(path, headers=BEARER)
            plain = await read(shop, opened)

    assert [answer.status_code for answer in (of_key, waiting, in_all)] == [
        429,
        429,
        503,
    ]
    for answer in (of_key, waiting, in_all):
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == "too_many_streams"
        assert answer.headers["retry-after"] == "5"
    assert plain["money_state"] == "UNKNOWN"
    assert shop.parts.followers.count == 0


async def test_a_waiting_request_answers_at_the_change(shop: Shop) -> None:
    """A long poll comes back with the new state, not at the end of its time."""
    followers = watch(shop)
    opened = await shop.open()
    await shop.pay(opened)
    known = await read(shop, opened)
    query = f"?wait_seconds=25&unless_version={known['version']}"

    waiting = asyncio.create_task(read(shop, opened, query))
    await followers.until(1)
    shop.charge(opened)
    async with asyncio.timeout(20):
        changed = await waiting

    assert changed["money_state"] == "CHARGED"
    assert changed["version"] != known["version"]
    assert changed == await read(shop, opened)


async def test_a_waiting_request_does_not_wait_for_what_it_lacks(shop: Shop) -> None:
    """Another version than the caller's is news, whatever the row does next."""
    opened = await shop.open()

    found = await read(shop, opened, "?wait_seconds=25&unless_version=0000")
    bare = await read(shop, opened, "?wait_seconds=25")

    assert found == bare == await read(shop, opened)


async def test_a_waiting_request_ends_with_what_is_true(shop: Shop) -> None:
    """Without a change the answer is the known state, in the end."""
    opened = await shop.open()
    known = await read(shop, opened)

    again = await read(
        shop, opened, f"?wait_seconds=1&unless_version={known['version']}"
    )

    assert again == known


async def test_a_waiting_request_in_an_outage_is_a_problem(make_shop: MakeShop) -> None:
    """Nobody is told an old state as the new one."""
    shop = make_shop(database_url=NOWHERE)
    opened = await make_shop().open()

    answer = await shop.browser.get(
        f"{path_of(opened)}?wait_seconds=1&unless_version=1", headers=BEARER
    )

    assert answer.status_code == 503
    assert "unknown" in answer.json()["detail"]


@pytest.mark.parametrize(
    "query",
    [
        "wait_seconds=-1",
        "wait_seconds=26",
        "wait_seconds=x",
        f"unless_version={'x' * 65}",
    ],
)
async def test_a_wait_without_measure_is_refused(shop: Shop, query: str) -> None:
    """No request can be made to hold a place for longer than is described."""
    opened = await shop.open()

    answer = await shop.browser.get(f"{path_of(opened)}?{query}", headers=BEARER)

    assert answer.status_code == 422


@pytest.mark.parametrize("query", ["/events", "?wait_seconds=9&unless_version=1"])
async def test_nothing_is_followed_that_does_not_exist(shop: Shop, query: str) -> None:
    """An unknown id is told at once, before anything streams."""
    answer: httpx.Response = await shop.browser.get(
        f"/v1/checkouts/00000000-0000-4000-8000-000000000000{query}", headers=BEARER
    )

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


async def test_every_difference_is_another_version(shop: Shop) -> None:
    """Same facts, same version, in any replica; another fact, another version."""
    opened = await shop.open()
    first, again = await read(shop, opened), await read(shop, opened)
    await shop.pay(opened)
    pressed = await read(shop, opened)
    shop.charge(opened)
    charged = await read(shop, opened)

    assert first == again
    assert len({one["version"] for one in (first, pressed, charged)}) == 3
    assert [one["what_to_do"] for one in (first, pressed, charged)] == [
        "pay",
        "nothing",
        "use_access",
    ]
