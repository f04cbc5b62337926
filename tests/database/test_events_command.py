"""The operator's `events` commands on real rows, and with Temporal down or there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from uuid import UUID

import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.states import Stage
from operating import events
from operating.address import ShopAddress
from operating.database import NotDone
from tests.api.doubles import FakeDoor
from tests.conftest import Database
from tests.database.conftest import OpenCheckout
from tests.database.test_inbox import arrive
from tests.database.test_operating import cli

pytestmark = pytest.mark.postgres


@pytest.fixture
def owner(database: Database) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """The owner's connection."""
    with database.connect_as_owner() as connection:
        yield connection


def point(
    owner: psycopg.Connection[tuple[object, ...]], name: str, checkout_id: UUID
) -> None:
    """Let an event be about a checkout of ours."""
    owner.execute(
        "UPDATE processor_events SET checkout_id=%s, kind='payment_intent.processing'"
        " WHERE event_id=%s",
        [checkout_id, name],
    )


async def test_list_ignore_and_list_again(
    database: Database, engine: AsyncEngine
) -> None:
    """As an operator gives them: what waits, a decision with its reason, what is."""
    empty = cli(database.app_url, "events", "list")
    for name in ("evt_1", "evt_2"):
        await arrive(engine, name)

    listed = cli(database.app_url, "events", "list")
    ignored = cli(
        database.app_url,
        *("events", "ignore", "evt_1", "--reason", "a test endpoint"),
        *("--actor", "dana"),
    )
    again = cli(database.app_url, "events", "ignore", "evt_1", "--reason", "once more")
    nobody = cli(database.app_url, "events", "ignore", "evt_9", "--reason", "x")
    as_json = cli(database.app_url, "events", "list", "--json")

    assert empty.stdout == "No event waits, and none was ignored.\n"
    assert listed.stdout.count("waits") == 2
    assert "evt_1  payment_intent.succeeded" in listed.stdout
    assert (ignored.returncode, ignored.stderr) == (0, "")
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr == ("evt_1 does not wait: ignored by dana: a test endpoint.\n")
    assert nobody.stderr == "No event is called evt_9.\n"
    shown = {one["event_id"]: one for one in json.loads(as_json.stdout)["events"]}
    assert (shown["evt_1"]["ignored_by"], shown["evt_2"]["is_waiting"]) == (
        "dana",
        True,
    )


async def test_without_a_name_the_one_who_is_logged_in_does_it(
    database: Database,
    engine: AsyncEngine,
    owner: psycopg.Connection[tuple[object, ...]],
) -> None:
    """A decision is somebody's, also when nobody types a name."""
    await arrive(engine, "evt_1")

    cli(database.app_url, "events", "ignore", "evt_1", "--reason", "x")

    ((by,),) = owner.execute("SELECT ignored_by FROM processor_events").fetchall()
    assert by


async def test_replay_tells_all_that_wait(
    *,
    shop: ShopAddress,
    door: FakeDoor,
    engine: AsyncEngine,
    open_checkout: OpenCheckout,
    owner: psycopg.Connection[tuple[object, ...]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However many there are, each workflow hears of its event once."""
    monkeypatch.setattr(events, "_BATCH", 3)
    told = []
    for number in range(7):
        checkout_id = await open_checkout(Stage.CHARGING)
        await arrive(engine, f"evt_{number}")
        point(owner, f"evt_{number}", checkout_id)
        told.append(checkout_id)

    await asyncio.to_thread(
        lambda: events.replay(shop, None, actor="dana", as_json=False)
    )
    await asyncio.to_thread(
        lambda: events.replay(shop, None, actor="dana", as_json=False)
    )

    assert sorted(door.hinted) == sorted(told)
    assert capsys.readouterr().out == ("7 of 7 events were told.\nNo event waits.\n")
    lines = owner.execute(
        "SELECT actor, count(*) FROM audit WHERE action='event.replayed' GROUP BY 1"
    ).fetchall()
    assert lines == [("dana", 7)]


async def test_replay_of_one_tells_it_whatever_became_of_it(
    shop: ShopAddress,
    door: FakeDoor,
    engine: AsyncEngine,
    open_checkout: OpenCheckout,
    owner: psycopg.Connection[tuple[object, ...]],
) -> None:
    """An event that was told or ignored can be told again: it is only a hint."""
    checkout_id = await open_checkout(Stage.CHARGING)
    await arrive(engine, "evt_1")
    point(owner, "evt_1", checkout_id)
    owner.execute(
        "UPDATE processor_events SET ignored_at=now(), ignored_by='dana',"
        " ignored_reason='by mistake'"
    )

    for _ in range(2):
        await asyncio.to_thread(
            lambda: events.replay(shop, "evt_1", actor="eli", as_json=True)
        )

    assert door.hinted == [checkout_id] * 2
    ((applied,),) = owner.execute("SELECT applied_at FROM processor_events").fetchall()
    assert applied is not None


async def test_replay_while_temporal_is_down_is_one_sentence(
    shop: ShopAddress,
    engine: AsyncEngine,
    open_checkout: OpenCheckout,
    owner: psycopg.Connection[tuple[object, ...]],
) -> None:
    """Nothing is lost: what could not be told waits, and the command says so."""
    await arrive(engine, "evt_1")
    point(owner, "evt_1", await open_checkout(Stage.CHARGING))

    with pytest.raises(NotDone, match=r"^Temporal does not answer\. 0 of 1 events"):
        await asyncio.to_thread(
            lambda: events.replay(shop, None, actor="dana", as_json=False)
        )
    with pytest.raises(NotDone, match="No event is called evt_9"):
        await asyncio.to_thread(
            lambda: events.replay(shop, "evt_9", actor="dana", as_json=False)
        )

    ((applied,),) = owner.execute("SELECT applied_at FROM processor_events").fetchall()
    assert applied is None
