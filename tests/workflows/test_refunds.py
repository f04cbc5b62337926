"""Refunds in skipped time, with the real rows: every way money goes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.client import WorkflowExecutionStatus
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from database.aftermath import suspect_second_charge
from database.checkouts import CheckoutRow, read_checkout, request_payment
from database.refunds import (
    RefundRefused,
    cancel_refund,
    list_told_refunds,
)
from domain.emails import EmailKind
from domain.identifiers import workflow_id_of
from domain.messages import CheckoutEnd, CheckoutInput, RepairRequest
from domain.payments import PaymentIntentStatus
from domain.refunds import Dispute, RefundStatus
from domain.states import AccessState, MoneyState, RefundPurpose
from processor.port import RefusedByOurFault, Throttled
from tests.conftest import Database
from tests.database.conftest import PRICE, OpenCheckout, open_checkout
from tests.workflows.conftest import (
    Handle,
    history_grows,
    pass_days,
    register_attributes,
    start_skipping,
)
from tests.workflows.refund_world import RefundWorld
from workflows.checkout import CheckoutWorkflow

__all__ = ["open_checkout"]

pytestmark = [pytest.mark.temporal, pytest.mark.postgres]


class Shop:
    """A checkout, the workflow that owns it, and what the rows say."""

    def __init__(
        self,
        world: RefundWorld,
        database: Database,
        skipping: WorkflowEnvironment,
        queue: str,
    ) -> None:
        self.world = world
        self._database = database
        self._skipping = skipping
        self._queue = queue

    async def start(self, signal: str | None = None, *arguments: Any) -> Handle:
        """Start the workflow, or signal it, as the door does."""
        return await self._skipping.client.start_workflow(
            CheckoutWorkflow.run,
            CheckoutInput(
                checkout_id=self.world.checkout_id, reference_code="ORD-7K2M-9QXD"
            ),
            id=workflow_id_of(self.world.checkout_id),
            task_queue=self._queue,
            start_signal=signal,
            start_signal_args=arguments,
        )

    async def bought(self) -> None:
        """Buy, and let the run end."""
        await (await self.start()).result()

    async def refund(self, amount_minor: int = 24900, **choice: bool) -> Handle:
        """Ask for a refund: the row, then the knock."""
        request = await self.world.ask(amount_minor, **choice)
        return await self.start("request_refund", request)

    async def repair(self) -> Handle:
        """Ask for a repair."""
        request = RepairRequest(repair_id=uuid4(), actor="dana", reason="they wrote")
        return await self.start("request_repair", request)

    async def row(self) -> CheckoutRow:
        """Read the checkout."""
        async with self.world.engine.begin() as connection:
            return await read_checkout(connection, self.world.checkout_id)

    async def stands(self) -> tuple[MoneyState, AccessState]:
        """Return where money and access stand."""
        row = await self.row()
        return row.money_state, row.access_state

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """Ask the database as its owner."""
        with self._database.connect_as_owner() as connection:
            return list(connection.execute(statement.encode()).fetchall())

    def states(self) -> list[str]:
        """Return the states of the refunds, oldest first."""
        return [
            s for (s,) in self.sql("SELECT state FROM refunds ORDER BY requested_at")
        ]

    def cases(self) -> list[tuple[str, str]]:
        """Return cause and state of the cases."""
        return [
            (c, s) for c, s in self.sql("SELECT cause, state FROM cases ORDER BY 1")
        ]

    def returned(self) -> int:
        """Return how much the bank really gave back."""
        return sum(
            r.amount.amount_minor
            for r in self.world.bank.refunds
            if r.status is not RefundStatus.FAILED
        )


Open = Callable[[], Awaitable[Shop]]


@pytest.fixture
async def skipping() -> AsyncIterator[WorkflowEnvironment]:
    """A server of this test's own: its clock must not run ahead of the database's."""
    async with await start_skipping() as environment:
        await register_attributes(environment)
        yield environment


@pytest.fixture
async def shop(
    skipping: WorkflowEnvironment,
    engine: AsyncEngine,
    database: Database,
    open_checkout: OpenCheckout,
) -> AsyncIterator[Shop]:
    """A checkout that the buyer has pressed Pay on."""
    world = RefundWorld(
        engine=engine,
        checkout_id=await open_checkout(),
        clock=skipping.get_current_time,
    )
    async with engine.begin() as connection:
        await request_payment(connection, world.checkout_id, "pm_card_visa")
    async with AsyncExitStack() as workers:
        queue = str(uuid4())
        await workers.enter_async_context(
            Worker(
                skipping.client,
                task_queue=queue,
                workflows=[CheckoutWorkflow],
                activities=world.activities,
            )
        )
        yield Shop(world, database, skipping, queue)


async def lasted(handle: Handle) -> timedelta:
    """Return how long a run took by the server's clock."""
    description = await handle.describe()
    assert description.close_time is not None
    return description.close_time - description.start_time


