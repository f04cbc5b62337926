"""The cadence over every pair of states: what is said, never too much, always kept."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.cadence import (
    CHECKING_AFTER,
    FIRST_WORD_AFTER,
    RefundStanding,
    Said,
    Standing,
    Word,
    first_reminder,
    next_word,
)
from domain.emails import EmailKind, is_still_true
from domain.states import MONEY_TAKEN, AccessState, MoneyState, NotChargedReason
from domain.working_hours import WorkingHours

HOURS = WorkingHours.parse("Monday to Friday, 09:00 to 17:00 UTC")
#: A Monday.
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)

_moments = st.datetimes(
    min_value=datetime(2026, 1, 1),  # noqa: DTZ001  # The zone is given beside it.
    max_value=datetime(2027, 12, 31),  # noqa: DTZ001
    timezones=st.just(UTC),
)


def hear_all(standing: Standing, until: datetime, now: datetime = NOON) -> list[Word]:
    """Return every word until then, each leaving at its time."""
    heard = []
    while (word := next_word(standing, now)) and word.due_at <= until:
        now = max(now, word.due_at)
        heard.append(word)
        said = Said(
            kind=word.kind, sequence=word.sequence, promised_at=word.promised_at
        )
        standing = replace(standing, said=(*standing.said, said))
    return heard


def charged(access: AccessState, **more: object) -> Standing:
    """A checkout that was charged at noon."""
    return replace(
        Standing(
            money=MoneyState.CHARGED,
            access=access,
            buyer_attempt=1,
            hours=HOURS,
            pay_requested_at=NOON,
            charged_at=NOON,
            access_until=NOON + 365 * DAY,
        ),
        **more,  # type: ignore[arg-type]
    )


@given(
    money=st.sampled_from(MoneyState),
    access=st.sampled_from(AccessState),
    reason=st.none() | st.sampled_from(NotChargedReason),
    begun=_moments,
    waited=st.timedeltas(timedelta(), timedelta(hours=30)),
)
def test_every_state_speaks_little_and_keeps_every_promise(
    money: MoneyState,
    access: AccessState,
    reason: NotChargedReason | None,
    begun: datetime,
    waited: timedelta,
) -> None:
    """In no state does a customer hear more than four mails of one trouble.

    Each says what is true there, none names a time that is past or endless, and what
    one promises the next keeps, or a person.
    """
    # The database lets nothing but a charge have access.
    access = access if money in MONEY_TAKEN else AccessState.NONE
    standing = Standing(
        money=money,
        access=access,
        buyer_attempt=1,
        hours=HOURS,
        pay_requested_at=begun,
        ended_at=begun + waited,
        reason=reason,
        charged_at=begun,
    )

    heard = hear_all(standing, begun + 30 * DAY, now=begun)

    assert len(heard) <= 4
    for word in heard:
        assert is_still_true(word.kind, money, access)
        assert word.due_at >= begun
        if word.promised_at is not None:
            assert word.due_at < word.promised_at <= word.due_at + 5 * DAY
    for earlier, later in pairwise(heard):
        if earlier.promised_at is not None:
            assert later.due_at <= earlier.promised_at


def test_nothing_is_said_when_all_is_well() -> None:
    """Between the receipt and the end of the plan there is silence."""
    standing = charged(AccessState.ACTIVE, granted_at=NOON)

    heard = hear_all(standing, NOON + 300 * DAY)

    assert heard == []


def test_unknown_is_answered_within_the_day_that_it_promised() -> None:
    """The answer is promised before 24 hours are over; a late one is called late."""
    standing = Standing(
        money=MoneyState.UNKNOWN,
        access=AccessState.NONE,
        buyer_attempt=2,
        hours=HOURS,
        pay_requested_at=NOON,
    )

    heard = hear_all(standing, NOON + 3 * DAY)

    assert [word.kind for word in heard] == [
        EmailKind.CHECKING,
        EmailKind.CHECKING_STILL,
        EmailKind.CHECKING_PERSON,
        EmailKind.CHECKING_LATE,
    ]
    assert [word.due_at - NOON for word in heard[:2]] == [
        timedelta(minutes=5),
        timedelta(minutes=60),
    ]
    assert heard[2].due_at - NOON <= timedelta(hours=12)
    assert heard[2].promised_at is not None
    assert heard[2].promised_at - NOON < DAY
    assert heard[3].due_at == heard[2].promised_at
    # A Tuesday: a person has the whole of their day for it.
    assert heard[3].promised_at == NOON.replace(hour=17) + DAY
    assert heard[3].by_person


def test_person_comes_in_working_hours_or_after_twelve() -> None:
    """At night a person is promised for the morning, at the latest after 12 hours."""
    evening = NOON.replace(hour=22)
    standing = charged(AccessState.PENDING, charged_at=evening)

    heard = hear_all(standing, evening + 3 * DAY, now=evening)

    assert heard[2].due_at == evening.replace(hour=9) + DAY
    friday_night = datetime(2026, 11, 27, 22, tzinfo=UTC)
    standing = charged(AccessState.PENDING, charged_at=friday_night)
    heard = hear_all(standing, friday_night + 3 * DAY, now=friday_night)
    assert heard[2].due_at == friday_night + timedelta(hours=12)


def test_late_beginning_still_leaves_time_for_news() -> None:
    """A worker that was away for a night does not send three mails in one breath."""
    standing = charged(AccessState.PENDING)
    late = NOON + timedelta(hours=15)

    heard = hear_all(standing, late + timedelta(minutes=20), now=late)

    assert [word.kind for word in heard] == [EmailKind.RECEIVED]
    assert heard[0].promised_at is not None
    assert heard[0].promised_at >= late + timedelta(minutes=30)


@pytest.mark.parametrize(
    ("reason", "waited", "kind", "after"),
    [
        (NotChargedReason.DECLINED, 5, EmailKind.DECLINED, 30 * 60),
        (NotChargedReason.DECLINED, 20, EmailKind.NOT_CHARGED, 5 * 60 - 20),
        (NotChargedReason.DECLINED, 320, EmailKind.NOT_CHARGED, 0),
        (NotChargedReason.METHOD_REFUSED, 5, EmailKind.DECLINED, 30 * 60),
        (NotChargedReason.WITHDRAWN, 120, EmailKind.NOT_CHARGED, 0),
        (NotChargedReason.CANCELED, 72_000, EmailKind.NOT_CHARGED, 0),
        (NotChargedReason.BANK_CHECK_EXPIRED, 1800, EmailKind.NOT_CHARGED, 0),
    ],
)
def test_end_without_a_charge_is_told_as_fast_as_it_was_waited_for(
    reason: NotChargedReason, waited: int, kind: EmailKind, after: int
) -> None:
    """Who waited hears by the time that the page named, who saw a decline later."""
    ended = NOON + timedelta(seconds=waited)
    standing = Standing(
        money=MoneyState.NOT_CHARGED,
        access=AccessState.NONE,
        buyer_attempt=1,
        hours=HOURS,
        pay_requested_at=NOON,
        ended_at=ended,
        reason=reason,
    )

    (word,) = hear_all(standing, NOON + 10 * DAY)

    assert (word.kind, word.due_at) == (kind, ended + timedelta(seconds=after))


def test_second_slow_decline_is_told_like_the_first_and_in_a_pause_too() -> None:
    """Each wait that the page let somebody leave ends in a word by the named time."""
    standing = Standing(
        money=MoneyState.NOT_CHARGED,
        access=AccessState.NONE,
        buyer_attempt=2,
        hours=HOURS,
        said=tuple(
            Said(kind=kind, sequence=1)
            for kind in (EmailKind.DECLINED, EmailKind.NOT_CHARGED)
        ),
        pay_requested_at=NOON,
        ended_at=NOON + timedelta(seconds=20),
        reason=NotChargedReason.DECLINED,
        is_paused=True,
    )

    (word,) = hear_all(standing, NOON + DAY)

    assert (word.kind, word.sequence) == (EmailKind.NOT_CHARGED, 2)
    assert word.due_at == NOON + CHECKING_AFTER


@pytest.mark.parametrize(
    ("asked", "told", "due"),
    [
        (5, False, None),
        (20, False, 140),
        (270, False, 300),
        (600, True, 720),
    ],
)
def test_bank_that_asks_late_is_told_to_who_may_have_left(
    asked: int, told: bool, due: int | None
) -> None:
    """The question is mailed by the named time, unless the page let nobody go yet."""
    checking = Said(
        kind=EmailKind.CHECKING, sequence=1, promised_at=NOON + timedelta(hours=1)
    )
    standing = Standing(
        money=MoneyState.ACTION_NEEDED,
        access=AccessState.NONE,
        buyer_attempt=1,
        hours=HOURS,
        said=(checking,) if told else (),
        pay_requested_at=NOON,
        bank_asked_at=NOON + timedelta(seconds=asked),
    )

    heard = hear_all(standing, NOON + DAY)

    expected = [] if due is None else [(EmailKind.BANK_CHECK, NOON + due * SECOND)]
    assert [(word.kind, word.due_at) for word in heard] == expected


def test_decline_at_the_bank_itself_was_promised_no_mail() -> None:
    """Who was at the bank's question when it ended is helped half an hour later."""
    standing = Standing(
        money=MoneyState.NOT_CHARGED,
        access=AccessState.NONE,
        buyer_attempt=1,
        hours=HOURS,
        pay_requested_at=NOON,
        bank_asked_at=NOON + 3 * SECOND,
        ended_at=NOON + 60 * SECOND,
        reason=NotChargedReason.DECLINED,
    )

    (word,) = hear_all(standing, NOON + DAY)
    answered = replace(standing, bank_answered_at=NOON + 40 * SECOND)
    (after,) = hear_all(answered, NOON + DAY)

    assert (word.kind, word.due_at) == (EmailKind.DECLINED, NOON + 1860 * SECOND)
    assert (after.kind, after.due_at) == (EmailKind.NOT_CHARGED, NOON + 340 * SECOND)


