"""The checkout's workflow in skipped time: every wait, every ladder, every end."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from temporalio import activity
from temporalio.testing import WorkflowEnvironment

from domain.cadence import CHECKING_AFTER
from domain.emails import EmailKind
from domain.messages import CheckoutEnd, PaymentClaim, RepairRequest, charge_of
from domain.payments import PaymentIntent, PaymentIntentStatus
from domain.states import NotChargedReason, Stage
from tests.workflows.conftest import Handle, Start, history_grows, pass_days
from tests.workflows.world import (
    PRICE,
    World,
    asks_bank,
    cancels,
    declines,
    lost,
    processes,
    refused,
    refuses_method,
    stays,
    succeeds,
    succeeds_but_reply_lost,
)
from workflows.checkout import CheckoutWorkflow
from workflows.door import CheckoutDoor

pytestmark = pytest.mark.temporal


async def lasted(handle: Handle) -> timedelta:
    """Return how long a run took by the server's clock."""
    description = await handle.describe()
    assert description.close_time is not None
    return description.close_time - description.start_time


def repair() -> RepairRequest:
    """Return what support's button sends."""
    return RepairRequest(repair_id=uuid4(), actor="dana", reason="the customer wrote")


async def test_all_well_takes_each_step_once(start: Start) -> None:
    """When nothing breaks, each effect is asked for exactly once and no time passes."""
    world = World()

    result = await (await start(world)).result()

    assert result.end is CheckoutEnd.DELIVERED
    assert [name for name, _ in world.asked] == [
        "claim_payment",
        "create_payment_intent",
        "store_payment_intent",
        "confirm_payment_intent",
        "write_order",
        "grant_entitlement",
        "send_email",
        "record_email",
    ]


async def test_lost_reply_after_charge_does_not_charge_twice(start: Start) -> None:
    """A charge whose reply was lost is found by looking, not by charging again."""
    world = World()
    world.confirm = (succeeds_but_reply_lost(world),)

    result = await (await start(world)).result()

    assert result.end is CheckoutEnd.DELIVERED
    assert len(world.confirmations) == 1


async def test_lost_request_is_sent_again_under_the_same_key(start: Start) -> None:
    """A confirmation that never arrived is repeated, first under its own key."""
    world = World(confirm=(lost, succeeds))

    await (await start(world)).result()

    assert [c.submission for c in world.confirmations] == [0, 0]


async def test_replayed_500_is_left_behind_by_a_new_key(start: Start) -> None:
    """A stored 500 does not replay for a day: after two looks a new key is used."""
    world = World(confirm=(lost, lost, lost, succeeds))

    result = await (await start(world)).result()

    assert result.end is CheckoutEnd.DELIVERED
    assert [c.submission for c in world.confirmations] == [0, 0, 1, 2]


async def test_unknown_is_closed_after_twenty_hours(start: Start) -> None:
    """An outcome unknown for 20 hours is closed, and only then "not charged"."""
    world = World(confirm=(processes,), look=(processes,))
    handle = await start(world)

    result = await handle.result()

    assert result.end is CheckoutEnd.NOT_CHARGED
    assert [n.reason for n in world.not_charged] == [NotChargedReason.CANCELED]
    assert timedelta(hours=20) <= await lasted(handle) < timedelta(hours=22)
    assert [c.cause for c in world.cases] == ["OutcomeStillUnknown"]
    assert not world.is_case_open


async def test_processor_away_for_a_day_never_means_not_charged(start: Start) -> None:
    """While the processor cannot be asked, nothing is claimed; its word ends it."""
    world = World(confirm=(lost,), look=(*(lost,) * 40, stays), cancel=(cancels,))
    world.look = (*(lost,) * 30, succeeds)

    result = await (await start(world)).result()

    assert result.end is CheckoutEnd.DELIVERED
    assert world.not_charged == []