async def test_whole_refund_ends_access(shop: Shop) -> None:
    """The whole price goes back after ten minutes, and access with it, once."""
    await shop.bought()

    handle = await shop.refund()
    result = await handle.result()

    assert result.end is CheckoutEnd.REFUNDED
    # After ten working days the run asks whether the money has arrived, and ends.
    assert await lasted(handle) > timedelta(days=13)
    assert shop.world.mails == [
        EmailKind.RECEIPT,
        EmailKind.REFUNDED,
        EmailKind.REFUND_ARRIVED,
    ]
    assert await shop.stands() == (MoneyState.REFUNDED, AccessState.ENDED)
    assert list(shop.world.application.values()) == ["ended"]
    assert shop.sql("SELECT state FROM subscriptions") == [("canceled",)]
    assert len(shop.world.bank.posts) == 1


async def test_refund_may_keep_access(shop: Shop) -> None:
    """By explicit choice the customer keeps the access although the money went back."""
    await shop.bought()

    await (await shop.refund(ends_access=False)).result()

    assert await shop.stands() == (MoneyState.REFUNDED, AccessState.ACTIVE)
    async with shop.world.engine.begin() as connection:
        told = await list_told_refunds(connection, shop.world.checkout_id)
    latest = told[-1]
    assert latest.keeps_access
    assert latest.amount == PRICE
    assert latest.reference == shop.world.bank.refunds[0].processor_refund_id


async def test_part_of_the_price_leaves_the_rest_charged(shop: Shop) -> None:
    """A partial refund changes neither the money state nor the access."""
    await shop.bought()

    result = await (await shop.refund(9900)).result()

    assert result.end is CheckoutEnd.DELIVERED
    assert await shop.stands() == (MoneyState.CHARGED, AccessState.ACTIVE)
    assert shop.returned() == 9900


async def test_parts_that_make_the_whole_end_access(shop: Shop) -> None:
    """Several parts add up: the last one makes the money returned and ends access."""
    await shop.bought()

    for part in (9900, 5000, 10000):
        await (await shop.refund(part)).result()

    assert await shop.stands() == (MoneyState.REFUNDED, AccessState.ENDED)
    assert shop.returned() == 24900


async def test_asked_twice_is_given_once(shop: Shop) -> None:
    """A second request for the whole is refused in a sentence; a repeat is the same."""
    await shop.bought()
    request = await shop.world.ask()

    with pytest.raises(RefundRefused, match="nothing of ORD-"):
        await shop.world.ask()
    await shop.start("request_refund", request)
    handle = await shop.start("request_refund", request)
    await handle.result()

    assert shop.returned() == 24900
    assert len(shop.world.bank.refunds) == 1


async def test_taken_back_in_time_sends_nothing(shop: Shop) -> None:
    """Within ten minutes a request can be taken back; the processor never hears."""
    await shop.bought()
    request = await shop.world.ask()
    async with shop.world.engine.begin() as connection:
        _, is_taken = await cancel_refund(
            connection, shop.world.checkout_id, request.refund_id, "elio"
        )
        assert is_taken

    result = await (await shop.start("request_refund", request)).result()

    assert result.end is CheckoutEnd.DELIVERED
    assert await shop.stands() == (MoneyState.CHARGED, AccessState.ACTIVE)
    assert shop.world.bank.posts == []
    assert shop.sql("SELECT failure FROM refunds") == [("taken back by elio",)]


async def test_pending_refund_is_on_its_way_until_the_bank_has_it(
    shop: Shop, skipping: WorkflowEnvironment
) -> None:
    """While the bank works the money is on its way; then it is returned."""
    await shop.bought()
    shop.world.bank.first_status = RefundStatus.PENDING

    handle = await shop.refund()
    await skipping.sleep(timedelta(hours=30))
    before = await shop.stands()
    shop.world.bank.decide(RefundStatus.SUCCEEDED)
    await handle.result()

    assert before == (MoneyState.REFUNDING, AccessState.ACTIVE)
    assert await shop.stands() == (MoneyState.REFUNDED, AccessState.ENDED)


