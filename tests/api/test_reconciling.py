"""The reconciliation in the console: what is told of it, and the four presses."""

from __future__ import annotations

import asyncio
from html import unescape
from typing import Any

import httpx
import pytest

from api.starter import Starter
from domain.reconciliation import Trigger
from domain.staff import Role
from operating.reconciliation import status
from tests.api.doubles import Shop, text_of
from tests.api.staffing import Colleague, actions, hire, seen_by

pytestmark = pytest.mark.postgres

PAGE = "/support/reconciliation"


@pytest.fixture
async def dana(shop: Shop) -> Colleague:
    """Somebody of support who is signed in."""
    return await hire(shop)


def run(shop: Shop, **changes: Any) -> None:
    """Write a run's row as the workflow does."""
    values = {
        "trigger": "schedule",
        "actor": "schedule",
        "state": "finished",
        "compared": 212,
        "found": "{}",
        "repairs": 0,
        "cases": 0,
        "warnings": "[]",
    } | changes
    shop.sql(
        "INSERT INTO reconciliation_runs (run_id, trigger, actor, is_deep, state,"
        " compare_from, compare_before, finished_at, compared, found, repairs, cases,"
        " warnings) VALUES (gen_random_uuid(), %s, %s, false, %s,"
        " now() - interval '1 h', now(),"
        " CASE WHEN %s = 'running' THEN NULL ELSE now() END, %s, %s, %s, %s, %s)",
        values["trigger"],
        values["actor"],
        values["state"],
        values["state"],
        values["compared"],
        values["found"],
        values["repairs"],
        values["cases"],
        values["warnings"],
    )


async def read(colleague: Colleague, path: str = PAGE) -> str:
    """Return what the page says."""
    shown = await colleague.browser.get(path)
    assert shown.status_code == 200
    return unescape(text_of(shown.text))


async def press(colleague: Colleague, what: str, **fields: str) -> httpx.Response:
    """Press one of the page's buttons."""
    return await colleague.post(f"{PAGE}/{what}", PAGE, **fields)


async def test_how_far_it_has_come_is_told(shop: Shop, dana: Colleague) -> None:
    """Before the first run, after a good one, and when nothing is compared any more."""
    before = await read(dana)
    shop.sql("UPDATE reconciliation_state SET watermark_at = now()")
    run(shop)
    good = await read(dana)
    shop.sql("UPDATE reconciliation_state SET watermark_at = now() - interval '20 min'")
    late = await read(dana)

    assert "No run has finished yet." in before
    assert "212 compared, nothing differs by the schedule" in good
    assert "They are compared every five minutes." in good
    assert "20 min ago: that is late" in late
    assert "Look at the worker and at Temporal." in late


async def test_a_first_run_that_does_not_come_is_late(
    shop: Shop, dana: Colleague, capsys: pytest.CaptureFixture[str]
) -> None:
    """Page, command and alarm agree, also before anything was ever compared."""
    await shop.open()
    shop.sql("UPDATE checkouts SET created_at = now() - interval '20 min'")
    page = await read(dana)
    await asyncio.to_thread(status, shop.database.app_url, as_json=False)
    await Starter(shop.parts).round()

    assert "the first checkout is 20 min old: that is late" in page
    assert (
        "That is late: look at the worker and at Temporal." in capsys.readouterr().out
    )
    assert shop.sql("SELECT kind FROM findings") == [("reconciliation_late",)]


async def test_runs_under_a_hold_are_not_denied(shop: Shop, dana: Colleague) -> None:
    """Whoever held repairs from the start reads why the runs count for nothing."""
    run(shop)
    await press(dana, "hold", reason="it repairs what is not broken")
    held = await read(dana)
    await press(dana, "release")
    released = await read(dana)

    assert "Nothing counts as compared while repairs are held" in held
    assert "Nothing counts as compared yet." in released
    assert "No run has finished yet." not in held + released


async def test_what_differs_is_told_in_words(shop: Shop, dana: Colleague) -> None:
    """Each kind with its number, what was done about it, and what looks broken."""
    run(
        shop,
        found='{"charge_without_order": 3, "foreign_charge": 1}',
        repairs=3,
        cases=1,
        warnings='["webhooks look broken: no event arrived for 4 of 4 charges"]',
    )
    run(shop, state="running", compared=7)

    told = await read(dana)

    assert "212 compared, 4 differ, 3 repairs asked for, 1 case opened" in told
    assert "3 × charged at the processor, and no order here" in told
    assert "1 × a charge that names no checkout of ours" in told
    assert "The last run says: webhooks look broken" in told
    assert "under way: 7 compared so far" in told


async def test_what_began_a_run_is_told(shop: Shop, dana: Colleague) -> None:
    """The schedule's runs are its own, and a person's theirs, whatever their name."""
    run(shop)
    run(shop, trigger="person", compared=7)

    told = await read(dana)

    assert "212 compared, nothing differs by the schedule" in told
    assert "7 compared, nothing differs by schedule" in told


