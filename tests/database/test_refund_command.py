"""The operator's `refund` command, on real rows and with Temporal down."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest

from domain.states import Stage
from operating import refunds
from operating.address import ShopAddress
from operating.database import NotDone
from operating.refunds import RefundOrder
from tests.conftest import Database
from tests.database.conftest import OpenCheckout

pytestmark = pytest.mark.postgres


def order(checkout_id: UUID, amount: str, nth: int = 1) -> RefundOrder:
    """Return what an operator types."""
    return RefundOrder(
        checkout=str(checkout_id),
        amount=amount,
        actor="dana",
        reason="the customer asked",
        keeps_access=True,
        nth=nth,
    )


async def ask(shop: ShopAddress, order: RefundOrder) -> None:
    """Run the command, which brings an event loop of its own."""
    await asyncio.to_thread(lambda: refunds.ask(shop, order, as_json=False))


async def take_back(
    shop: ShopAddress, checkout: str, actor: str, refund: str | None = None
) -> None:
    """Run the command that takes a request back."""
    await asyncio.to_thread(
        lambda: refunds.take_back(
            shop, checkout, actor=actor, refund=refund, as_json=False
        )
    )


async def test_asked_and_taken_back(
    shop: ShopAddress,
    database: Database,
    open_checkout: OpenCheckout,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The row is written although Temporal is down, and can be taken back, once."""
    checkout_id = await open_checkout(Stage.CHARGED)
    await ask(shop, order(checkout_id, "99.00"))
    await take_back(shop, str(checkout_id), "elio")
    with pytest.raises(NotDone, match="no refund that can be taken back"):
        await take_back(shop, str(checkout_id), "elio")

    said = capsys.readouterr()
    assert "$99.00" in said.out
    assert "told as soon as it does" in said.out
    with database.connect_as_owner() as owner:
        assert owner.execute(
            "SELECT amount_minor, state, ends_access, actor, failure FROM refunds"
        ).fetchall() == [(9900, "canceled", False, "dana", "taken back by elio")]


async def test_of_two_refunds_only_the_named_one_is_taken_back(
    shop: ShopAddress, database: Database, open_checkout: OpenCheckout
) -> None:
    """Two colleagues who mean the same one take it back once, and the other goes."""
    checkout_id = await open_checkout(Stage.CHARGED)
    for amount in ("50.00", "100.00"):
        await ask(shop, order(checkout_id, amount))
    ids = dict(database.sql("SELECT amount_minor, refund_id::text FROM refunds"))

    with pytest.raises(
        NotDone, match=f"(?s)say which.*--id {ids[10000][:8]}"
    ) as several:
        await take_back(shop, str(checkout_id), "elio")
    await take_back(shop, str(checkout_id), "elio", ids[10000][:8])
    with pytest.raises(NotDone, match="no refund that can be taken back"):
        await take_back(shop, str(checkout_id), "dana", ids[10000][:8])
    with pytest.raises(NotDone, match="asked for by dana: taken back already"):
        await take_back(shop, str(checkout_id), "dana")

    assert f"--id {ids[5000][:8]}" in str(several.value)
    assert dict(database.sql("SELECT amount_minor, state FROM refunds")) == {
        5000: "requested",
        10000: "canceled",
    }


async def test_given_twice_a_part_goes_back_once(
    shop: ShopAddress, database: Database, open_checkout: OpenCheckout
) -> None:
    """A command may be repeated; who means a second equal part says so, once too."""
    checkout_id = await open_checkout(Stage.CHARGED)
    await ask(shop, order(checkout_id, "50.00"))

    with pytest.raises(NotDone, match=r"goes back once already.* add: --nth 2"):
        await ask(shop, order(checkout_id, "50.00"))
    await ask(shop, order(checkout_id, "50.00", nth=2))
    for nth, said in ((2, r"2 times already.*--nth 3"), (4, "2 times already")):
        with pytest.raises(NotDone, match=said):
            await ask(shop, order(checkout_id, "50.00", nth=nth))
    with pytest.raises(NotDone, match="leave --nth out"):
        await ask(shop, order(checkout_id, "10.00", nth=2))

    assert database.sql("SELECT amount_minor FROM refunds") == [(5000,), (5000,)]


async def test_what_was_taken_back_can_be_asked_for_anew(
    shop: ShopAddress, database: Database, open_checkout: OpenCheckout
) -> None:
    """A refund that was taken back does not stand in the way of an equal one."""
    checkout_id = await open_checkout(Stage.CHARGED)
    await ask(shop, order(checkout_id, "50.00"))
    await take_back(shop, str(checkout_id), "dana")

    await ask(shop, order(checkout_id, "50.00"))

    states = database.sql("SELECT state FROM refunds ORDER BY requested_at")
    assert states == [("canceled",), ("requested",)]


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
    shop: ShopAddress,
    open_checkout: OpenCheckout,
    amount: str,
    sentence: str,
) -> None:
    """A slip of the finger gives nothing back, and says why."""
    checkout_id = await open_checkout(Stage.CHARGED)

    with pytest.raises(NotDone, match=sentence):
        await ask(shop, order(checkout_id, amount))


async def test_nobody_of_that_name(shop: ShopAddress) -> None:
    """A reference code that does not exist is said to be just that."""
    with pytest.raises(NotDone, match="No checkout is called ORD-NOPE-NOPE"):
        await take_back(shop, "ORD-NOPE-NOPE", "dana")