async def test_success_at_the_deadline_is_believed(start: Start) -> None:
    """When closing finds the charge succeeded, the customer gets what was paid for."""
    world = World(confirm=(processes,), look=(processes,), cancel=(succeeds,))

    result = await (await start(world)).result()

    assert result.end is CheckoutEnd.DELIVERED
    assert world.not_charged == []


async def test_bank_answer_is_taken_up_at_the_hint(
    start: Start, skipping: WorkflowEnvironment
) -> None:
    """A hint from webhook or bank return ends the wait; the processor is then asked."""
    world = World(confirm=(asks_bank,), look=(succeeds,))
    handle = await start(world)
    with skipping.auto_time_skipping_disabled():
        await _until_asked(world, handle, "record_action_needed")
        await handle.signal(CheckoutWorkflow.look_again)
        result = await handle.result()

    assert result.end is CheckoutEnd.DELIVERED
    assert world.count("look_up_payment_intent") == 1


async def test_unanswered_bank_check_is_closed_after_thirty_minutes(
    start: Start,
) -> None:
    """An unanswered 3-D Secure question lapses: closed at the processor, then told."""
    world = World(confirm=(asks_bank,))
    handle = await start(world)

    result = await handle.result()

    assert result.end is CheckoutEnd.NOT_CHARGED
    assert [n.reason for n in world.not_charged] == [
        NotChargedReason.BANK_CHECK_EXPIRED
    ]
    assert timedelta(minutes=60) <= await lasted(handle) < timedelta(minutes=62)


async def test_bank_answer_that_wins_the_race_with_expiry_counts(start: Start) -> None:
    """The processor decides between a late answer and our closing; a success stands."""
    world = World(confirm=(asks_bank,), cancel=(succeeds,))

    result = await (await start(world)).result()

    assert result.end is CheckoutEnd.DELIVERED
    assert world.not_charged == []


async def test_processing_after_the_bank_ends_in_success(start: Start) -> None:
    """A payment that processes after the bank's yes is waited for and delivered."""
    world = World(confirm=(asks_bank,), look=(processes, processes, succeeds))

    result = await (await start(world)).result()

    assert result.end is CheckoutEnd.DELIVERED
    assert world.count("record_processing") == 1


async def test_long_doubt_says_when_the_processor_was_last_asked(
    start: Start, skipping: WorkflowEnvironment
) -> None:
    """Each look that leaves the outcome open is written down, though not of seconds."""
    world = World(confirm=(processes,))
    handle = await start(world)
    await skipping.sleep(timedelta(minutes=30))
    looks, noted = world.count("look_up_payment_intent"), world.count("record_asked")
    world.look = (succeeds,)
    await handle.signal(CheckoutWorkflow.look_again)

    await handle.result()

    assert 0 < looks - noted <= 3
    assert noted == world.count("record_asked") > 5


async def test_doubt_goes_on_when_the_asking_cannot_be_noted(start: Start) -> None:
    """The ladder does not hang on the page's small print."""
    world = World(confirm=(processes,), look=(*[processes] * 8, succeeds))
    world.failing["record_asked"] = "DatabaseAway"

    result = await (await start(world)).result()

    assert result.end is CheckoutEnd.DELIVERED


async def test_answered_bank_check_is_never_called_unanswered(start: Start) -> None:
    """A payment that hangs after the bank's answer is not told as "not answered"."""
    world = World(confirm=(asks_bank,), look=(processes,))

    await (await start(world)).result()

    assert [n.reason for n in world.not_charged] == [NotChargedReason.CANCELED]


async def test_another_charge_in_the_row_becomes_a_case(
    start: Start, skipping: WorkflowEnvironment
) -> None:
    """A charge that disagrees with the row is shown to a person, and not given up."""
    world = World(failing={"write_order": "ChargeDisagrees"})
    handle = await start(world)
    await skipping.sleep(timedelta(minutes=10))

    assert world.is_case_open
    assert world.cases[-1].cause == "ChargeDisagrees"
    world.failing.clear()
    await handle.result()


