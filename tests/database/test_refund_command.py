"""The operator's `refund` command, on real rows and with Temporal down."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest

from domain.states import Stage
from operating import one_checkout, refunds
from operating.refunds import RefundOrder
from stack.places import free_port
from tests.api.doubles import make_settings
from tests.conftest import Database
from tests.database.conftest import OpenCheckout

pytestmark = pytest.mark.postgres


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch, database: Database) -> None:
    """The command reads this database, and a Temporal that is not there."""
    made = make_settings(
        database_url=database.app_url, temporal_address=f"127.0.0.1:{free_port()}"
    )
    monkeypatch.setattr(one_checkout, "load_settings", lambda: made)


def order(checkout_id: UUID, amount: str) -> RefundOrder:
    """Return what an operator types."""
    return RefundOrder(
        checkout=str(checkout_id),
        amount=amount,
        actor="dana",
        reason="the customer asked",
        keeps_access=True,
    )


async def test_asked_and_taken_back(
    database: Database, open_checkout: OpenCheckout, capsys: pytest.CaptureFixture[str]
) -> None:
    """The row is written although Temporal is down, and can be taken back, once."""
    checkout_id = await open_checkout(Stage.CHARGED)
    codes = [await asyncio.to_thread(refunds.ask, order(checkout_id, "99.00"))]
    for _ in range(2):
        codes.append(
            await asyncio.to_thread(refunds.take_back, str(checkout_id), "elio")
        )

    assert codes == [0, 0, 1]
    said = capsys.readouterr()
    assert "$99.00" in said.out
    assert "told as soon as it does" in said.out
    assert "no refund that can be taken back" in said.err
    with database.connect_as_owner() as owner:
        assert owner.execute(
            "SELECT amount_minor, state, ends_access, actor, failure FROM refunds"
        ).fetchall() == [(9900, "canceled", False, "dana", "taken back by elio")]


@pytest.mark.parametrize(
    ("amount", "sentence"),
    [
        ("249.01", "more than what is left"),
        ("24900", "more than what is left"),
        ("249.5", "write it as 249.00"),
        ("-5", "write it as 249.00"),
        ("0.00", "more than nothing"),
    ],
)
async def test_what_cannot_be_is_one_sentence(
    open_checkout: OpenCheckout,
    capsys: pytest.CaptureFixture[str],
    amount: str,
    sentence: str,
) -> None:
    """A slip of the finger gives nothing back, and says why."""
    checkout_id = await open_checkout(Stage.CHARGED)

    code = await asyncio.to_thread(refunds.ask, order(checkout_id, amount))

    assert code == 1
    assert sentence in capsys.readouterr().err


async def test_nobody_of_that_name(capsys: pytest.CaptureFixture[str]) -> None:
    """A reference code that does not exist is said to be just that."""
    code = await asyncio.to_thread(refunds.take_back, "ORD-NOPE-NOPE", "dana")

    assert code == 1
    assert "No checkout is called ORD-NOPE-NOPE" in capsys.readouterr().err