def test_nobody_is_led_to_a_page_that_takes_no_payment() -> None:
    """While payments are paused the reminder of a decline waits; the end is told."""
    declined = Standing(
        money=MoneyState.NOT_CHARGED,
        access=AccessState.NONE,
        buyer_attempt=1,
        hours=HOURS,
        pay_requested_at=NOON,
        ended_at=NOON,
        reason=NotChargedReason.DECLINED,
        is_paused=True,
    )

    assert hear_all(declined, NOON + DAY) == []
    assert hear_all(replace(declined, is_paused=False), NOON + DAY)


def test_customer_who_was_heard_of_is_not_asked() -> None:
    """A sign-in or a letter makes "did you get in?" and the reminder needless."""
    late = NOON + timedelta(hours=3)
    got_in = charged(AccessState.ACTIVE, granted_at=late)
    assert [w.kind for w in hear_all(got_in, NOON + 5 * DAY)] == [EmailKind.GOT_IN]

    heard_of = replace(got_in, heard_at=late + timedelta(minutes=5))

    assert hear_all(heard_of, NOON + 5 * DAY) == []


def test_duplicate_is_told_at_once_and_asked_about_after_ten_working_days() -> None:
    """Charged twice: the mail leaves with the refund, and two weeks later we ask."""
    back = RefundStanding(sequence=1, is_duplicate=True, accepted_at=NOON)
    standing = charged(AccessState.ACTIVE, granted_at=NOON, refunds=(back,))

    told, asked = hear_all(standing, NOON + 100 * DAY)

    assert (told.kind, told.due_at) == (EmailKind.CHARGED_TWICE, NOON)
    assert (asked.kind, asked.due_at) == (EmailKind.REFUND_ARRIVED, NOON + 14 * DAY)
    arrived = replace(standing, refunds=(replace(back, is_confirmed=True),))
    assert len(hear_all(arrived, NOON + 100 * DAY)) == 1


