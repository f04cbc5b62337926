"""When the customer hears from us: one pure function of what stands and what was said.

`next_word` is the whole table of when mails leave. It is asked again after every
mail and every change, so nothing is planned ahead that may stop being true. A
mail that names a time is the only one that makes a promise; the next word is due then,
whether there is news or not.

Nobody hears anything but the receipt when all is well. Of one trouble a customer hears
four automatic mails at the most; then a person has the word.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, time, timedelta

from domain.deadlines import MAY_LEAVE_AFTER, UNKNOWN_FOR
from domain.emails import EmailKind
from domain.states import AccessState, MoneyState, NotChargedReason
from domain.working_hours import WorkingHours

#: No mail but the receipt is due sooner than this after any change: repair by the
#: machine ends nearly every trouble before, and a false alarm is harm too.
FIRST_WORD_AFTER = timedelta(minutes=2)

#: A receipt later than this after the charge says sorry for the wait.
LATE_AFTER = timedelta(minutes=2)

#: Not knowing is told on the page at once; this is for who closed it. The page names
#: this time as soon as it lets anybody go: something must be said by then.
CHECKING_AFTER = timedelta(minutes=5)

#: The first promised word, counted from the press on Pay or from the charge.
SECOND_WORD_AFTER = timedelta(minutes=60)

#: A word promised from a late beginning still leaves this long for news to come.
LEAST_PROMISE = timedelta(minutes=30)

#: A person takes over in the first working hour, at the latest after this.
PERSON_WITHIN = timedelta(hours=12)

#: In working hours the person comes in an hour after the second word.
PERSON_AFTER = timedelta(hours=2)

#: Closing the attempt at the processor may take some tries: the answer is promised for
#: an hour after the deadline, well before the day is over.
ANSWER_WITHIN = UNKNOWN_FOR + timedelta(hours=1)

#: What is due within this is due now: the times come from the clocks of the database
#: and of the processor, and are compared with that of the workflow.
CLOCKS_AGREE_WITHIN = timedelta(seconds=15)

#: A mail takes a moment to leave. Later than this, a promise was not kept, and a person
#: is told.
PROMISE_GRACE = timedelta(minutes=10)

#: How long a person has, within working hours, for what they promised.
PERSON_TAKES = timedelta(hours=4)

#: Whoever was declined and has not come back gets the way to go on, once. Not before
#: the run stops waiting for another card: `ANOTHER_CARD_WITHIN` of the policies.
DECLINED_AFTER = timedelta(minutes=30)

#: A repair longer than this is asked about on the next working day.
ASK_AFTER_REPAIR_OF = timedelta(hours=1)
_ASK_AT = time(10)

#: Banks show most refunds within this many working days.
REFUND_SHOWS_AFTER_DAYS = 10

#: How often a run that has to say "open again" looks whether a new pause is over.
ASK_AGAIN_WHILE_PAUSED = timedelta(minutes=10)

#: Before the end of the bought time; not for plans about as short as the notice.
_ENDINGS = (
    (EmailKind.ENDING_IN_30, timedelta(days=30)),
    (EmailKind.ENDING_IN_7, timedelta(days=7)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A mail that was owed before: sent, waiting, refused or needless by now."""

    kind: EmailKind
    sequence: int
    promised_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundStanding:
    """What a customer must hear of one refund.

    Attributes:
        sequence: Counts the refunds of the checkout, from 1.
        is_duplicate: It returns the second payment of two.
        accepted_at: When the processor took it; None before.
        failed_at: When the bank gave it back to us.
        is_confirmed: The bank has confirmed that it arrived.
    """

    sequence: int
    is_duplicate: bool = False
    accepted_at: datetime | None = None
    failed_at: datetime | None = None
    is_confirmed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """All that decides what a customer hears next.

    Attributes:
        money: What happened to the money.
        access: What happened to the access.
        buyer_attempt: Counts the buyer's tries.
        hours: When people are there.
        said: Every mail that was owed so far.
        pay_requested_at: When the buyer last pressed Pay.
        bank_asked_at: When the bank asked the buyer of this attempt.
        bank_answered_at: When its question was answered.
        ended_at: When the last attempt ended without a charge.
        reason: Why it did.
        charged_at: When the money moved.
        granted_at: When access opened.
        access_until: When the bought time ends.
        ending_turn: Counts the ends that the plan has had, from 1: when days are added,
            its notices name another day, and are owed anew.
        heard_at: When the customer last wrote or signed in: they need no reminder.
        is_paused: New payments are not taken: no mail may lead to a page without a
            way to pay.
        open_again_turn: Counts the pauses whose end this buyer is told, from 1.
        open_again_at: When payments, paused while this checkout waited, were taken
            again.
        refunds: In the order in which they were asked for.
    """

    money: MoneyState
    access: AccessState
    buyer_attempt: int
    hours: WorkingHours
    said: tuple[Said, ...] = ()
    pay_requested_at: datetime | None = None
    bank_asked_at: datetime | None = None
    bank_answered_at: datetime | None = None
    ended_at: datetime | None = None
    reason: NotChargedReason | None = None
    charged_at: datetime | None = None
    granted_at: datetime | None = None
    access_until: datetime | None = None
    ending_turn: int = 1
    heard_at: datetime | None = None
    is_paused: bool = False
    open_again_turn: int = 1
    open_again_at: datetime | None = None
    refunds: tuple[RefundStanding, ...] = ()

    @property
    def waits_since(self) -> datetime | None:
        """Since when the buyer waits for an outcome: Pay, or the answer to the bank."""
        return self.bank_answered_at or self.pay_requested_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """One mail, and when it leaves.

    Attributes:
        kind: What it is for.
        sequence: Its turn of this kind.
        due_at: When it leaves.
        promised_at: The time that it names for the next word; None when it names none.
        by_person: Who must speak by then is a person, not a timer.
    """

    kind: EmailKind
    sequence: int
    due_at: datetime
    promised_at: datetime | None = None
    by_person: bool = False

    def is_due(self, now: datetime) -> bool:
        """Whether it leaves now."""
        return self.due_at <= now + CLOCKS_AGREE_WITHIN