async def test_refund_that_fails_after_a_day_falls_back_to_charged(
    shop: Shop, skipping: WorkflowEnvironment
) -> None:
    """A refund that the bank sends back is not called returned: a person is called."""
    await shop.bought()
    shop.world.bank.first_status = RefundStatus.PENDING

    handle = await shop.refund()
    await skipping.sleep(timedelta(hours=25))
    shop.world.bank.decide(RefundStatus.FAILED)
    await handle.result()

    assert await shop.stands() == (MoneyState.CHARGED, AccessState.ACTIVE)
    assert shop.states() == ["failed"]
    assert shop.cases() == [("RefundFailed", "open")]
    async with shop.world.engine.begin() as connection:
        told = await list_told_refunds(connection, shop.world.checkout_id)
    latest = told[-1]
    assert latest.failed_at is not None


async def test_case_of_a_failed_refund_outlasts_a_repair(shop: Shop) -> None:
    """A later run that finds nothing to do does not close what a person must mend."""
    await shop.bought()
    await (await shop.refund()).result()
    shop.world.bank.decide(RefundStatus.FAILED)

    for _ in range(2):
        await (await shop.repair()).result()

    assert shop.states() == ["failed"]
    assert shop.cases() == [("RefundFailed", "open")]


async def test_lost_reply_is_found_and_not_sent_again(shop: Shop) -> None:
    """A refund whose reply was lost is one refund at the processor."""
    await shop.bought()
    shop.world.bank.lose_replies = 1

    await (await shop.refund(9900)).result()

    assert shop.returned() == 9900
    assert len(shop.world.bank.posts) == 1
    assert shop.states() == ["succeeded"]


async def test_lost_request_is_sent_again_after_a_look(shop: Shop) -> None:
    """A refund that never arrived is sent again, under its own key at first."""
    await shop.bought()
    shop.world.bank.lose_requests = 2

    await (await shop.refund(9900)).result()

    assert [post.submission for post in shop.world.bank.posts] == [0, 0, 0]
    assert shop.returned() == 9900


async def test_refund_unknown_for_hours_calls_a_person_and_changes_its_key(
    shop: Shop, skipping: WorkflowEnvironment
) -> None:
    """What is unknown for an hour is shown; a stored answer is left behind by a key."""
    await shop.bought()
    shop.world.bank.lose_requests = 10_000

    handle = await shop.refund(9900)
    await skipping.sleep(timedelta(hours=2))
    assert ("RefundStillUnknown", "open") in shop.cases()
    shop.world.bank.lose_requests = 0
    await handle.result()

    submissions = [post.submission for post in shop.world.bank.posts]
    assert submissions == sorted(submissions)
    assert submissions[-1] >= 1
    assert shop.returned() == 9900
    assert shop.cases() == [("RefundStillUnknown", "resolved")]


async def test_refund_while_access_cannot_be_opened_opens_none(
    shop: Shop, skipping: WorkflowEnvironment
) -> None:
    """When provisioning is stuck and the money goes back, access never opens."""
    shop.world.is_application_away = True
    await shop.start()
    await skipping.sleep(timedelta(minutes=5))

    handle = await shop.refund()
    await skipping.sleep(timedelta(minutes=2))
    shop.world.is_application_away = False
    result = await handle.result()

    assert result.end is CheckoutEnd.REFUNDED
    assert await shop.stands() == (MoneyState.REFUNDED, AccessState.ENDED)
    assert list(shop.world.application.values()) == ["ended"]
    assert EmailKind.RECEIPT not in shop.world.mails


async def test_refund_taken_back_while_access_waits_opens_it(
    shop: Shop, skipping: WorkflowEnvironment
) -> None:
    """A request that is taken back lets the access open after all."""
    shop.world.is_application_away = True
    await shop.start()
    await skipping.sleep(timedelta(minutes=5))
    request = await shop.world.ask()
    await shop.start("request_refund", request)
    await skipping.sleep(timedelta(minutes=4))
    shop.world.is_application_away = False

    async with shop.world.engine.begin() as connection:
        await cancel_refund(
            connection, shop.world.checkout_id, request.refund_id, "dana"
        )
    result = await (await shop.start("request_refund", request)).result()

    assert result.end is CheckoutEnd.DELIVERED
    assert await shop.stands() == (MoneyState.CHARGED, AccessState.ACTIVE)
    assert shop.world.mails.count(EmailKind.RECEIPT) == 1