def test_refund_that_fails_is_told_and_not_asked_about() -> None:
    """A refund that the bank gave back is never called returned."""
    failed = RefundStanding(
        sequence=1, accepted_at=NOON, failed_at=NOON + timedelta(hours=1)
    )
    standing = charged(AccessState.ACTIVE, granted_at=NOON, refunds=(failed,))

    assert [w.kind for w in hear_all(standing, NOON + 100 * DAY)] == [
        EmailKind.REFUND_FAILED
    ]


def test_end_of_the_plan_is_told_twice_and_never_after_it() -> None:
    """30 and 7 days before; a plan of a month is not announced on its first day."""
    until = NOON + 365 * DAY
    standing = charged(AccessState.ACTIVE, granted_at=NOON)

    heard = hear_all(standing, NOON + 400 * DAY)

    assert [(w.kind, until - w.due_at) for w in heard] == [
        (EmailKind.ENDING_IN_30, 30 * DAY),
        (EmailKind.ENDING_IN_7, 7 * DAY),
    ]
    assert first_reminder(NOON, until) == until - 30 * DAY
    assert first_reminder(NOON, NOON + 30 * DAY) == NOON + 23 * DAY
    assert first_reminder(NOON, NOON + 10 * DAY) is None
    missed = next_word(standing, until - timedelta(days=2))
    assert missed is None


def test_first_word_is_never_sooner_than_the_machine_needs() -> None:
    """Two minutes: a false alarm is harm, and five minutes make people pay again."""
    (first, *_) = hear_all(charged(AccessState.PENDING), NOON + DAY)

    assert first.due_at - NOON == FIRST_WORD_AFTER == timedelta(minutes=2)