async def test_decline_then_another_card_is_one_charge(
    start: Start, skipping: WorkflowEnvironment
) -> None:
    """A decline, another card, a success: one PaymentIntent, one charge, one order."""
    world = World(confirm=(declines, succeeds))
    handle = await start(world)
    with skipping.auto_time_skipping_disabled():
        await _until_asked(world, handle, "record_not_charged")
        world.pay_again()
        await handle.signal(CheckoutWorkflow.pay_requested)
        result = await handle.result()

    assert result.end is CheckoutEnd.DELIVERED
    assert world.count("create_payment_intent") == 1
    assert [c.buyer_attempt for c in world.confirmations] == [1, 2]
    assert {c.payment_intent_id for c in world.confirmations} == {"pi_1"}
    assert world.count("write_order") == 1


async def test_decline_without_another_card_ends_the_run(start: Start) -> None:
    """After a decline the run waits half an hour for another card, then ends."""
    world = World(confirm=(declines,))
    handle = await start(world)

    result = await handle.result()

    assert result.end is CheckoutEnd.NOT_CHARGED
    assert await lasted(handle) < timedelta(minutes=31)


async def test_withdrawn_request_charges_nothing(start: Start) -> None:
    """A run that finds its request withdrawn never speaks to the processor."""
    world = World(stage=Stage.OPEN)

    result = await (await start(world)).result()

    assert result.end is CheckoutEnd.NOTHING_REQUESTED
    assert [name for name, _ in world.asked] == [
        "claim_payment",
        # Who waited for it was told that a mail would come.
        "plan_correspondence",
    ]


async def test_unusable_card_entry_frees_the_buyer_at_once(start: Start) -> None:
    """What the processor cannot use is closed and told, and bothers no support."""
    world = World(confirm=(refuses_method,))
    handle = await start(world)

    await handle.result()

    assert [n.reason for n in world.not_charged] == [NotChargedReason.METHOD_REFUSED]
    assert await lasted(handle) < timedelta(minutes=31)
    assert world.cases == []


async def test_processor_that_cannot_be_asked_ends_the_attempt_in_time(
    start: Start,
) -> None:
    """Without a PaymentIntent nothing is in doubt: the buyer is told so in minutes.

    Sooner than the mail which would have to say that we do not know.
    """
    world = World(failing={"create_payment_intent": "OutcomeUnknown"})
    handle = await start(world)

    result = await handle.result()

    assert result.end is CheckoutEnd.NOT_CHARGED
    assert [n.reason for n in world.not_charged] == [NotChargedReason.NOT_SENT]
    stood = world.post.standing
    assert stood.ended_at is not None
    assert stood.pay_requested_at is not None
    assert stood.ended_at - stood.pay_requested_at < CHECKING_AFTER
    assert [mail.kind for mail in world.post.sent] == [EmailKind.NOT_CHARGED]
    assert world.confirmations == []


async def test_no_charge_is_asked_for_past_the_deadline(start: Start) -> None:
    """At the hour that the page names, an attempt that never took is closed."""
    world = World(confirm=(lost, stays))
    handle = await start(world)

    result = await handle.result()

    assert result.end is CheckoutEnd.NOT_CHARGED
    events = (await handle.fetch_history()).events
    begun = events[0].event_time.ToDatetime()
    asked = [
        event.event_time.ToDatetime() - begun
        for event in events
        if event.activity_task_scheduled_event_attributes.activity_type.name
        == "confirm_payment_intent"
    ]
    assert max(asked) < timedelta(hours=20)
    # It stays for another card for half an hour, after it was closed on time.
    assert await lasted(handle) < timedelta(hours=20, minutes=40)