async def test_part_that_goes_back_does_not_keep_access_closed(
    shop: Shop, skipping: WorkflowEnvironment
) -> None:
    """Only the whole price takes access with it; a part lets it open at once."""
    shop.world.is_application_away = True
    await shop.start()
    await skipping.sleep(timedelta(minutes=5))
    shop.world.bank.first_status = RefundStatus.PENDING

    handle = await shop.refund(5000)
    shop.world.is_application_away = False
    await skipping.sleep(timedelta(hours=1))

    assert await shop.stands() == (MoneyState.CHARGED, AccessState.ACTIVE)
    shop.world.bank.decide(RefundStatus.SUCCEEDED)
    await handle.result()


async def second_charge(shop: Shop, **changes: Any) -> str:
    """Let the processor have a second charge, and a webhook tell of it."""
    first = shop.world.bank.intents[shop.world.intent_id]
    second = replace(first, payment_intent_id="pi_second", **changes)
    shop.world.bank.intents["pi_second"] = second
    async with shop.world.engine.begin() as connection:
        await suspect_second_charge(
            connection, shop.world.checkout_id, second.payment_intent_id
        )
    return second.payment_intent_id


async def test_proven_second_charge_is_returned_by_itself(shop: Shop) -> None:
    """Two PaymentIntents succeeded for one checkout: the second goes back, unasked."""
    await shop.bought()
    await second_charge(shop)

    await (await shop.repair()).result()

    (refund,) = shop.world.bank.refunds
    assert refund.payment_intent_id == "pi_second"
    assert refund.amount == PRICE
    assert shop.world.bank.posts[0].purpose is RefundPurpose.DUPLICATE
    assert await shop.stands() == (MoneyState.CHARGED, AccessState.ACTIVE)
    # The customer hears of it before the statement does, and is asked two weeks later.
    # (The scripted charge is days old, so "did you get in?" is asked as well.)
    assert [m for m in shop.world.mails if m is not EmailKind.GOT_IN] == [
        EmailKind.RECEIPT,
        EmailKind.CHARGED_TWICE,
        EmailKind.REFUND_ARRIVED,
    ]


async def test_second_charge_is_duplicate_until_the_refund_is_accepted(
    shop: Shop, skipping: WorkflowEnvironment
) -> None:
    """While the second charge is ours to return, the page says: charged twice."""
    await shop.bought()
    await second_charge(shop)
    shop.world.bank.lose_requests = 10_000

    handle = await shop.repair()
    await skipping.sleep(timedelta(minutes=10))
    before = await shop.stands()
    shop.world.bank.lose_requests = 0
    await handle.result()

    assert before == (MoneyState.DUPLICATE, AccessState.ACTIVE)
    assert await shop.stands() == (MoneyState.CHARGED, AccessState.ACTIVE)


@pytest.mark.parametrize(
    "changes",
    [{"status": PaymentIntentStatus.CANCELED}, {"checkout_id": uuid4()}],
    ids=["not charged", "of another checkout"],
)
async def test_unproven_second_charge_is_not_returned(
    shop: Shop, changes: dict[str, Any]
) -> None:
    """A webhook's word is not enough: the processor must show both charges."""
    await shop.bought()
    await second_charge(shop, **changes)

    await (await shop.repair()).result()

    assert shop.world.bank.refunds == []
    assert shop.sql("SELECT state FROM second_charges") == [("refuted",)]
    # Somebody's money may lie there for nothing: a person looks.
    assert shop.sql("SELECT payment_intent_id, cause, state FROM cases") == [
        ("pi_second", "SecondCharge", "open")
    ]
    assert await shop.stands() == (MoneyState.CHARGED, AccessState.ACTIVE)


async def test_refund_made_in_the_dashboard_is_found_by_a_repair(shop: Shop) -> None:
    """What was given back past us is written down, and access follows."""
    await shop.bought()
    shop.world.bank.give_back(shop.world.intent_id, PRICE)

    await (await shop.repair()).result()

    assert await shop.stands() == (MoneyState.REFUNDED, AccessState.ENDED)
    assert shop.sql("SELECT purpose, actor FROM refunds") == [("outside", "processor")]
    assert "past us" in shop.sql("SELECT outcome FROM repairs")[0][0]


