"""Events in any order and number: what they leave behind is the same.

The processor promises neither. Every example delivers the events of one payment, each
one or more times, shuffled, some of them at once, and compares the rows with those of a
delivery in order.
"""

from __future__ import annotations

import asyncio
from itertools import count
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.starter import Starter
from tests.api.doubles import Opened, Shop
from tests.api.test_webhooks import deliver, event

KINDS = (
    "payment_intent.created",
    "payment_intent.requires_action",
    "payment_intent.processing",
    "payment_intent.payment_failed",
    "payment_intent.succeeded",
    "payment_intent.canceled",
    "charge.updated",
    "charge.refunded",
    "refund.updated",
)

#: Where the checkout stands while the events come.
STATES = ("requested", "confirming", "at the bank", "declined", "charged", "second")

_numbers = count(1)

#: Each of the kinds once at least, shuffled, with up to twelve of them again.
deliveries = st.lists(st.sampled_from(KINDS), max_size=12).flatmap(
    lambda again: st.permutations([*KINDS, *again])
)


async def stand(shop: Shop, state: str) -> tuple[Opened, str]:
    """Bring a new checkout to a state; return it with the payment that is told of."""
    number = next(_numbers)
    opened = await shop.open(f"mara{number}@example.com")
    own = (opened.checkout_id,)
    if state == "restored":
        return Opened(path="", checkout_id=uuid4()), f"pi_{number}"
    await shop.pay(opened)
    if state == "declined":
        shop.decline(opened)
    elif state == "at the bank":
        shop.sql(
            "UPDATE checkouts SET stage='charging', money_state='ACTION_NEEDED',"
            " next_action_url='https://bank.example' WHERE checkout_id=%s",
            *own,
        )
    elif state != "requested":
        shop.sql("UPDATE checkouts SET stage='charging' WHERE checkout_id=%s", *own)
    if state in {"charged", "second"}:
        shop.charge(opened)
    return opened, f"pi_{opened.checkout_id}" if state == "charged" else f"pi_{number}"


async def tell(
    shop: Shop, state: str, kinds: list[str], at_once: int
) -> tuple[object, ...]:
    """Deliver events of these kinds, some at once; return what stands afterwards."""
    opened, payment = await stand(shop, state)
    shop.door.hinted.clear()
    shop.door.repairs.clear()
    bodies = [
        event(opened, kind=kind, payment=payment, event_id=f"evt_{payment}_{kind}")
        for kind in kinds
    ]
    for start in range(0, len(bodies), at_once):
        some = bodies[start : start + at_once]
        answers = await asyncio.gather(*(deliver(shop, body) for body in some))
        assert {answer.status_code for answer in answers} == {200}
    await shop.settle()
    shop.sql("UPDATE processor_events SET received_at = now() - interval '3 s'")
    await Starter(shop.parts).round()
    return what_stands(shop, opened, payment)


def what_stands(shop: Shop, opened: Opened, payment: str) -> tuple[object, ...]:
    """Return the rows that one payment can have touched, without ids and times."""
    return (
        shop.sql(
            "SELECT stage, money_state, access_state, buyer_attempt, not_charged_reason"
            " FROM checkouts WHERE checkout_id=%s",
            opened.checkout_id,
        ),
        shop.sql(
            "SELECT kind, applied_at IS NOT NULL, ignored_at FROM processor_events"
            " WHERE payment_intent_id=%s ORDER BY kind",
            payment,
        ),
        shop.sql(
            "SELECT cause, state FROM cases"
            " WHERE payment_intent_id=%s OR checkout_id=%s",
            payment,
            opened.checkout_id,
        ),
        shop.sql(
            "SELECT state FROM second_charges WHERE checkout_id=%s", opened.checkout_id
        ),
        shop.sql(
            "SELECT state, purpose FROM refunds WHERE checkout_id=%s",
            opened.checkout_id,
        ),
        set(shop.door.hinted) <= {opened.checkout_id},
        len({repair.repair_id for _, repair in shop.door.repairs}),
    )


@pytest.mark.parametrize("state", [*STATES, "restored"])
@settings(
    max_examples=4,
    deadline=None,
    # The rows of an example are its own, so the shop may be shared by all of them.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(kinds=deliveries, at_once=st.integers(1, 5), is_listening=st.booleans())
async def test_any_order_and_number_of_events_leaves_the_same_rows(
    shop: Shop, state: str, kinds: list[str], at_once: int, *, is_listening: bool
) -> None:
    """A shuffle, a repetition and a race of deliveries change nothing in the end."""
    shop.door.is_listening = is_listening

    in_order = await tell(shop, state, list(KINDS), 1)
    shuffled = await tell(shop, state, kinds, at_once)

    assert shuffled == in_order
    # Nothing waits any more, and every kind is kept once.
    events = shuffled[1]
    assert isinstance(events, list)
    assert [kind for kind, is_applied, _ in events if is_applied] == sorted(KINDS)
