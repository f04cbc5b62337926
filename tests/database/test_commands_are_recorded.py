"""Whatever somebody does at the command line is a row of the audit of staff."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from database.audit import Outcome, digest_of
from database.emails import record_email
from database.oncall import write_incidents
from domain.emails import EmailKind
from domain.identifiers import derived_id
from domain.messages import EmailOutcome, RecordEmail
from domain.states import Stage
from operating import drill, events, mails, reconciliation, refunds, repairs
from operating import shop as shops
from operating.address import ShopAddress
from operating.database import NotDone
from operating.refunds import RefundOrder
from tests.api.doubles import FakeDoor
from tests.conftest import Database
from tests.database.conftest import OpenCheckout
from tests.database.test_inbox import arrive
from tests.database.test_oncall import NOW, _record

pytestmark = pytest.mark.postgres

WHY = "a reason of ours"

Row = tuple[str, str, str, UUID | None, Mapping[str, Any]]


def rows_of(database: Database) -> list[Row]:
    """Return what the audit of staff has: actor, action, outcome, checkout, about."""
    return [
        (actor, action, outcome, checkout_id, about)
        for actor, action, outcome, checkout_id, about in database.sql(
            "SELECT actor, action, outcome, checkout_id, about FROM staff_actions"
            " ORDER BY action_id"
        )
    ]


async def run(command: Callable[[], object]) -> None:
    """Run a command, which brings an event loop of its own."""
    await asyncio.to_thread(command)


async def test_what_turns_the_shop_is_recorded(
    shop: ShopAddress, database: Database
) -> None:
    """Who paused, held, released and let go stands there, also of what did nothing."""
    url = shop.database_url
    books = reconciliation

    await run(lambda: shops.pause(url, reason=WHY, actor="dana", as_json=True))
    await run(lambda: shops.resume(url, actor="eli", as_json=True))
    await run(lambda: books.hold(url, actor="dana", reason=WHY, as_json=True))
    await run(lambda: books.release(url, actor="eli", as_json=True))
    await run(lambda: books.release(url, actor="dana", as_json=True))
    await run(lambda: books.let_mail_go(url, actor="eli", as_json=True))

    rows = rows_of(database)
    assert [(row[0], row[1], row[4].get("is_new")) for row in rows] == [
        ("dana", "payments.paused", True),
        ("eli", "payments.resumed", True),
        ("dana", "reconciliation.held", True),
        ("eli", "reconciliation.released", True),
        ("dana", "reconciliation.released", False),
        ("eli", "mail.let_go", None),
    ]
    assert {row[4]["by"] for row in rows} == {"command line"}
    assert rows[0][4]["reason_sha256"] == digest_of(WHY)
    assert WHY not in repr(rows)


async def test_what_is_done_for_a_customer_is_recorded(
    shop: ShopAddress,
    database: Database,
    open_checkout: OpenCheckout,
    door: FakeDoor,
    engine: AsyncEngine,
) -> None:
    """A repair, a refund, one taken back, mail sent again: each names its checkout."""
    del door  # It takes everything.
    checkout_id = await open_checkout(Stage.CHARGED)
    named = str(checkout_id)
    order = RefundOrder(
        checkout=named, amount="9.00", actor="dana", reason=WHY, keeps_access=True
    )
    async with engine.begin() as connection:
        await record_email(
            connection,
            RecordEmail(
                email_id=derived_id(checkout_id, EmailKind.RECEIPT),
                outcome=EmailOutcome(is_sent=False, refusal="550 5.1.1"),
            ),
        )

    def back() -> None:
        refunds.take_back(shop, named, actor="eli", refund=None, as_json=True)

    await run(
        lambda: repairs.repair(shop, named, actor="dana", reason=WHY, as_json=True)
    )
    await run(lambda: refunds.ask(shop, order, as_json=True))
    with pytest.raises(NotDone):
        await run(lambda: refunds.ask(shop, order, as_json=True))
    await run(back)
    with pytest.raises(NotDone):
        await run(back)
    await run(lambda: mails.send_again(shop, named, actor="eli", as_json=True))

    rows = rows_of(database)
    assert [row[:3] for row in rows] == [
        ("dana", "repair.asked", "done"),
        ("dana", "refund.asked", "done"),
        ("dana", "refund.asked", "refused"),
        ("eli", "refund.taken_back", "done"),
        ("eli", "refund.taken_back", "refused"),
        ("eli", "mail.sent_again", "done"),
    ]
    assert {row[3] for row in rows} == {checkout_id}
    assert WHY not in repr(rows)


async def test_what_is_done_with_the_processors_news_is_recorded(
    shop: ShopAddress, database: Database, engine: AsyncEngine, door: FakeDoor
) -> None:
    """An event let be, events told again, and a run that was asked for."""
    del door  # It takes everything.
    await arrive(engine, "evt_1")

    await run(
        lambda: events.ignore(
            shop.database_url, "evt_1", actor="dana", reason=WHY, as_json=True
        )
    )
    await run(lambda: events.replay(shop, "evt_1", actor="eli", as_json=True))
    await run(lambda: events.replay(shop, None, actor="eli", as_json=True))
    with pytest.raises(NotDone):
        await run(
            lambda: reconciliation.run(
                shop,
                actor="dana",
                is_dry=True,
                is_deep=False,
                since=None,
                as_json=True,
            )
        )

    assert [(row[0], row[1], row[4].get("event")) for row in rows_of(database)] == [
        ("dana", "event.ignored", "evt_1"),
        ("eli", "events.replayed", "evt_1"),
        ("eli", "events.replayed", None),
        ("dana", "reconciliation.asked", None),
    ]


async def test_a_drill_is_recorded(shop: ShopAddress, database: Database) -> None:
    """Who rehearsed, and how many channels took it."""
    await run(lambda: drill.drill(shop, "dana"))

    ((actor, action, outcome, _, about),) = rows_of(database)
    assert (actor, action, outcome) == ("dana", "drill.held", Outcome.DONE)
    assert (about["channels"], about["taken"]) == (0, 0)


async def test_what_people_answer_the_desk_is_recorded_once(
    database: Database, engine: AsyncEngine
) -> None:
    """Taken, silenced, ended: with the incident's own row, and none by a repeat."""
    first = _record(1)
    taken = replace(first, version=2, acknowledged_at=NOW, acknowledged_by="dana")
    later = NOW + timedelta(hours=8)
    silent = replace(
        taken, version=3, snoozed_until=later, snoozed_by="eli", snooze_reason=WHY
    )
    over = replace(silent, version=4, resolved_at=later, resolved_by="dana")
    of_itself = replace(first, incident_id=UUID(int=2), resolved_at=later)

    for record in (first, taken, taken, silent, over, silent, of_itself):
        async with engine.begin() as connection:
            await write_incidents(connection, [record])

    rows = rows_of(database)
    assert [row[:3] for row in rows] == [
        ("dana", "incident.acknowledged", "done"),
        ("eli", "incident.snoozed", "done"),
        ("dana", "incident.resolved", "done"),
    ]
    assert {row[4]["incident"] for row in rows} == {str(UUID(int=1))}
    assert rows[1][4]["reason_sha256"] == digest_of(WHY)