async def test_look_whose_first_answer_is_lost_is_carried_out(shop: Shop) -> None:
    """One answer that does not come hides no dispute from whoever asked for a look."""
    await shop.bought()
    shop.world.bank.disputes.append(dispute(shop))
    list_disputes = shop.world.bank.list_disputes
    asked = 0

    async def busy_at_first(payment_intent_id: str) -> list[Dispute]:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise Throttled("rate_limit")
        return await list_disputes(payment_intent_id)

    shop.world.bank.list_disputes = busy_at_first  # type: ignore[method-assign]
    await (await shop.repair()).result()

    ((outcome,),) = shop.sql("SELECT outcome FROM repairs")
    assert "found a dispute" in outcome
    assert shop.cases() == [("DisputeOpened", "open")]


async def test_repair_is_open_until_the_processor_has_answered(
    shop: Shop, skipping: WorkflowEnvironment
) -> None:
    """While the processor is away nothing is called "found nothing missing".

    A person sees that, and the repair is answered by what the processor shows at last.
    """
    await shop.bought()
    shop.world.bank.give_back(shop.world.intent_id, PRICE)
    shop.world.bank.is_away = True
    handle = await shop.repair()
    for _ in range(6):
        await skipping.sleep(timedelta(minutes=5))
    request = RepairRequest(repair_id=uuid4(), actor="elio", reason="once more")
    await handle.signal(CheckoutWorkflow.request_repair, request)
    await skipping.sleep(timedelta(minutes=5))

    assert shop.sql("SELECT count(outcome) FROM repairs") == [(0,)]
    assert shop.cases() == [("OutcomeUnknown", "open")]
    shop.world.bank.is_away = False
    await handle.result()

    outcomes = shop.sql("SELECT outcome FROM repairs")
    assert len(outcomes) == 2
    assert any("past us" in outcome for (outcome,) in outcomes)
    assert await shop.stands() == (MoneyState.REFUNDED, AccessState.ENDED)
    assert shop.cases() == [("OutcomeUnknown", "resolved")]


