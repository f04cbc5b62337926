"""Findings on their way to the desk: no crash and no outage loses one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from api.starter import Starter
from database.cases import close_case, open_case
from domain.messages import OpenCase
from domain.oncall import Finding
from tests.api.doubles import Shop
from workflows.door import DoorClosed

pytestmark = pytest.mark.postgres


@dataclass
class FakeDesk:
    """A desk that writes down what it was told."""

    is_closed: bool = False
    told: list[Finding] = field(default_factory=list)

    async def report(self, findings: Sequence[Finding]) -> None:
        self.told += findings
        if self.is_closed:
            # The message got through; only its answer was lost.
            raise DoorClosed("TimeoutError")


async def _trouble(shop: Shop) -> None:
    opened = await shop.open()
    case = OpenCase(
        checkout_id=opened.checkout_id,
        step="ask for the charge",
        cause="OutcomeUnknown",
        detail="It is not known.",
    )
    async with shop.parts.engine.begin() as connection:
        await open_case(connection, case)


async def test_a_finding_is_told_until_the_desk_has_it(shop: Shop) -> None:
    """After a lost answer it is told again, and then no more."""
    desk = FakeDesk(is_closed=True)
    starter = Starter(replace(shop.parts, desk=desk))
    await _trouble(shop)

    await starter.round()
    desk.is_closed = False
    await starter.round()
    await starter.round()

    first, second = desk.told
    assert first == second
    assert first.error == "OutcomeUnknown"


async def test_an_end_is_told_as_well(shop: Shop) -> None:
    """What got on by itself needs nobody any more."""
    desk = FakeDesk()
    starter = Starter(replace(shop.parts, desk=desk))
    await _trouble(shop)
    await starter.round()
    async with shop.parts.engine.begin() as connection:
        ((checkout_id,),) = shop.sql("SELECT checkout_id FROM checkouts")
        await close_case(connection, checkout_id)
    await starter.round()

    assert [one.is_over for one in desk.told] == [False, True]


async def test_without_a_desk_findings_stay_where_they_are(shop: Shop) -> None:
    """A process that cannot reach the desk leaves them to one that can."""
    await _trouble(shop)
    await Starter(shop.parts).round()

    assert shop.sql("SELECT count(*) FROM findings WHERE told_at IS NULL") == [(1,)]


async def test_readiness_says_that_nobody_would_be_told(shop: Shop) -> None:
    """A shop without a channel works; whoever deploys it can see the gap."""
    answer = await shop.browser.get("/readyz")

    assert answer.status_code == 200
    assert answer.json()["on_call"].startswith("Nobody would be told")
