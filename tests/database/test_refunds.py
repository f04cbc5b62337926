"""Refunds in the database: the guard on their sum, their moves, and who may ask."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from itertools import product
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from database.checkouts import read_checkout
from database.refunds import RefundRefused, request_refund
from domain.money import Money
from domain.refunds import RefundRequest, Returned
from domain.states import LIVE_REFUNDS, NEXT_REFUND_STATES, RefundState, Stage
from tests.conftest import Database
from tests.database.conftest import OpenCheckout

pytestmark = pytest.mark.postgres


def wish(amount_minor: int) -> RefundRequest:
    """Return a request of a person."""
    return RefundRequest(
        refund_id=uuid4(),
        amount=Money(amount_minor=amount_minor, currency="usd"),
        actor="dana",
        reason="the customer asked",
    )


async def ask(engine: AsyncEngine, checkout_id: UUID, request: RefundRequest) -> None:
    """Write it down."""
    async with engine.begin() as connection:
        await request_refund(connection, checkout_id, request)


def put(owner: psycopg.Connection[tuple[object, ...]], **columns: object) -> None:
    """Insert a refund past all queries, as a bug or a psql session would."""
    names = ", ".join(columns)
    marks = ", ".join(["%s"] * len(columns))
    owner.execute(
        f"INSERT INTO refunds ({names}) VALUES ({marks})".encode(),  # noqa: S608  # Our names.
        list(columns.values()),
    )


def columns(checkout_id: UUID, **changes: object) -> dict[str, object]:
    """Return the columns of a requested refund of 60 %."""
    return {
        "refund_id": uuid4(),
        "checkout_id": checkout_id,
        "payment_intent_id": f"pi_{checkout_id}",
        "amount_minor": 14940,
        "currency": "usd",
        "captured_minor": 24900,
        "purpose": "asked",
        "actor": "psql",
        "reason": "none",
        "ends_access": True,
        "not_before": "2026-11-25 00:00Z",
        **changes,
    }


async def test_two_at_once_of_sixty_percent_are_one(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """However two requests meet, their sum stays within what was taken; 50 times."""
    for _ in range(50):
        checkout_id = await open_checkout(Stage.CHARGED)
        results = await asyncio.gather(
            *(ask(engine, checkout_id, wish(14940)) for _ in range(2)),
            return_exceptions=True,
        )
        assert sorted(type(r).__name__ for r in results) == [
            "NoneType",
            "RefundRefused",
        ]


async def test_the_guard_holds_without_the_query(
    database: Database, open_checkout: OpenCheckout
) -> None:
    """Two bare inserts at once are added up one after the other by the trigger."""
    checkout_id = await open_checkout(Stage.CHARGED)

    def insert() -> str:
        with database.connect_as_owner() as owner:
            try:
                put(owner, **columns(checkout_id))
            except psycopg.errors.CheckViolation as error:
                return str(error.diag.constraint_name)
        return "written"

    results = await asyncio.gather(*(asyncio.to_thread(insert) for _ in range(2)))

    assert sorted(results) == ["refunds_within_charge", "written"]


@pytest.mark.parametrize(
    ("changes", "constraint"),
    [
        ({"payment_intent_id": "pi_stranger"}, "refunds_need_a_charge"),
        ({"captured_minor": 99900}, "refunds_need_a_charge"),
        ({"amount_minor": 0}, "ck_refunds_amount_positive"),
        ({"amount_minor": 24901}, "refunds_within_charge"),
        ({"purpose": "gift"}, "ck_refunds_purpose_known"),
    ],
)
async def test_no_refund_of_what_was_not_taken(
    database: Database,
    open_checkout: OpenCheckout,
    changes: dict[str, object],
    constraint: str,
) -> None:
    """A refund names a charge of its own checkout, and no more than it took."""
    checkout_id = await open_checkout(Stage.CHARGED)
    with (
        database.connect_as_owner() as owner,
        pytest.raises(psycopg.errors.CheckViolation) as refused,
    ):
        put(owner, **columns(checkout_id, **changes))

    assert refused.value.diag.constraint_name == constraint


@pytest.mark.parametrize("stage", [Stage.OPEN, Stage.REQUESTED, Stage.CHARGING])
async def test_without_a_charge_nothing_goes_back(
    engine: AsyncEngine, open_checkout: OpenCheckout, stage: Stage
) -> None:
    """Before the processor has shown the charge there is nothing to give back."""
    checkout_id = await open_checkout(stage)

    with pytest.raises(RefundRefused, match="was not charged"):
        await ask(engine, checkout_id, wish(100))


async def test_a_request_of_more_than_is_left_says_what_is_left(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """Support reads how much can still be given back."""
    checkout_id = await open_checkout(Stage.CHARGED)
    await ask(engine, checkout_id, wish(20000))

    with pytest.raises(RefundRefused, match=r"at most \$49\.00"):
        await ask(engine, checkout_id, wish(5000))


async def test_the_same_request_twice_is_one(
    engine: AsyncEngine, database: Database, open_checkout: OpenCheckout
) -> None:
    """A form that is sent twice asks once."""
    checkout_id = await open_checkout(Stage.CHARGED)
    request = wish(20000)

    for _ in range(2):
        await ask(engine, checkout_id, request)

    with database.connect_as_owner() as owner:
        assert owner.execute("SELECT count(*) FROM refunds").fetchone() == (1,)


@pytest.mark.parametrize(("old", "new"), list(product(RefundState, RefundState)))
async def test_the_guard_allows_the_domains_moves_and_no_other(
    database: Database, open_checkout: OpenCheckout, old: RefundState, new: RefundState
) -> None:
    """A refund that failed, or was taken back, never comes alive again."""
    checkout_id = await open_checkout(Stage.CHARGED)
    broken = None
    with database.connect_as_owner() as owner:
        put(
            owner,
            **columns(
                checkout_id,
                state=old,
                processor_refund_id="re_1",
                accepted_at="2026-11-25 00:00Z",
                next_look_at="2026-11-25 00:00Z",
                failure="none",
                finished_at=None
                if old in LIVE_REFUNDS - {RefundState.SUCCEEDED}
                else "2026-11-25 00:00Z",
            ),
        )
        try:
            owner.execute(
                "UPDATE refunds SET state = %s, finished_at ="
                " CASE WHEN %s IN ('succeeded', 'failed', 'canceled') THEN now() END",
                [new, new],
            )
        except psycopg.errors.CheckViolation as error:
            broken = error.diag.constraint_name

    allowed = old == new or new in NEXT_REFUND_STATES[old]
    assert broken == (None if allowed else "refunds_transition")


async def test_what_a_refund_is_cannot_be_rewritten(
    database: Database, open_checkout: OpenCheckout
) -> None:
    """Amount, charge, person and reason stay what they were when it was asked for."""
    checkout_id = await open_checkout(Stage.CHARGED)
    with database.connect_as_owner() as owner:
        put(owner, **columns(checkout_id))
        for change in ("amount_minor = 1", "actor = 'nobody'", "ends_access = false"):
            with pytest.raises(psycopg.errors.CheckViolation) as refused:
                owner.execute(f"UPDATE refunds SET {change}".encode())  # noqa: S608  # Our words.
            assert refused.value.diag.constraint_name == "refunds_are_final"


async def test_an_open_dispute_freezes_new_refunds(
    engine: AsyncEngine, database: Database, open_checkout: OpenCheckout
) -> None:
    """While the bank decides, the database itself takes no refund of ours."""
    checkout_id = await open_checkout(Stage.CHARGED)
    with database.connect_as_owner() as owner:
        owner.execute(
            "INSERT INTO disputes (dispute_id, checkout_id, payment_intent_id,"
            " amount_minor, currency, reason, status, opened_at)"
            " VALUES ('dp_1', %s, %s, 24900, 'usd', 'general', 'new', now())",
            [checkout_id, f"pi_{checkout_id}"],
        )
        with pytest.raises(psycopg.errors.CheckViolation) as refused:
            put(owner, **columns(checkout_id))

    assert refused.value.diag.constraint_name == "refunds_frozen"
    with pytest.raises((RefundRefused, IntegrityError)):
        await ask(engine, checkout_id, wish(100))


async def test_the_audit_names_who_asked(
    engine: AsyncEngine, database: Database, open_checkout: OpenCheckout
) -> None:
    """Who asked for money to go back, how much and why stands in the audit."""
    checkout_id = await open_checkout(Stage.CHARGED)
    await ask(engine, checkout_id, wish(100))

    with database.connect_as_owner() as owner:
        line = owner.execute(
            "SELECT actor, after ->> 'amount', after ->> 'reason' FROM audit"
            " WHERE action = 'refund.asked'"
        ).fetchone()
    assert line == ("dana", "100", "the customer asked")


async def test_what_went_back_is_told_by_the_charge_and_as_a_sum(
    engine: AsyncEngine, database: Database, open_checkout: OpenCheckout
) -> None:
    """Two parts of the price are the whole; a second charge's return is its own."""
    checkout_id, other = [await open_checkout(Stage.CHARGED) for _ in range(2)]
    came, last = (
        {"state": "succeeded", "accepted_at": at, "finished_at": at}
        for at in ("2026-11-24 10:00Z", "2026-11-25 10:00Z")
    )
    second = {"payment_intent_id": "pi_second", "purpose": "duplicate"}
    with database.connect_as_owner() as owner:
        owner.execute(
            "INSERT INTO second_charges"
            " (payment_intent_id, checkout_id, state, amount_minor, currency)"
            " VALUES ('pi_second', %s, 'proven', 24900, 'usd')",
            [other],
        )
        put(owner, **columns(checkout_id, processor_refund_id="re_1", **came))
        put(
            owner,
            **columns(
                checkout_id, processor_refund_id="re_2", amount_minor=9960, **last
            ),
        )
        put(owner, **columns(other, processor_refund_id="re_3", **second, **came))

    async with engine.connect() as connection:
        row = await read_checkout(connection, checkout_id)
        twice = await read_checkout(connection, other)

    assert row.returned == Returned(
        amount=Money(amount_minor=24900, currency="usd"),
        at=datetime(2026, 11, 25, 10, tzinfo=UTC),
    )
    assert row.second_returned is None
    assert twice.returned is None
    assert twice.second_returned == Returned(
        amount=Money(amount_minor=14940, currency="usd"),
        at=datetime(2026, 11, 24, 10, tzinfo=UTC),
        reference="re_3",
    )
