"""What the customer hears, and when, in skipped time: the whole cadence of mails."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from temporalio.testing import WorkflowEnvironment

from domain.cadence import CHECKING_AFTER
from domain.emails import EmailKind
from domain.messages import CheckoutEnd
from domain.states import AccessState, MoneyState
from tests.workflows.conftest import Handle, Start, pass_days
from tests.workflows.post import HOURS, Post
from tests.workflows.world import (
    World,
    asks_bank,
    cancels,
    declines,
    lost,
    processes,
    stays,
    succeeds,
)
from workflows.checkout import CheckoutWorkflow

pytestmark = pytest.mark.temporal

#: A mail takes a moment: rounds of retries, the server's own time.
SLACK = timedelta(minutes=2)


def assert_kept(post: Post) -> None:
    """Every time that a mail named had its follow-up by then."""
    assert post.broken == []
    assert post.promised == []
    for earlier, later in pairwise(post.sent):
        if earlier.promised_at is not None:
            assert later.at <= earlier.promised_at + SLACK


async def test_all_well_sends_exactly_one_mail(start: Start) -> None:
    """When nothing breaks, the customer gets the receipt and nothing else."""
    world = World()

    await (await start(world)).result()

    assert world.post.kinds == [EmailKind.RECEIPT]
    assert world.count("plan_correspondence") == 0


async def test_access_three_minutes_late_is_told_at_two(
    start: Start, skipping: WorkflowEnvironment
) -> None:
    """Paid and locked out: at two minutes we say that the money is here."""
    world = World(failing={"grant_entitlement": "ApplicationAway"})
    handle = await start(world)
    await skipping.sleep(timedelta(minutes=3))
    world.failing.clear()

    result = await handle.result()

    assert result.end is CheckoutEnd.DELIVERED
    assert world.post.kinds == [EmailKind.RECEIVED, EmailKind.RECEIPT]
    told_at = world.post.sent[0].at - charged_at(world)
    assert timedelta(minutes=2) <= told_at < timedelta(minutes=3)
    assert_kept(world.post)


async def test_access_of_a_day_is_told_three_times_then_a_person_has_it(
    start: Start, skipping: WorkflowEnvironment
) -> None:
    """At 2 and 60 minutes and when a person comes in; never a fourth time by itself."""
    world = World(failing={"grant_entitlement": "ApplicationAway"})
    handle = await start(world)
    await pass_days(skipping, 4)
    assert world.post.kinds == [
        EmailKind.RECEIVED,
        EmailKind.RECEIVED_STILL,
        EmailKind.RECEIVED_PERSON,
    ]
    received, still, person = world.post.sent
    assert received.promised_at is not None
    assert still.promised_at is not None
    assert still.at - received.promised_at < SLACK
    assert person.at - still.promised_at < SLACK
    assert person.at - charged_at(world) <= timedelta(hours=12) + SLACK
    # The person did not write in time: support is told that a promise is overdue.
    assert "PromiseOverdue" in [case.cause for case in world.cases]
    world.failing.clear()

    await handle.signal(CheckoutWorkflow.look_again)
    await handle.result()

    assert world.post.kinds[3:] == [EmailKind.RECEIPT, EmailKind.GOT_IN]
    asked = world.post.sent[-1].at
    assert HOURS.next_moment(asked) == asked
    assert (asked.hour, asked.minute) == (10, 0)


@pytest.mark.parametrize(
    ("hours", "kinds"),
    [
        (0.5, [EmailKind.CHECKING]),
        (13, [EmailKind.CHECKING, EmailKind.CHECKING_STILL, EmailKind.CHECKING_PERSON]),
    ],
)
async def test_unknown_that_ends_well_is_answered_in_the_receipt(
    start: Start,
    skipping: WorkflowEnvironment,
    hours: float,
    kinds: list[EmailKind],
) -> None:
    """Not knowing is told thrice within 12 hours; the answer is the receipt."""
    world = World(confirm=(processes,))
    handle = await start(world)
    await skipping.sleep(timedelta(hours=hours))
    assert world.post.kinds == kinds
    world.look = (succeeds,)
    await handle.signal(CheckoutWorkflow.look_again)

    await handle.result()

    assert world.post.kinds == [*kinds, EmailKind.RECEIPT]
    assert_kept(world.post)


async def test_unknown_is_over_within_the_day_and_answered_at_once(
    start: Start,
) -> None:
    """At 20 hours the attempt is closed, and the same minute the customer hears it."""
    world = World(confirm=(processes,), look=(stays,))
    handle = await start(world)

    result = await handle.result()

    assert result.end is CheckoutEnd.NOT_CHARGED
    assert world.post.kinds == [
        EmailKind.CHECKING,
        EmailKind.CHECKING_STILL,
        EmailKind.CHECKING_PERSON,
        EmailKind.NOT_CHARGED,
    ]
    begun, answered = pressed_at(world), world.post.sent[-1].at
    assert timedelta(hours=20) <= answered - begun < timedelta(hours=20) + SLACK
    assert world.post.standing.ended_at is not None
    assert answered - world.post.standing.ended_at < SLACK
    assert_kept(world.post)


async def test_closing_that_is_refused_for_hours_is_told_as_late(start: Start) -> None:
    """No answer by the promised time: that is said by then, and a person is next."""
    world = World(confirm=(processes,), look=(stays,), cancel=(lost,) * 11 + (cancels,))
    handle = await start(world)

    result = await handle.result()

    assert result.end is CheckoutEnd.NOT_CHARGED
    assert world.post.kinds[-3:] == [
        EmailKind.CHECKING_PERSON,
        EmailKind.CHECKING_LATE,
        EmailKind.NOT_CHARGED,
    ]
    person, late, _ = world.post.sent[-3:]
    assert person.promised_at is not None
    assert abs(late.at - person.promised_at) < SLACK
    assert_kept(world.post)


async def test_cards_declined_and_left_get_one_mail_half_an_hour_later(
    start: Start,
) -> None:
    """Who was declined and closed the page gets the way to go on, once."""
    world = World(confirm=(declines,))

    await (await start(world)).result()

    assert world.post.kinds == [EmailKind.DECLINED]
    assert world.post.standing.ended_at is not None
    waited = world.post.sent[0].at - world.post.standing.ended_at
    assert timedelta(minutes=30) <= waited < timedelta(minutes=31)


async def test_slow_decline_is_told_by_the_time_that_the_page_named(
    start: Start,
) -> None:
    """Who was let go after ten seconds hears of the decline five minutes after Pay."""
    world = World(confirm=(lost,), look=(stays,) * 4 + (declines,))

    await (await start(world)).result()

    assert world.post.kinds == [EmailKind.NOT_CHARGED]
    assert_named_time(world)


async def test_decline_just_before_the_named_time_is_told_by_then(
    start: Start, skipping: WorkflowEnvironment
) -> None:
    """A change a moment before does not put the promised word off."""
    world = World(confirm=(processes,))
    handle = await start(world)
    await skipping.sleep(timedelta(minutes=4, seconds=30))
    world.look = (declines,)
    await handle.signal(CheckoutWorkflow.look_again)

    await handle.result()

    assert world.post.kinds == [EmailKind.NOT_CHARGED]
    assert_named_time(world)


async def test_bank_that_asks_just_before_the_named_time_is_told_by_then(
    start: Start, skipping: WorkflowEnvironment
) -> None:
    """Who left the page hears that the bank asks, and then that nothing was charged."""
    world = World(confirm=(processes,))
    handle = await start(world)
    await skipping.sleep(timedelta(minutes=4, seconds=30))
    world.look = (asks_bank,)
    await handle.signal(CheckoutWorkflow.look_again)

    await handle.result()

    assert world.post.kinds == [EmailKind.BANK_CHECK, EmailKind.NOT_CHARGED]
    assert_named_time(world)


async def test_buyer_who_comes_back_after_a_decline_is_not_reminded(
    start: Start, skipping: WorkflowEnvironment
) -> None:
    """A second card within the half hour makes the reminder needless."""
    world = World(confirm=(declines, succeeds))
    handle = await start(world)
    await skipping.sleep(timedelta(minutes=10))
    world.pay_again()
    await handle.signal(CheckoutWorkflow.pay_requested)

    await handle.result()

    assert world.post.kinds == [EmailKind.RECEIPT]


async def test_buyer_at_the_bank_hears_nothing_until_the_attempt_is_closed(
    start: Start,
) -> None:
    """While the bank waits for the buyer no mail comes; its end is told at once."""
    world = World(confirm=(asks_bank,))

    await (await start(world)).result()

    assert world.post.kinds == [EmailKind.NOT_CHARGED]


async def test_short_trouble_is_never_told(start: Start) -> None:
    """What the machine heals within two minutes is no mail: a false alarm is harm."""
    world = World(confirm=(lost,), look=(stays, succeeds))
    handle = await start(world)

    await handle.result()

    assert world.post.kinds == [EmailKind.RECEIPT]


async def test_mail_server_that_refuses_a_word_is_a_persons_case(
    start: Start, skipping: WorkflowEnvironment
) -> None:
    """No mail is silence: a refusal opens a case, and the charge goes on."""
    world = World(failing={"grant_entitlement": "ApplicationAway"})
    world.post.refusal = "550 5.1.1"
    handle = await start(world)
    await skipping.sleep(timedelta(minutes=10))
    assert "MailRefused" in [case.cause for case in world.cases]
    world.failing.clear()

    result = await handle.result()

    assert result.end is CheckoutEnd.DELIVERED
    assert world.is_case_open


async def test_one_mail_that_is_put_off_holds_no_other_up(
    start: Start, skipping: WorkflowEnvironment
) -> None:
    """The receipt waits for the mail server; the question on the next day does not."""
    world = World(failing={"grant_entitlement": "ApplicationAway"})
    world.deferred.add(world.checkout_id)
    handle = await start(world)
    await skipping.sleep(timedelta(hours=2))
    world.failing.clear()
    await handle.signal(CheckoutWorkflow.look_again)

    await handle.result()

    assert world.post.kinds[-1] is EmailKind.GOT_IN
    assert EmailKind.RECEIPT not in world.post.kinds
    assert world.is_receipt_refused


async def test_word_that_stopped_being_true_does_not_leave(
    start: Start, skipping: WorkflowEnvironment
) -> None:
    """A mail that waited for the mail server is read again before it goes."""
    world = World(confirm=(processes,), failing={"send_email": "MailDeferred"})
    handle = await start(world)
    await skipping.sleep(timedelta(minutes=10))
    world.look = (succeeds,)
    await handle.signal(CheckoutWorkflow.look_again)
    await skipping.sleep(timedelta(minutes=1))
    world.failing.clear()

    await handle.result()

    assert world.post.kinds == [EmailKind.RECEIPT]
    assert world.post.standing.money is MoneyState.CHARGED
    assert world.post.standing.access is AccessState.ACTIVE


async def test_run_that_was_lost_says_what_is_still_owed(start: Start) -> None:
    """A new run on a finished row finds the mail that the lost one left unsent."""
    world = World()
    await (await start(world)).result()
    charged = charged_at(world)
    world.post.stands(charged_at=charged - timedelta(hours=2))

    handle = await start(world)
    await handle.result()

    assert world.post.kinds == [EmailKind.RECEIPT, EmailKind.GOT_IN]


def charged_at(world: World) -> datetime:
    """Return when the money moved, by the server's clock."""
    at = world.post.standing.charged_at
    assert at is not None
    return at.astimezone(UTC)


def pressed_at(world: World) -> datetime:
    """Return when the buyer pressed Pay, by the server's clock."""
    at = world.post.standing.pay_requested_at
    assert at is not None
    return at.astimezone(UTC)


def assert_named_time(world: World) -> None:
    """The first mail left by the time that the page named: five minutes after Pay."""
    late = world.post.sent[0].at - pressed_at(world) - CHECKING_AFTER
    assert abs(late) < timedelta(seconds=20)


async def lasted(handle: Handle) -> timedelta:
    """Return how long a run took by the server's clock."""
    description = await handle.describe()
    assert description.close_time is not None
    return description.close_time - description.start_time
