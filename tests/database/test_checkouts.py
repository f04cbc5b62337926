"""Checkouts: every transition happens once, however many ask for it at once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from database.checkouts import (
    MOST_BUYER_ATTEMPTS,
    AttemptMovedOn,
    CheckoutNotFound,
    PaymentRequested,
    claim_payment,
    find_by_reference,
    find_by_token,
    find_checkout_of_payment,
    insert_checkout,
    list_by_email,
    read_checkout,
    record_action_needed,
    record_asked,
    record_not_charged,
    record_processing,
    request_payment,
    store_payment_intent,
    take_unclaimed_requests,
    withdraw_requests,
)
from database.tables import checkouts, payment_attempts
from domain.messages import (
    PaymentClaim,
    RecordActionNeeded,
    RecordAsked,
    RecordNotCharged,
    RecordProcessing,
    StorePaymentIntent,
)
from domain.states import DeclineClass, MoneyState, NotChargedReason, Stage
from tests.database.conftest import OpenCheckout, new_checkout

pytestmark = pytest.mark.postgres

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)

NOW = timedelta()


async def _request(engine: AsyncEngine, checkout_id: UUID) -> PaymentRequested:
    async with engine.begin() as connection:
        return await request_payment(connection, checkout_id, "pm_card_visa")


async def _claim(engine: AsyncEngine, checkout_id: UUID) -> PaymentClaim:
    async with engine.begin() as connection:
        return await claim_payment(connection, checkout_id)


async def _withdraw(engine: AsyncEngine, older_than: timedelta = NOW) -> list[UUID]:
    async with engine.begin() as connection:
        return await withdraw_requests(connection, older_than)


async def _not_charged(
    engine: AsyncEngine, checkout_id: UUID, reason: NotChargedReason
) -> None:
    async with engine.begin() as connection:
        row = await read_checkout(connection, checkout_id)
        await record_not_charged(
            connection,
            RecordNotCharged(
                checkout_id=checkout_id,
                buyer_attempt=row.buyer_attempt,
                reason=reason,
                decline=DeclineClass.GENERIC,
            ),
        )


async def test_a_checkout_is_found_by_each_of_its_names(engine: AsyncEngine) -> None:
    """By id, by the customer's address, by reference and by e-mail, in any case."""
    new = new_checkout()
    async with engine.begin() as connection:
        await insert_checkout(connection, new)
        found = await find_by_token(connection, new.token_hash)
        assert found is not None
        assert found.checkout_id == new.checkout_id
        same = await find_by_reference(connection, new.reference_code)
        assert same is not None
        assert same.checkout_id == new.checkout_id
        assert len(await list_by_email(connection, "MARA@example.com")) == 1
        assert await find_by_token(connection, b"x" * 32) is None
        assert await find_by_reference(connection, "ORD-NONE-NONE") is None
        with pytest.raises(CheckoutNotFound):
            await read_checkout(connection, uuid4())
        with pytest.raises(CheckoutNotFound):
            await request_payment(connection, uuid4(), "pm_card_visa")
        with pytest.raises(CheckoutNotFound):
            await claim_payment(connection, uuid4())


