"""The operator's `repair` and `reconcile` commands, with Temporal down."""

from __future__ import annotations

import asyncio
import json

import pytest

from domain.states import Stage
from operating import reconciliation, repairs
from operating.address import ShopAddress
from operating.database import NotDone
from tests.conftest import Database
from tests.database.conftest import OpenCheckout

pytestmark = pytest.mark.postgres


async def test_repair_is_kept_while_temporal_is_down(
    shop: ShopAddress,
    database: Database,
    open_checkout: OpenCheckout,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The request is a row before anybody is told, so that it cannot be lost."""
    checkout_id = await open_checkout(Stage.CHARGED)

    await asyncio.to_thread(
        lambda: repairs.repair(
            shop, str(checkout_id), actor="dana", reason="she wrote", as_json=False
        )
    )

    assert "is kept, and carried out as soon as it does" in capsys.readouterr().out
    with database.connect_as_owner() as owner:
        assert owner.execute(
            "SELECT checkout_id, actor, reason, told_at, outcome FROM repairs"
        ).fetchall() == [(checkout_id, "dana", "she wrote", None, None)]


async def test_run_without_temporal_is_a_sentence(shop: ShopAddress) -> None:
    """A run that could not begin says so, and compares nothing."""

    def run() -> None:
        reconciliation.run(
            shop, actor="dana", is_dry=True, is_deep=False, since=None, as_json=False
        )

    with pytest.raises(NotDone, match="nothing was compared"):
        await asyncio.to_thread(run)


async def test_kill_switch_is_turned_and_shown(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who held it and why is shown until it is let go."""

    def turn() -> None:
        url = database.app_url
        reconciliation.hold(url, actor="dana", reason="I look first", as_json=True)
        reconciliation.hold(url, actor="elio", reason="me too", as_json=True)
        reconciliation.status(url, as_json=True)
        reconciliation.release(url, actor="dana", as_json=True)
        reconciliation.status(url, as_json=True)

    def hold_before_any_run() -> None:
        reconciliation.hold(
            database.app_url, actor="dana", reason="restored", as_json=False
        )
        reconciliation.status(database.app_url, as_json=False)

    await asyncio.to_thread(turn)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    await asyncio.to_thread(hold_before_any_run)

    assert "by dana: restored" in capsys.readouterr().out
    assert [lines[0]["is_new"], lines[1]["is_new"]] == [True, False]
    assert (lines[2]["held_by"], lines[2]["held_reason"]) == ("dana", "I look first")
    assert lines[4]["held_by"] is None