def next_word(standing: Standing, now: datetime) -> Word | None:
    """Return the next mail that is due, now or later; None when none is in sight."""
    words = [word for rule in _RULES for word in rule(standing, now)]
    unsaid = [word for word in words if not _was_said(standing, word)]
    return min(unsaid, key=lambda word: word.due_at, default=None)


def first_reminder(charged_at: datetime, access_until: datetime) -> datetime | None:
    """Return when a customer with whom all is well hears from us again."""
    lasts = access_until - charged_at
    return min(
        (access_until - ahead for _, ahead in _ENDINGS if lasts > 2 * ahead),
        default=None,
    )


def _unknown(standing: Standing, now: datetime) -> list[Word]:
    """Not knowing: three words, then the promised answer, or that it is late."""
    pressed_at, since = standing.pay_requested_at, standing.waits_since
    is_unknown = standing.money is MoneyState.UNKNOWN
    if not is_unknown or pressed_at is None or since is None:
        return []
    words = _chain(
        standing,
        now,
        since=since,
        first_after=CHECKING_AFTER,
        kinds=(
            EmailKind.CHECKING,
            EmailKind.CHECKING_STILL,
            EmailKind.CHECKING_PERSON,
        ),
        last=lambda _: pressed_at + ANSWER_WITHIN,
        by_person=False,
    )
    return _after_the_answer_was_due(standing, now) or words


def _after_the_answer_was_due(standing: Standing, now: datetime) -> list[Word]:
    """The answer did not come in the time that we named: say so, then a person must.

    The processor is away, or does not let us close the attempt.
    """
    turn = standing.buyer_attempt
    promised = _find(standing, EmailKind.CHECKING_PERSON, turn)
    if promised is None or promised.promised_at is None:
        return []
    due = promised.promised_at
    return [
        Word(
            kind=EmailKind.CHECKING_LATE,
            sequence=turn,
            due_at=due,
            promised_at=_person_speaks_by(standing, max(due, now)),
            by_person=True,
        )
    ]


def _person_speaks_by(standing: Standing, at: datetime) -> datetime:
    return standing.hours.close_after(at + PERSON_TAKES)