async def test_twenty_presses_on_pay_are_one_request(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """A double click, a second tab and a reload all meet the same attempt."""
    checkout_id = await open_checkout()
    presses = await asyncio.gather(*(_request(engine, checkout_id) for _ in range(20)))

    assert [press.is_new for press in presses].count(True) == 1
    assert {press.buyer_attempt for press in presses} == {1}
    assert {press.stage for press in presses} == {Stage.REQUESTED}
    async with engine.connect() as connection:
        attempts = await connection.execute(select(payment_attempts))
        assert len(attempts.all()) == 1


async def test_a_charged_checkout_takes_no_second_request(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """Who has paid cannot ask to pay again."""
    checkout_id = await open_checkout(Stage.CHARGED)
    press = await _request(engine, checkout_id)

    assert press == PaymentRequested(
        is_new=False, stage=Stage.CHARGED, buyer_attempt=1, too_many=False
    )


async def test_attempts_come_to_an_end(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """A card tester is stopped after ten cards; nothing is changed by more."""
    checkout_id = await open_checkout()
    for attempt in range(1, MOST_BUYER_ATTEMPTS + 1):
        assert (await _request(engine, checkout_id)).buyer_attempt == attempt
        await _claim(engine, checkout_id)
        await _not_charged(engine, checkout_id, NotChargedReason.DECLINED)

    press = await _request(engine, checkout_id)
    assert press.too_many
    assert not press.is_new
    assert press.stage is Stage.OPEN


async def test_a_request_is_claimed_once(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """However many workflows claim, the attempt and its deadline are the same."""
    checkout_id = await open_checkout(Stage.REQUESTED)
    claims = await asyncio.gather(*(_claim(engine, checkout_id) for _ in range(16)))

    assert {claim.stage for claim in claims} == {Stage.CHARGING}
    assert {claim.buyer_attempt for claim in claims} == {1}
    assert len({claim.claimed_at for claim in claims}) == 1
    assert {claim.payment_method for claim in claims} == {"pm_card_visa"}


async def test_a_claim_knows_whether_its_attempt_was_prepared(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """Only the attempt whose PaymentIntent was stored may have been confirmed.

    The next attempt inherits a declined PaymentIntent, but has sent nothing itself.
    """
    checkout_id = await open_checkout(Stage.CHARGING)
    before = await _claim(engine, checkout_id)
    async with engine.begin() as connection:
        await store_payment_intent(
            connection,
            StorePaymentIntent(
                checkout_id=checkout_id, buyer_attempt=1, payment_intent_id="pi_1"
            ),
        )
    after = await _claim(engine, checkout_id)
    await _not_charged(engine, checkout_id, NotChargedReason.DECLINED)
    await _request(engine, checkout_id)
    next_attempt = await _claim(engine, checkout_id)

    assert not before.is_prepared
    assert after.is_prepared
    assert not next_attempt.is_prepared
    assert next_attempt.payment_intent_id == "pi_1"


@pytest.mark.parametrize("stage", [Stage.OPEN, Stage.CHARGED])
async def test_a_claim_finds_what_stands(
    engine: AsyncEngine, open_checkout: OpenCheckout, stage: Stage
) -> None:
    """Where nothing is asked, or all is charged, a claim changes nothing."""
    claim = await _claim(engine, await open_checkout(stage))

    assert claim.stage is stage
    assert not claim.is_prepared
    assert (claim.charge is not None) == (stage is Stage.CHARGED)


async def test_a_withdrawal_and_a_claim_never_both_win(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """A withdrawn request was provably never sent; a claimed one is never withdrawn."""
    winners = {"claim": 0, "withdrawal": 0}
    for round_ in range(60):
        checkout_id = await open_checkout(Stage.REQUESTED)

        async def later_claim(checkout_id: UUID = checkout_id) -> PaymentClaim:
            return await _claim(engine, checkout_id)

        async def later_withdraw() -> list[UUID]:
            return await _withdraw(engine)

        # Who is asked first alternates, so that both can win.
        if round_ % 2:
            claim, withdrawn = await asyncio.gather(later_claim(), later_withdraw())
        else:
            withdrawn, claim = await asyncio.gather(later_withdraw(), later_claim())

        was_withdrawn = checkout_id in withdrawn
        was_claimed = claim.stage is Stage.CHARGING
        assert was_withdrawn != was_claimed
        winners["withdrawal" if was_withdrawn else "claim"] += 1
        async with engine.connect() as connection:
            row = await read_checkout(connection, checkout_id)
        assert row.stage is (Stage.OPEN if was_withdrawn else Stage.CHARGING)

    assert min(winners.values()) > 0, winners


async def test_a_withdrawn_request_is_proven_not_charged(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """Its reason stands in the row, its attempt is over, and Pay works again."""
    checkout_id = await open_checkout(Stage.REQUESTED)
    assert await _withdraw(engine, timedelta(minutes=2)) == []
    assert await _withdraw(engine) == [checkout_id]

    async with engine.connect() as connection:
        row = await read_checkout(connection, checkout_id)
        attempt = (await connection.execute(select(payment_attempts))).one()
    assert row.money_state is MoneyState.NOT_CHARGED
    assert row.not_charged_reason is NotChargedReason.WITHDRAWN
    assert attempt.outcome == "withdrawn"
    assert attempt.claimed_at is None
    assert (await _request(engine, checkout_id)).buyer_attempt == 2


@pytest.mark.parametrize("stage", [Stage.OPEN, Stage.CHARGING, Stage.CHARGED])
async def test_only_unclaimed_requests_are_withdrawn(
    engine: AsyncEngine, open_checkout: OpenCheckout, stage: Stage
) -> None:
    """What the processor may know of is never called not charged by us."""
    await open_checkout(stage)

    assert await _withdraw(engine) == []


async def test_lost_starts_are_found_and_marked(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """The starter loop takes late requests only, and the receipt will know of it."""
    late = await open_checkout(Stage.REQUESTED)
    await open_checkout(Stage.CHARGING)
    async with engine.begin() as connection:
        assert not await take_unclaimed_requests(connection, timedelta(minutes=1), 10)
        found = await take_unclaimed_requests(connection, NOW, 10)
        row = await read_checkout(connection, late)

    assert [request.checkout_id for request in found] == [late]
    assert (found[0].buyer_attempt, str(found[0].price)) == (1, "$249.00")
    assert row.interrupted_at is not None


async def test_two_starter_loops_take_different_requests(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """A replica neither waits for the other's rows nor takes them."""
    for _ in range(4):
        await open_checkout(Stage.REQUESTED)
    async with engine.begin() as one, engine.begin() as other:
        first = await take_unclaimed_requests(one, NOW, 2)
        second = await take_unclaimed_requests(other, NOW, 10)

    taken = [request.checkout_id for request in (*first, *second)]
    assert len(first) == 2
    assert len(taken) == len(set(taken)) == 4


async def test_the_bank_check_comes_and_goes(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """The wait starts anew after the bank; when Pay was pressed is never rewritten."""
    checkout_id = await open_checkout(Stage.CHARGING)
    async with engine.begin() as connection:
        before = await read_checkout(connection, checkout_id)
        await record_action_needed(
            connection,
            RecordActionNeeded(
                checkout_id=checkout_id,
                buyer_attempt=1,
                next_action_url="https://bank.test/1",
            ),
        )
        waiting = await read_checkout(connection, checkout_id)
        await record_processing(
            connection, RecordProcessing(checkout_id=checkout_id, buyer_attempt=1)
        )
        after = await read_checkout(connection, checkout_id)

    assert waiting.money_state is MoneyState.ACTION_NEEDED
    assert waiting.next_action_url == "https://bank.test/1"
    assert (after.money_state, after.next_action_url) == (MoneyState.UNKNOWN, None)
    assert before.pay_requested_at is not None
    assert after.pay_requested_at == before.pay_requested_at
    assert after.bank_answered_at is not None
    assert after.bank_answered_at > before.pay_requested_at


async def test_the_row_says_when_the_processor_was_last_asked(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """Only of the attempt in doubt; the buyer's next one begins without."""
    checkout_id = await open_checkout(Stage.CHARGING)
    seen = []
    async with engine.begin() as connection:
        for attempt in (7, 1):
            await record_asked(
                connection,
                RecordAsked(
                    checkout_id=checkout_id, buyer_attempt=attempt, asked_at=NOON
                ),
            )
            row = await read_checkout(connection, checkout_id)
            seen.append(row.asked_at == NOON)
        await record_not_charged(
            connection,
            RecordNotCharged(
                checkout_id=checkout_id,
                buyer_attempt=1,
                reason=NotChargedReason.DECLINED,
            ),
        )
        await request_payment(connection, checkout_id, "pm_card_visa")
        after = await read_checkout(connection, checkout_id)

    assert seen == [False, True]
    assert after.asked_at is None


async def test_the_bank_check_of_another_attempt_is_not_shown(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """A late writer of an earlier attempt sends nobody to the wrong bank page."""
    checkout_id = await open_checkout(Stage.CHARGING)
    async with engine.begin() as connection:
        await record_action_needed(
            connection,
            RecordActionNeeded(
                checkout_id=checkout_id,
                buyer_attempt=7,
                next_action_url="https://bank.test/old",
            ),
        )
        row = await read_checkout(connection, checkout_id)

    assert row.money_state is MoneyState.UNKNOWN


@pytest.mark.parametrize(
    "reason",
    [NotChargedReason.DECLINED, NotChargedReason.NOT_SENT, NotChargedReason.CANCELED],
)
async def test_a_declined_intent_is_kept_and_a_canceled_one_let_go(
    engine: AsyncEngine, open_checkout: OpenCheckout, reason: NotChargedReason
) -> None:
    """An open PaymentIntent serves the next card; a canceled one is of no use."""
    checkout_id = await open_checkout(Stage.CHARGING)
    async with engine.begin() as connection:
        await store_payment_intent(
            connection,
            StorePaymentIntent(
                checkout_id=checkout_id, buyer_attempt=1, payment_intent_id="pi_1"
            ),
        )
    await _not_charged(engine, checkout_id, reason)

    async with engine.connect() as connection:
        row = await read_checkout(connection, checkout_id)
        # The attempt remembers it either way, so that its events find their checkout.
        assert await find_checkout_of_payment(connection, "pi_1") == checkout_id
    kept = reason is not NotChargedReason.CANCELED
    assert row.payment_intent_id == ("pi_1" if kept else None)
    assert row.not_charged_reason is reason


async def test_a_late_writer_changes_no_later_attempt(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """A frozen worker that wakes up cannot end or rename the buyer's next attempt."""
    checkout_id = await open_checkout(Stage.CHARGING)
    await _not_charged(engine, checkout_id, NotChargedReason.DECLINED)
    await _request(engine, checkout_id)
    await _claim(engine, checkout_id)
    async with engine.begin() as connection:
        await record_not_charged(
            connection,
            RecordNotCharged(
                checkout_id=checkout_id,
                buyer_attempt=1,
                reason=NotChargedReason.CANCELED,
            ),
        )
        with pytest.raises(AttemptMovedOn):
            await store_payment_intent(
                connection,
                StorePaymentIntent(
                    checkout_id=checkout_id, buyer_attempt=1, payment_intent_id="pi_old"
                ),
            )
        row = await read_checkout(connection, checkout_id)

    assert (row.stage, row.buyer_attempt) == (Stage.CHARGING, 2)
    assert row.payment_intent_id is None


async def test_a_token_is_not_in_the_database(engine: AsyncEngine) -> None:
    """Who reads the table cannot open a customer's page."""
    new = new_checkout()
    async with engine.begin() as connection:
        await insert_checkout(connection, new)
        row = (await connection.execute(select(checkouts))).one()

    assert row.token_hash == new.token_hash
    assert not [name for name in row._mapping if name == "token"]


async def test_a_transaction_that_breaks_leaves_nothing(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """The request and its attempt are written together or not at all."""
    checkout_id = await open_checkout()

    async def breaks() -> None:
        async with engine.begin() as connection:
            await request_payment(connection, checkout_id, "pm_card_visa")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await breaks()
    async with engine.connect() as connection:
        row = await read_checkout(connection, checkout_id)
        assert row.stage is Stage.OPEN
        assert not (await connection.execute(select(payment_attempts))).all()


async def test_ages_are_counted_by_the_databases_clock(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """A process whose clock is off neither withdraws too soon nor too late."""
    checkout_id = await open_checkout(Stage.REQUESTED)
    async with engine.begin() as connection:
        await connection.execute(
            update(checkouts).values(
                pay_requested_at=checkouts.c.pay_requested_at - timedelta(seconds=121)
            )
        )

    assert await _withdraw(engine, timedelta(minutes=2)) == [checkout_id]