async def test_a_grown_history_is_left_behind_with_a_repair_open(
    shop: Shop, skipping: WorkflowEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was asked of a run that goes on in another is answered by that one."""
    await shop.bought()
    shop.world.bank.give_back(shop.world.intent_id, PRICE)
    shop.world.bank.is_away = True
    handle = await shop.repair()
    await skipping.sleep(timedelta(minutes=10))
    history_grows(monkeypatch)
    await skipping.sleep(timedelta(minutes=20))
    shop.world.bank.is_away = False
    result = await handle.result()

    left = skipping.client.get_workflow_handle(handle.id, run_id=handle.result_run_id)
    status = (await left.describe()).status
    assert status is WorkflowExecutionStatus.CONTINUED_AS_NEW
    assert result.end is CheckoutEnd.REFUNDED
    ((outcome,),) = shop.sql("SELECT outcome FROM repairs")
    assert "past us" in outcome


async def test_payment_that_the_processor_does_not_know_ends_the_look(
    shop: Shop,
) -> None:
    """That it has none is an answer: the repair says so, and nobody waits for another.

    As after the key of another account was put in.
    """
    await shop.bought()

    async def no_such(payment_intent_id: str) -> list[Dispute]:
        del payment_intent_id
        raise RefusedByOurFault("resource_missing")

    shop.world.bank.list_disputes = no_such  # type: ignore[method-assign]
    await (await shop.repair()).result()

    ((outcome,),) = shop.sql("SELECT outcome FROM repairs")
    assert f"does not know {shop.world.intent_id}" in outcome


async def test_dashboard_refund_that_has_failed_is_told(shop: Shop) -> None:
    """A refund that had failed when we first saw it is a case, and the customer hears.

    Seen again it is no news.
    """
    await shop.bought()
    shop.world.bank.give_back(shop.world.intent_id, PRICE)
    shop.world.bank.decide(RefundStatus.FAILED)

    for _ in range(2):
        await (await shop.repair()).result()

    assert await shop.stands() == (MoneyState.CHARGED, AccessState.ACTIVE)
    assert shop.cases() == [("RefundFailed", "open")]
    assert "expired_or_canceled_card" in shop.sql("SELECT detail FROM cases")[0][0]
    assert shop.world.mails.count(EmailKind.REFUND_FAILED) == 1


async def test_failed_dashboard_refund_that_was_made_again_is_nobodys_case(
    shop: Shop,
) -> None:
    """Who made it again at the processor knows that it failed: the money is back."""
    await shop.bought()
    shop.world.bank.give_back(shop.world.intent_id, PRICE)
    shop.world.bank.decide(RefundStatus.FAILED)
    shop.world.bank.give_back(shop.world.intent_id, PRICE)

    await (await shop.repair()).result()

    assert await shop.stands() == (MoneyState.REFUNDED, AccessState.ENDED)
    assert shop.cases() == []
    assert EmailKind.REFUND_FAILED not in shop.world.mails


async def test_repair_that_comes_while_a_mail_leaves_is_answered_at_once(
    shop: Shop, skipping: WorkflowEnvironment
) -> None:
    """The next wait would be of two weeks: nobody's repair is left until then."""
    await shop.bought()
    shop.world.bank.give_back(shop.world.intent_id, PRICE)
    shop.world.while_mailing = shop.repair
    with skipping.auto_time_skipping_disabled():
        handle = await shop.repair()
        async with asyncio.timeout(20):
            while shop.sql("SELECT count(outcome) FROM repairs") != [(2,)]:
                # Each question is a turn of the workflow's.
                await handle.query("status")


async def test_dashboard_refund_takes_back_what_no_longer_fits(shop: Shop) -> None:
    """A request that waits is taken back when somebody was faster at the processor."""
    await shop.bought()
    await shop.world.ask()
    shop.world.bank.give_back(shop.world.intent_id, PRICE)

    await (await shop.repair()).result()

    assert shop.returned() == 24900
    assert sorted(shop.states()) == ["canceled", "succeeded"]
    assert shop.world.bank.posts == []


async def test_rest_of_a_request_that_no_longer_fits_is_a_persons_case(
    shop: Shop,
) -> None:
    """Who waits for the whole price and gets a part past us is not forgotten."""
    await shop.bought()
    await shop.world.ask()
    shop.world.bank.give_back(shop.world.intent_id, replace(PRICE, amount_minor=10000))

    await (await shop.repair()).result()

    assert sorted(shop.states()) == ["canceled", "succeeded"]
    assert shop.cases() == [("RefundFailed", "open")]
    assert "$149.00 of it did not go back" in shop.sql("SELECT detail FROM cases")[0][0]


async def test_rest_of_a_second_charge_is_returned_by_itself(shop: Shop) -> None:
    """What somebody gave back of it past us is not given twice, and the rest is given.

    However often that happens while ours waits.
    """
    await shop.bought()
    await second_charge(shop)
    bank = shop.world.bank
    bank.give_back("pi_second", replace(PRICE, amount_minor=10000))
    list_refunds = bank.list_refunds

    async def while_ours_waits(payment_intent_id: str) -> Any:
        if len(bank.refunds) == 1 and "canceled" in shop.states():
            bank.give_back("pi_second", replace(PRICE, amount_minor=5000))
        return await list_refunds(payment_intent_id)

    bank.list_refunds = while_ours_waits  # type: ignore[method-assign]
    await (await shop.repair()).result()

    assert [r.amount.amount_minor for r in bank.refunds] == [10000, 5000, 9900]
    assert [post.purpose for post in bank.posts] == [RefundPurpose.DUPLICATE]
    assert await shop.stands() == (MoneyState.CHARGED, AccessState.ACTIVE)


async def test_refused_refund_is_a_persons_case(shop: Shop) -> None:
    """A final no of the processor ends the request, with its word in the case."""
    await shop.bought()
    request = await shop.world.ask(20000)
    shop.world.bank.first_status = RefundStatus.SUCCEEDED
    give_back = shop.world.bank.give_back

    async def refund(_request: Any) -> Any:
        # Somebody was faster, in the dashboard.
        give_back(shop.world.intent_id, replace(PRICE, amount_minor=10000))
        return give_back(shop.world.intent_id, PRICE)

    shop.world.bank.refund = refund  # type: ignore[method-assign, assignment]
    await (await shop.start("request_refund", request)).result()

    assert sorted(shop.states()) == ["failed", "succeeded"]
    assert shop.cases() == [("RefundFailed", "open")]
    ((failure,),) = shop.sql("SELECT failure FROM refunds WHERE state = 'failed'")
    assert "charge_already_refunded" in failure


def dispute(
    shop: Shop, status: str = "needs_response", payment_intent_id: str = ""
) -> Dispute:
    """Return a dispute of the charge, or of another."""
    return Dispute(
        dispute_id="dp_1",
        payment_intent_id=payment_intent_id or shop.world.intent_id,
        amount=PRICE,
        reason="fraudulent",
        status=status,
        opened_at=datetime(2026, 11, 24, tzinfo=UTC),
        due_by=datetime(2026, 12, 1, tzinfo=UTC),
    )


async def test_dispute_freezes_refunds_and_opens_a_case(shop: Shop) -> None:
    """While the bank decides nothing is given back by us, and a person is told."""
    await shop.bought()
    await shop.world.ask()
    shop.world.bank.disputes.append(dispute(shop))

    await (await shop.repair()).result()

    assert shop.states() == ["canceled"]
    assert shop.world.bank.posts == []
    assert shop.cases() == [("DisputeOpened", "open")]
    with pytest.raises(RefundRefused, match="disputes"):
        await shop.world.ask()


@pytest.mark.parametrize(
    ("status", "returned"), [("lost", 0), ("won", 24900), ("warning_closed", 24900)]
)
async def test_dispute_of_a_second_charge_is_followed_to_its_end(
    shop: Shop, status: str, returned: int
) -> None:
    """While its bank decides we owe nothing; what it leaves with us goes back."""
    await shop.bought()
    await second_charge(shop)
    shop.sql(
        "INSERT INTO disputes (dispute_id, checkout_id, payment_intent_id,"
        " amount_minor, currency, reason, status, opened_at)"
        " SELECT 'dp_1', checkout_id, 'pi_second',"
        " 24900, 'usd', 'general', 'needs_response', now() FROM checkouts RETURNING 1"
    )
    await (await shop.repair()).result()
    assert shop.states() == []

    shop.world.bank.disputes[:] = [dispute(shop, status, "pi_second")]
    await (await shop.repair()).result()

    assert shop.sql("SELECT status, closed_at IS NULL FROM disputes") == [
        (status, False)
    ]
    assert shop.returned() == returned
    assert await shop.stands() == (MoneyState.CHARGED, AccessState.ACTIVE)


async def test_dispute_of_a_refuted_second_charge_is_written_down(shop: Shop) -> None:
    """It has a date by which a person must answer, whosever money it is.

    A refund of it is that person's doing, and no row of ours.
    """
    await shop.bought()
    await second_charge(shop, checkout_id=uuid4())
    await (await shop.repair()).result()
    shop.world.bank.disputes.append(dispute(shop, payment_intent_id="pi_second"))
    shop.world.bank.give_back("pi_second", PRICE)

    await (await shop.repair()).result()

    assert ("DisputeOpened", "open") in shop.cases()
    assert shop.states() == []


async def test_decided_dispute_thaws_refunds(shop: Shop) -> None:
    """After the bank has decided for us, a person may give money back again."""
    await shop.bought()
    shop.world.bank.disputes.append(dispute(shop))
    await (await shop.repair()).result()
    shop.world.bank.disputes[:] = [dispute(shop, "won")]
    await (await shop.repair()).result()

    await (await shop.refund()).result()

    assert await shop.stands() == (MoneyState.REFUNDED, AccessState.ENDED)


async def test_refund_knocks_on_a_run_that_waits(
    shop: Shop, skipping: WorkflowEnvironment
) -> None:
    """A second part, asked for while the first is at the bank, is not kept waiting."""
    await shop.bought()
    shop.world.bank.first_status = RefundStatus.PENDING
    handle = await shop.refund(5000)
    await pass_days(skipping, 2)

    await shop.refund(6000)
    await skipping.sleep(timedelta(minutes=11))

    assert [r.amount.amount_minor for r in shop.world.bank.refunds] == [5000, 6000]
    shop.world.bank.decide(RefundStatus.SUCCEEDED)
    await handle.result()


async def test_two_people_at_once_never_promise_more_than_was_taken(
    shop: Shop,
) -> None:
    """Two parts of 60 % at the same moment: one is taken, one refused in a sentence."""
    await shop.bought()

    asked = await asyncio.gather(
        *(shop.world.ask(14940) for _ in range(2)), return_exceptions=True
    )

    assert [type(one).__name__ for one in asked].count("RefundRefused") == 1
    assert shop.states() == ["requested"]