async def test_attempt_that_moved_on_is_not_confirmed(start: Start) -> None:
    """A run that cannot store its PaymentIntent confirms nothing, and reads the row."""
    world = World()
    charge = charge_of(succeeds(_intent_of(world)))
    note = world._note

    def move_on(name: str) -> None:
        note(name)
        if name == "create_payment_intent":
            world.stage, world.charge = Stage.CHARGED, charge
        if name == "write_order":
            world.intent = succeeds(_intent_of(world))

    world._note = move_on  # type: ignore[method-assign]
    result = await (await start(world)).result()

    assert result.end is CheckoutEnd.DELIVERED
    assert world.confirmations == []


async def test_declined_payment_that_succeeds_later_is_delivered(
    start: Start, skipping: WorkflowEnvironment
) -> None:
    """A charge on a checkout that says "not charged" is found at the next hint."""
    world = World(confirm=(declines,), look=(succeeds,))
    handle = await start(world)
    with skipping.auto_time_skipping_disabled():
        await _until_asked(world, handle, "record_not_charged")
        await handle.signal(CheckoutWorkflow.look_again)
        result = await handle.result()

    assert result.end is CheckoutEnd.DELIVERED


async def test_repair_of_a_declined_checkout_asks_the_processor(start: Start) -> None:
    """A repair on a declined checkout looks afresh, and delivers what it finds."""
    world = World(stage=Stage.OPEN, look=(succeeds,))
    world.intent = declines(_intent_of(world))

    result = await (await start(world)).result()

    assert result.end is CheckoutEnd.DELIVERED


def told_of(payment_intent_id: str) -> RepairRequest:
    """Return a repair by somebody who saw this charge at the processor."""
    return RepairRequest(
        repair_id=uuid4(),
        actor="reconciliation",
        reason="charge_without_order",
        payment_intent_id=payment_intent_id,
    )


async def test_told_charge_is_asked_about_until_the_processor_answers(
    start: Start, skipping: WorkflowEnvironment
) -> None:
    """A repair of what is called not charged is open while the processor is away."""
    world = World(stage=Stage.OPEN, look=(lost,) * 200)
    world.intent = declines(_intent_of(world))
    request = told_of("pi_1")
    handle = await start(world, request)
    await skipping.sleep(timedelta(minutes=20))

    assert world.repairs == []
    world.look = (succeeds,)
    result = await handle.result()

    assert result.end is CheckoutEnd.DELIVERED
    assert [done.repair for done in world.repairs] == [request]
    assert "found a charge" in world.repairs[0].outcome


class Forgetful(World):
    """A row that came back from a backup of before its PaymentIntent."""

    @activity.defn
    async def claim_payment(self, checkout_id: UUID) -> PaymentClaim:
        """Fake."""
        return replace(await super().claim_payment(checkout_id), payment_intent_id=None)


async def test_nothing_is_charged_while_a_told_charge_is_not_answered_for(
    start: Start, skipping: WorkflowEnvironment
) -> None:
    """A buyer who presses Pay on a restored row waits: the money may be here by now."""
    world = Forgetful(stage=Stage.OPEN, look=(lost,) * 200)
    world.intent = _intent_of(world)
    handle = await start(world, told_of("pi_1"))
    world.pay_again()
    await handle.signal(CheckoutWorkflow.pay_requested)
    await skipping.sleep(timedelta(minutes=20))

    assert world.count("look_up_payment_intent") > 5
    assert world.count("create_payment_intent") == 0
    world.look = (succeeds,)
    result = await handle.result()

    assert result.end is CheckoutEnd.DELIVERED
    assert world.confirmations == []


async def test_declined_payment_is_closed_when_nobody_comes_back(start: Start) -> None:
    """No declined PaymentIntent is left open to charge unseen."""
    world = World(confirm=(declines,))

    await (await start(world)).result()

    assert world.intent is not None
    assert world.intent.status is PaymentIntentStatus.CANCELED