async def test_a_run_begins_by_one_press(shop: Shop, dana: Colleague) -> None:
    """Under the name of whoever pressed, as far back as they chose, and on record."""
    pressed = await press(dana, "run")
    deep = await press(dana, "run", is_deep="true")

    asked = [(one.trigger, one.actor, one.is_deep) for one in shop.door.runs]
    assert asked == [(Trigger.PERSON, "dana", False), (Trigger.PERSON, "dana", True)]
    # The double begins none, as a worker does that is busy with another.
    assert "another run is under way" in await read(dana, pressed.headers["location"])
    assert deep.status_code == 303
    assert [row[1] for row in actions(shop)][-2:] == ["reconciliation.asked"] * 2


async def test_without_temporal_nothing_is_claimed(shop: Shop, dana: Colleague) -> None:
    """The page says that nothing was compared, and what to do."""
    shop.door.is_closed = True

    pressed = await press(dana, "run")

    told = await read(dana, pressed.headers["location"])
    assert "Temporal does not answer this second, so nothing was compared." in told


async def test_repairs_are_held_and_let_go(shop: Shop, dana: Colleague) -> None:
    """The first to hold it stands with name and reason; either may let it go."""
    eli = await hire(shop, "eli")
    await press(dana, "hold", reason="it repairs what is not broken")
    second = await press(eli, "hold", reason="I want to look")
    held = await read(eli)
    await press(eli, "release")
    after = await read(dana)

    assert "Somebody held it before you" in await read(eli, second.headers["location"])
    assert "by dana: it repairs what is not broken" in held
    assert "I want to look" not in held
    assert "Repairs are held" not in after
    assert [row[1] for row in actions(shop)][-3:] == [
        "reconciliation.held",
        "reconciliation.held",
        "reconciliation.released",
    ]


async def test_held_mail_is_let_go_once(shop: Shop, dana: Colleague) -> None:
    """The number is on the button; a second press finds nothing left to let go."""
    for number in range(3):
        await shop.open(f"mara{number}@example.com")
    shop.sql("UPDATE checkouts SET mail_held_at = now()")
    shown = await read(dana)
    first = await press(dana, "let-mail-go")
    second = await dana.post(f"{PAGE}/let-mail-go", "/support", seen="3 x")

    assert "Let the mail of 3 go" in shown
    assert shown.count("ORD-") == 3
    assert first.headers["location"].endswith("?said=mail-let-go")
    assert second.headers["location"].endswith("?said=no-mail-held")
    assert shop.sql("SELECT count(*) FROM checkouts WHERE mail_held_at IS NULL") == [
        (3,)
    ]


async def test_mail_that_was_held_since_stays(shop: Shop, dana: Colleague) -> None:
    """A press lets go what its page told of, and nothing that nobody has looked at."""
    for number in range(3):
        await shop.open(f"mara{number}@example.com")
    first = "UPDATE checkouts SET mail_held_at = now() WHERE email = %s"
    shop.sql(first, "mara0@example.com")
    shown = seen_by((await dana.browser.get(PAGE)).text, f"{PAGE}/let-mail-go")
    shop.sql("UPDATE checkouts SET mail_held_at = now()")

    pressed = await press(dana, "let-mail-go", **shown)

    assert shown["seen"].startswith("1 ")
    told = await read(dana, pressed.headers["location"])
    assert "The list changed since you opened it. Nothing was let go." in told
    assert "Let the mail of 3 go" in told
    assert shop.sql("SELECT count(*) FROM checkouts WHERE mail_held_at IS NULL") == [
        (0,)
    ]
    assert actions(shop)[-1][1:3] == ("mail.let_go", "refused")


async def test_another_bulk_of_as_many_stays(shop: Shop, dana: Colleague) -> None:
    """Who looked at one person's mail does not let the next one's go unread."""
    for number in range(2):
        await shop.open(f"mara{number}@example.com")
    hold = "UPDATE checkouts SET mail_held_at = now() WHERE email = %s"
    shop.sql(hold, "mara0@example.com")
    shown = seen_by((await dana.browser.get(PAGE)).text, f"{PAGE}/let-mail-go")
    shop.sql("UPDATE checkouts SET mail_held_at = NULL")
    shop.sql(hold, "mara1@example.com")

    pressed = await press(dana, "let-mail-go", **shown)

    assert pressed.headers["location"].endswith("?said=mail-changed")
    assert shop.sql("SELECT email FROM checkouts WHERE mail_held_at IS NOT NULL") == [
        ("mara1@example.com",)
    ]


async def test_who_only_looks_sees_no_button(shop: Shop) -> None:
    """Everything is told, and nothing can be pressed."""
    reader = await hire(shop, "rita", role=Role.READ)
    run(shop)

    shown = await reader.browser.get(PAGE)

    assert "Your account looks and does not act." in shown.text
    assert f'action="{PAGE}' not in shown.text