def _waiting(standing: Standing, now: datetime) -> list[Word]:
    """Paid without access: three words, then a person has it."""
    is_waiting = (standing.money, standing.access) == (
        MoneyState.CHARGED,
        AccessState.PENDING,
    )
    if not is_waiting or standing.charged_at is None:
        return []
    return _chain(
        standing,
        now,
        since=standing.charged_at,
        first_after=FIRST_WORD_AFTER,
        kinds=(
            EmailKind.RECEIVED,
            EmailKind.RECEIVED_STILL,
            EmailKind.RECEIVED_PERSON,
        ),
        last=lambda at: _person_speaks_by(standing, at),
        by_person=True,
    )


def _chain(
    standing: Standing,
    now: datetime,
    *,
    since: datetime,
    first_after: timedelta,
    kinds: tuple[EmailKind, EmailKind, EmailKind],
    last: Callable[[datetime], datetime],
    by_person: bool,
) -> list[Word]:
    """The next of three words; each leaves when the one before promised it."""
    first, second, person = kinds
    turn = standing.buyer_attempt
    said_first, said_second = (_find(standing, kind, turn) for kind in (first, second))
    if said_first is None:
        due = since + first_after
        promised = max(since + SECOND_WORD_AFTER, max(due, now) + LEAST_PROMISE)
        return [Word(kind=first, sequence=turn, due_at=due, promised_at=promised)]
    if said_second is None:
        due = said_first.promised_at or since + SECOND_WORD_AFTER
        at = max(due, now)
        comes = max(since + PERSON_AFTER, at + LEAST_PROMISE)
        latest = max(since + PERSON_WITHIN, at + LEAST_PROMISE)
        promised = min(standing.hours.next_moment(comes), latest)
        return [Word(kind=second, sequence=turn, due_at=due, promised_at=promised)]
    due = said_second.promised_at or since + PERSON_WITHIN
    return [
        Word(
            kind=person,
            sequence=turn,
            due_at=due,
            promised_at=max(last(max(due, now)), max(due, now) + LEAST_PROMISE),
            by_person=by_person,
        )
    ]


def _not_charged(standing: Standing, _now: datetime) -> list[Word]:
    """The answer at once to whom we kept waiting; a way to go on to who was declined.

    The page told everybody who waited longer than that a mail would come, and by when.
    A decline is told then, and not before: who is still there takes another card, and
    needs no mail.
    """
    since, ended_at = standing.waits_since, standing.ended_at
    is_over = standing.money is MoneyState.NOT_CHARGED and standing.reason is not None
    if not is_over or since is None or ended_at is None:
        return []
    turn = standing.buyer_attempt
    was_told = any(
        _find(standing, kind, turn)
        for kind in (EmailKind.CHECKING, EmailKind.BANK_CHECK)
    )
    waited = ended_at - since >= MAY_LEAVE_AFTER
    is_decline = standing.reason is NotChargedReason.DECLINED
    if was_told or (waited and not is_decline):
        return [Word(kind=EmailKind.NOT_CHARGED, sequence=turn, due_at=ended_at)]
    named_at = _named_by_page(standing, ended_at)
    if named_at is not None:
        due = max(named_at, ended_at)
        return [Word(kind=EmailKind.NOT_CHARGED, sequence=turn, due_at=due)]
    due = ended_at + DECLINED_AFTER
    is_heard = standing.heard_at is not None and standing.heard_at >= ended_at
    if is_heard or standing.is_paused:
        return []
    return [Word(kind=EmailKind.DECLINED, sequence=1, due_at=due)]


def _bank_check(standing: Standing, _now: datetime) -> list[Word]:
    """The bank asks who may have left: they come back only if they hear of it.

    Two minutes are for who is still there and answers; no time that the page or a mail
    named passes over it.
    """
    since, asked_at = standing.waits_since, standing.bank_asked_at
    is_asked = standing.money is MoneyState.ACTION_NEEDED
    if not is_asked or since is None or asked_at is None:
        return []
    turn = standing.buyer_attempt
    was_told = _find(standing, EmailKind.CHECKING, turn) is not None
    named_at = _named_by_page(standing, asked_at)
    if not was_told and named_at is None:
        return []
    due = asked_at + FIRST_WORD_AFTER
    if not was_told and named_at is not None:
        due = max(asked_at, min(due, named_at))
    return [Word(kind=EmailKind.BANK_CHECK, sequence=turn, due_at=due)]