async def test_case_of_an_earlier_run_is_closed_by_the_run_that_mends_it(
    start: Start,
) -> None:
    """An operator asks, and the refused mail that leaves at last closes its case."""
    world = World(receipt_refusal="550 5.1.1")
    await (await start(world)).result()
    assert world.is_case_open
    world.receipt_refusal, world.is_receipt_refused = None, False

    await (await start(world)).result()

    assert world.is_receipt_sent
    assert not world.is_case_open


async def test_hints_do_not_make_the_machine_ask_less_often(
    start: Start, skipping: WorkflowEnvironment
) -> None:
    """Pressing "check now" twenty times leaves the next look seconds away."""
    world = World(confirm=(processes,), look=(*(processes,) * 21, succeeds))
    handle = await start(world)
    with skipping.auto_time_skipping_disabled():
        for looks in range(1, 21):
            await handle.signal(CheckoutWorkflow.look_again)
            while world.count("look_up_payment_intent") < looks:
                await handle.query(CheckoutWorkflow.status)

    await handle.result()

    assert await lasted(handle) < timedelta(minutes=1)


async def test_run_that_resumes_looks_before_it_charges(start: Start) -> None:
    """A new run on a claimed attempt asks the processor first; a charge is not made."""
    world = World(stage=Stage.CHARGING, is_prepared=True)
    world.intent = succeeds(_intent_of(world))

    result = await (await start(world)).result()

    assert result.end is CheckoutEnd.DELIVERED
    assert world.confirmations == []


async def test_order_that_cannot_be_written_calls_for_a_person_and_goes_on(
    start: Start, skipping: WorkflowEnvironment
) -> None:
    """A charged customer is never given up: rounds go on for hours until it works."""
    world = World(failing={"write_order": "DatabaseAway"})
    handle = await start(world)
    await skipping.sleep(timedelta(hours=3))

    assert world.is_case_open
    assert world.count("record_charge") == 1
    world.failing.clear()
    result = await handle.result()
    assert result.end is CheckoutEnd.DELIVERED
    assert not world.is_case_open


async def test_repair_ends_the_wait_between_rounds(
    start: Start, skipping: WorkflowEnvironment
) -> None:
    """A repair makes the missing step happen now, and its outcome is recorded."""
    world = World(failing={"grant_entitlement": "ApplicationRefused"})
    handle = await start(world)
    await skipping.sleep(timedelta(hours=2))
    world.failing.clear()
    request = repair()
    with skipping.auto_time_skipping_disabled():
        await handle.signal(CheckoutWorkflow.request_repair, request)
        await handle.signal(CheckoutWorkflow.request_repair, request)
        await _until_asked(world, handle, "record_repair")
    # The run stays to ask on the next working day whether the buyer got in.
    await handle.result()

    assert [r.repair for r in world.repairs] == [request]
    assert "opened access" in world.repairs[0].outcome


