"""How long each step may take, how it is repeated, and the ladders of waiting.

Every number that a workflow waits or tries by has its reason here; workflows only name
them. What the outside is given stands with it: `door`, `desk` and `schedule`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from temporalio.common import RetryPolicy

from domain.changes import TELL_STEP

#: The first try is a local activity, once: it costs 2 ms instead of 12 and is written
#: into the history together with its neighbours.
FIRST_TRY = RetryPolicy(maximum_attempts=1)

#: Afterwards a step is a regular activity that anyone can watch in the Temporal UI.
#: Half a second outlasts a restarting process; 15 seconds spare a struggling one.
REPEATED = RetryPolicy(
    initial_interval=timedelta(milliseconds=500),
    backoff_coefficient=2.0,
    maximum_interval=timedelta(seconds=15),
)

#: A round: long enough for a database failover or a deploy to pass unnoticed by people.
ROUND_LASTS = timedelta(minutes=3)

#: Between rounds; the last one repeats. A repair ends any of them at once.
BETWEEN_ROUNDS = (
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=15),
    timedelta(minutes=30),
    timedelta(hours=1),
)

#: Names the release from which on a look that somebody asked for is carried out until
#: the processor answers. Runs of before go on as they began.
LOOKS_ARE_CARRIED_OUT = "a look that is asked for is carried out"

#: One try to learn or to move something at the processor, before the next rung.
ONE_RUNG = timedelta(seconds=45)

#: How long to wait before asking the processor again while an outcome is unknown. The
#: first rungs catch a lost reply, the minutes an outage; the last one repeats.
UNKNOWN_LADDER = (
    timedelta(seconds=1),
    timedelta(seconds=2),
    timedelta(seconds=4),
    timedelta(seconds=8),
    timedelta(seconds=15),
    timedelta(seconds=30),
    timedelta(minutes=1),
    timedelta(minutes=2),
    timedelta(minutes=5),
    timedelta(minutes=10),
    timedelta(minutes=15),
    timedelta(minutes=30),
    timedelta(hours=1),
)

#: While the buyer is at the bank, webhooks and the bank's return bring the news; these
#: looks are for the case that both were lost.
BANK_LADDER = (
    timedelta(seconds=15),
    timedelta(seconds=30),
    timedelta(minutes=1),
    timedelta(minutes=2),
    timedelta(minutes=5),
)

#: An outcome unknown for this long is shown to a person.
UNKNOWN_ATTENTION_AFTER = timedelta(hours=1)

#: After a decline the run stays open, so that the buyer's next card meets it: until
#: whoever has not come back is written to, see `DECLINED_AFTER` in `domain.cadence`.
ANOTHER_CARD_WITHIN = timedelta(minutes=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a workflow, as support reads it.

    Attributes:
        name: In the imperative, as `write the order`.
        timeout: Limit of each try (start to close).
        heartbeat: Limit between heartbeats; None for steps that end within seconds.
    """

    name: str
    timeout: timedelta
    heartbeat: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalStep(Step):
    """A step whose first try is a local activity.

    Attributes:
        local_timeout: Limit of that try; `timeout` is that of each later one.
    """

    local_timeout: timedelta


#: Statements end by themselves after 5 seconds, a wait for a connection after 3.
_STATEMENTS = timedelta(seconds=10)


def _database(name: str) -> LocalStep:
    return LocalStep(name=name, local_timeout=timedelta(seconds=4), timeout=_STATEMENTS)


def _processor(name: str) -> LocalStep:
    """The adapter ends after 20 seconds; a dead worker shows after four heartbeats."""
    return LocalStep(
        name=name,
        local_timeout=timedelta(seconds=22),
        timeout=timedelta(seconds=25),
        heartbeat=timedelta(seconds=4),
    )


def _application(name: str) -> LocalStep:
    """The application is given 10 seconds by the activity."""
    return LocalStep(
        name=name,
        local_timeout=timedelta(seconds=12),
        timeout=timedelta(seconds=15),
        heartbeat=timedelta(seconds=4),
    )


def _mail(name: str) -> LocalStep:
    """The mail server is given 15 seconds by the mailer."""
    return LocalStep(
        name=name,
        local_timeout=timedelta(seconds=17),
        timeout=timedelta(seconds=20),
        heartbeat=timedelta(seconds=4),
    )