def _named_by_page(standing: Standing, until: datetime) -> datetime | None:
    """Return by when the page said that we write; None when it let nobody go.

    It lets go of whoever waits for longer than `MAY_LEAVE_AFTER`: for the outcome, and
    once more after the answer to the bank. At the bank's question it promises nothing.
    """
    pressed_at, asked_at = standing.pay_requested_at, standing.bank_asked_at
    answered_at = standing.bank_answered_at
    waits = (
        (pressed_at, asked_at or until),
        (answered_at, until),
    )
    return min(
        (
            begun_at + CHECKING_AFTER
            for begun_at, over_at in waits
            if begun_at is not None and over_at - begun_at >= MAY_LEAVE_AFTER
        ),
        default=None,
    )


def _got_in(standing: Standing, _now: datetime) -> list[Word]:
    """Ask on the next working day after a long repair, unless they were heard of."""
    charged_at, granted_at = standing.charged_at, standing.granted_at
    if not _is_in(standing) or charged_at is None or granted_at is None:
        return []
    is_heard = standing.heard_at is not None and standing.heard_at >= granted_at
    if granted_at - charged_at <= ASK_AFTER_REPAIR_OF or is_heard:
        return []
    due = standing.hours.next_day_at(granted_at, _ASK_AT)
    return [Word(kind=EmailKind.GOT_IN, sequence=1, due_at=due)]


def _ending(standing: Standing, now: datetime) -> list[Word]:
    """Notice before the bought time ends; what was missed is not told late."""
    charged_at, until = standing.charged_at, standing.access_until
    if not _is_in(standing) or charged_at is None or until is None:
        return []
    return [
        Word(kind=kind, sequence=standing.ending_turn, due_at=until - ahead)
        for kind, ahead in _ENDINGS
        if until - charged_at > 2 * ahead and now < until - ahead / 2
    ]


def _refunds(standing: Standing, _now: datetime) -> list[Word]:
    """Each refund is told once it is accepted, asked about later, and if it fails."""
    words = []
    for refund in standing.refunds:
        turn, accepted_at = refund.sequence, refund.accepted_at
        if refund.failed_at is not None:
            words.append(
                Word(
                    kind=EmailKind.REFUND_FAILED,
                    sequence=turn,
                    due_at=refund.failed_at,
                )
            )
        elif accepted_at is not None:
            told = (
                EmailKind.CHARGED_TWICE if refund.is_duplicate else EmailKind.REFUNDED
            )
            words.append(Word(kind=told, sequence=turn, due_at=accepted_at))
            if not refund.is_confirmed:
                shows = standing.hours.business_days_after(
                    accepted_at, REFUND_SHOWS_AFTER_DAYS
                )
                words.append(
                    Word(kind=EmailKind.REFUND_ARRIVED, sequence=turn, due_at=shows)
                )
    return words


def _open_again(standing: Standing, now: datetime) -> list[Word]:
    """Payments are taken again, and this buyer waited for that.

    Paused once more before it could be said, the word waits for that to end too.
    """
    is_open = standing.money is MoneyState.NOT_CHARGED
    if standing.open_again_at is None or not is_open:
        return []
    due = now + ASK_AGAIN_WHILE_PAUSED if standing.is_paused else standing.open_again_at
    turn = standing.open_again_turn
    return [Word(kind=EmailKind.OPEN_AGAIN, sequence=turn, due_at=due)]


_RULES: tuple[Callable[[Standing, datetime], list[Word]], ...] = (
    _unknown,
    _waiting,
    _bank_check,
    _not_charged,
    _refunds,
    _got_in,
    _ending,
    _open_again,
)


def _is_in(standing: Standing) -> bool:
    return standing.access is AccessState.ACTIVE and standing.money in {
        MoneyState.CHARGED,
        MoneyState.DUPLICATE,
    }


def _was_said(standing: Standing, word: Word) -> bool:
    return _find(standing, word.kind, word.sequence) is not None


def _find(standing: Standing, kind: EmailKind, sequence: int) -> Said | None:
    for said in standing.said:
        if (said.kind, said.sequence) == (kind, sequence):
            return said
    return None