async def test_a_grown_history_is_left_behind_between_rounds(
    start: Start, skipping: WorkflowEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An application that is away for weeks fills no history, and nothing is lost.

    Neither a repair that the run left unanswered, nor who the checkout is to support.
    """
    world = World(failing={"grant_entitlement": "ApplicationAway"})
    handle = await start(world)
    await skipping.sleep(timedelta(hours=2))
    request = repair()
    history_grows(monkeypatch)
    await handle.signal(CheckoutWorkflow.request_repair, request)
    await skipping.sleep(timedelta(minutes=30))

    now = await skipping.client.get_workflow_handle(handle.id).describe()
    assert now.run_id != handle.first_execution_run_id
    assert world.repairs == []
    world.failing.clear()
    result = await handle.result()

    assert result.end is CheckoutEnd.DELIVERED
    assert [done.repair for done in world.repairs] == [request]
    assert "opened access" in world.repairs[0].outcome
    assert not world.is_case_open
    assert world.confirmations[1:] == []


async def test_door_says_whether_a_run_is_there_and_tells_it_nothing(
    start: Start, skipping: WorkflowEnvironment
) -> None:
    """A run that waits is there, one that ended or never was is not."""
    world = World(failing={"grant_entitlement": "ApplicationAway"})
    handle = await start(world)
    door = CheckoutDoor(skipping.client)
    with skipping.auto_time_skipping_disabled():
        await _until_asked(world, handle, "grant_entitlement")
        waits = await door.is_running(world.checkout_id)
    world.failing.clear()
    await handle.result()

    assert waits
    assert not await door.is_running(world.checkout_id)
    assert not await door.is_running(uuid4())


async def test_repair_of_a_finished_checkout_finds_nothing_missing(
    start: Start,
) -> None:
    """A repair on a delivered checkout changes nothing and says so."""
    world = World()
    first = await start(world)
    await first.result()
    before = len(world.asked)

    again = await start(world)
    await again.result()

    assert [name for name, _ in world.asked[before:]] == [
        "claim_payment",
        "write_order",
        "plan_correspondence",
    ]


async def test_refused_receipt_keeps_the_case_open(start: Start) -> None:
    """A receipt that the mail server refuses is a person's case; access stays open."""
    world = World(receipt_refusal="550 5.1.1")

    result = await (await start(world)).result()

    assert result.end is CheckoutEnd.DELIVERED
    assert world.is_granted
    assert world.is_case_open
    assert world.cases[-1].cause == "MailRefused"


async def test_refused_receipt_is_not_sent_again_by_itself(start: Start) -> None:
    """A final no is final: a later run sends nothing, and the case stays a person's."""
    world = World(receipt_refusal="550 5.1.1")
    await (await start(world)).result()
    world.receipt_refusal = None

    await (await start(world)).result()

    assert world.count("send_email") == 1
    assert not world.is_receipt_sent
    assert world.is_case_open
    assert "550 5.1.1" in world.cases[-1].detail


async def test_receipt_that_is_put_off_for_ever_is_given_up(start: Start) -> None:
    """After five days the run ends, the customer has access, and a person is told."""
    world = World(failing={"send_email": "MailDeferred"})
    handle = await start(world)

    result = await handle.result()

    assert result.end is CheckoutEnd.DELIVERED
    assert world.is_receipt_refused
    assert world.is_case_open
    assert world.cases[-1].cause == "MailRefused"
    assert "put off for 5 days: MailDeferred" in world.cases[-1].detail
    assert timedelta(days=5) <= await lasted(handle) < timedelta(days=5, hours=2)


async def test_receipt_that_is_put_off_leaves_when_the_mail_server_is_back(
    start: Start, skipping: WorkflowEnvironment
) -> None:
    """A day without a mail server costs a case that closes itself, and no receipt."""
    world = World(failing={"send_email": "MailDeferred"})
    handle = await start(world)
    await pass_days(skipping, 1)
    assert world.is_case_open
    world.failing.clear()

    await handle.result()

    assert world.is_receipt_sent
    assert not world.is_case_open


async def test_refusal_by_our_fault_calls_a_person_and_is_not_a_decline(
    start: Start,
) -> None:
    """A wrong key never reads as "declined": a person is called and it heals later."""
    world = World(confirm=(refused, succeeds), look=(refused, refused, refused, stays))

    result = await (await start(world)).result()

    assert result.end is CheckoutEnd.DELIVERED
    assert world.not_charged == []
    assert world.cases[0].cause == "RefusedByOurFault"


def _intent_of(world: World) -> PaymentIntent:
    """Return a PaymentIntent of the world's checkout, before anything happened."""
    return PaymentIntent(
        payment_intent_id="pi_1",
        status=PaymentIntentStatus.REQUIRES_PAYMENT_METHOD,
        price=PRICE,
        checkout_id=world.checkout_id,
    )


async def _until_asked(world: World, handle: Handle, name: str) -> None:
    """Wait until an activity was asked; each query is a turn of the workflow."""
    while not world.count(name):
        await handle.query(CheckoutWorkflow.status)