CLAIM = _database("claim the payment")
CREATE_INTENT = _processor("create the PaymentIntent")
PREPARE_INTENT = _processor("ready the PaymentIntent for another card")
STORE_INTENT = _database("store the PaymentIntent")
CONFIRM = _processor("ask for the charge")
LOOK_UP = _processor("ask the processor how things stand")
CANCEL = _processor("close the PaymentIntent")
RECORD_ACTION = _database("send the buyer to the bank")
RECORD_PROCESSING = _database("note that the bank was answered")
RECORD_ASKED = _database("note that the processor was asked")
RECORD_NOT_CHARGED = _database("note that nothing was charged")
WRITE_ORDER = _database("write the order")
RECORD_CHARGE = _database("note that the money arrived")
RECORD_EMAIL = _database("note what became of the mail")
NEXT_REFUND_STEP = _database("see what is due about refunds")
RECORD_REFUNDS = _database("note what became of the refund")
RECORD_SECOND_CHARGE = _database("note what the second charge is")
REFUND = _processor("give the money back")
LIST_REFUNDS = _processor("ask the processor which refunds it has")
LIST_DISPUTES = _processor("ask the processor for disputes")
OPEN_CASE = _database("open the case")
CLOSE_CASE = _database("close the case")
RECORD_REPAIR = _database("note what the repair did")
GRANT = _application("open access in the application")
END_ACCESS = _application("end access in the application")
TELL_CHANGE = _application(TELL_STEP)
SEND_RECEIPT = _mail("send the receipt")
SEND_MAIL = _mail("send a mail")
PLAN_MAIL = _database("find out what the customer must hear")

#: What is due is decided within this, though a database that is away is waited for.
LOOK_AT_DESK = Step(
    name="see what is due at the on-call desk", timeout=timedelta(seconds=15)
)
RECORD_DESK = Step(name="write down what the on-call desk did", timeout=_STATEMENTS)
PAUSE_CHECKOUT = Step(
    name="pause new payments: nobody answered",
    # The switch waits up to 15 seconds for the presses that are being committed.
    timeout=timedelta(seconds=20),
)
#: Each channel is given 15 seconds, and a person may have several.
SEND_ALERT = Step(
    name="tell a person",
    timeout=timedelta(minutes=2),
    heartbeat=timedelta(seconds=4),
)
#: The watcher is given 8 seconds.
BEAT = Step(
    name="let the outside watcher hear of us",
    timeout=timedelta(seconds=10),
)

#: A person's turn is five minutes; what the desk does for one alert ends before.
DESK_ROUND = timedelta(minutes=2)

#: A desk comes to rest within a handful of looks; this many are a fault.
MOST_LOOKS = 30

#: After such a fault the desk waits, so that it does not fill its history.
DESK_FAULT_WAIT = timedelta(minutes=1)

#: A timer of no length would let a plan that stays due spin.
LEAST_WAIT = timedelta(seconds=1)

#: What is due about money is done at once; this keeps a wait from being none at all.
LEAST_WAIT_FOR_MONEY = timedelta(milliseconds=100)

#: No mail is in sight: any change is looked at sooner, and this is for none at all.
NOTHING_IN_SIGHT = timedelta(days=1)

#: A run stays open for a mail that is as near as this: a refund is asked about after
#: ten working days. A mail that is farther off is left to the row and the sweep, for a
#: run of a year would have to be replayed by every release of that year.
STAYS_FOR_MAIL = timedelta(days=16)


#: A step of the reconciliation is repeated for so long; then its run is given up, and
#: the next one starts from the same watermark.
STEP_OF_RUN = timedelta(minutes=8)

#: A hung run is ended after this, so that it cannot keep the next ones from starting.
RUN_LASTS = timedelta(minutes=12)

#: A run that has compared for so long goes on in a new run of the same workflow, which
#: has all of `RUN_LASTS` again: many months of a lost database take an hour. What is
#: left of the old run has room for one more part with all its repetitions.
HANDS_OVER_AFTER = timedelta(minutes=3)

#: The processor's largest page holds 100 objects. So many pages take seconds to a
#: minute, and the heartbeat keeps the place.
PAGES_AT_ONCE = 200

BEGIN_RUN = Step(name="say what to compare", timeout=_STATEMENTS)
COMPARE_PAGES = Step(
    name="compare the processor's books with ours",
    timeout=timedelta(minutes=5),
    # One page may take the processor's 20 seconds.
    heartbeat=timedelta(seconds=30),
)
ASK_ABOUT_INTENTS = Step(
    name="ask about open PaymentIntents",
    timeout=timedelta(minutes=5),
    heartbeat=timedelta(seconds=30),
)
LOOK_LOCALLY = Step(name="look for what does not get on", timeout=_STATEMENTS)
DECIDE = Step(name="decide what is done", timeout=_STATEMENTS)
ASK_FOR_REPAIRS = Step(
    name="ask for the repairs",
    timeout=timedelta(minutes=2),
    heartbeat=timedelta(seconds=10),
)
FINISH_RUN = Step(name="close the run", timeout=_STATEMENTS)
