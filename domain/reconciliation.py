"""Reconciliation: what may differ between the processor and us, and what is done then.

`RULES` is the one table of kinds: the decisions and the documentation read it.
Annotations are evaluated, not postponed; see `domain.messages`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from domain.causes import Cause
from domain.money import Money

#: A charge that is younger is still being written down by the workflow that made it.
IN_FLIGHT_FOR = timedelta(minutes=1)

#: Each run compares again what the one before compared last: the processor may show an
#: object a little late, and a payment that was pending may have succeeded since.
OVERLAP = timedelta(hours=1)

#: The daily deep pass goes back as far as this: a bank can take weeks to say no, and a
#: refund or a dispute changes a charge of long ago.
DEEP_REACH = timedelta(days=120)

#: Between two deep passes.
DEEP_EVERY = timedelta(days=1)

#: A repair that was asked for is given this long before the same difference counts
#: again.
REPAIR_HAS = timedelta(minutes=10)

#: A difference that outlived so many repairs is shown to a person.
MOST_REPAIRS_OF_ONE = 3

#: Repairs that one run, or one part of a long run, asks for at the most: whatever is
#: wrong with hundreds at once is wrong with us, and is put right a little at a time.
MOST_REPAIRS = 50

#: Cases that one run opens at the most, so that deciding takes seconds whatever was
#: found. Those that were seen first come first; the rest comes in later runs.
MOST_CASES = 500

#: From so many repairs in one run on, it is a bulk repair: no customer is written to
#: until a person has looked. A repair job that mails hundreds wrongly is a known
#: disaster.
BULK_FROM = 10

#: Charges of one run, and the share of them that no webhook told of, from which on the
#: webhooks look broken.
SILENCE_FROM = 5
SILENCE_SHARE = 0.5

#: A person is bothered after so many sightings: between two runs, most of what is out
#: of step for a moment has fallen into it again.
SIGHTINGS_FOR_A_PERSON = 2

#: Open PaymentIntents that one run asks the processor about.
MOST_INTENTS = 200

#: What one run takes up, at the most, of our own rows of one kind that do not get on,
#: chosen by chance: of more, repairs could not be asked for in hours.
MOST_LOCAL = 1000

#: Orders that the processor's list leaves out and that one page asks about one by one.
#: Where it leaves out more, it is another account's list, and these make that plain.
MOST_UNSEEN = 100

#: Differences that a run tells of in words; all of them are rows.
MOST_EXAMPLES = 20

#: A run that has shown no sign of life for this long is dead; the next takes over.
RUN_IS_DEAD_AFTER = timedelta(minutes=3)

#: A run that moves is none to be alarmed about, unless it has for so long: the books of
#: a million payments take an hour.
RUN_MOVES_FOR = timedelta(hours=6)

#: An older watermark means that the reconciliation itself is broken.
LATE_AFTER = timedelta(minutes=15)


def is_late(age: timedelta) -> bool:
    """Say whether nothing was compared for so long that somebody must look why.

    Args:
        age: How old the watermark is; before a first run, how old the first checkout.
    """
    return age > LATE_AFTER


class DiscrepancyKind(StrEnum):
    """How the processor and we can differ."""

    CHARGE_WITHOUT_ORDER = "charge_without_order"
    CHARGE_WITHOUT_CHECKOUT = "charge_without_checkout"
    FOREIGN_CHARGE = "foreign_charge"
    AMOUNT_MISMATCH = "amount_mismatch"
    DUPLICATE_CHARGE = "duplicate_charge"
    REFUND_NOT_RECORDED = "refund_not_recorded"
    DISPUTE_OPENED = "dispute_opened"
    ORDER_WITHOUT_CHARGE = "order_without_charge"
    ORDER_WITHOUT_ACCESS = "order_without_access"
    ORDER_WITHOUT_RECEIPT = "order_without_receipt"
    STUCK_CHECKOUT = "stuck_checkout"


class DiscrepancyState(StrEnum):
    """How far a difference has come. Whether a repair of it is over, `repairs` says."""

    #: Nothing was done yet: it waits for its second sighting, or for its turn.
    SEEN = "seen"
    #: A repair was asked for.
    REPAIRING = "repairing"
    #: A case is, or was, open for it.
    WITH_PERSON = "with_person"


class RunState(StrEnum):
    """How far a run has come."""

    RUNNING = "running"
    FINISHED = "finished"
    #: It died; the next run took over from the same watermark.
    LOST = "lost"


class Remedy(StrEnum):
    """What is done about a difference."""

    #: The checkout's workflow is asked to look afresh and do what is missing.
    REPAIR = "repair"
    #: The lost row is made again from what the processor keeps; then a repair.
    REBUILD = "rebuild"
    #: A case: only a person can decide.
    PERSON = "person"


class Side(StrEnum):
    """Whose records the comparison starts from."""

    PROCESSOR = "processor"
    OURS = "ours"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What is known about a kind of difference.

    Attributes:
        means: What is true then, in a sentence.
        starts_from: Whose records it is found by.
        remedy: What is done.
        sightings: In how many runs it must be seen before that.
        comes_to: What it is when all is done, in a sentence.
    """

    means: str
    starts_from: Side
    remedy: Remedy
    sightings: int
    comes_to: str


RULES: dict[DiscrepancyKind, Rule] = {
    DiscrepancyKind.CHARGE_WITHOUT_ORDER: Rule(
        means="The processor took the money for a checkout of ours that has no order.",
        starts_from=Side.PROCESSOR,
        remedy=Remedy.REPAIR,
        sightings=1,
        comes_to="The order is written, access opens, the receipt leaves.",
    ),
    DiscrepancyKind.CHARGE_WITHOUT_CHECKOUT: Rule(
        means="The charge names a checkout of ours that our records do not have, as "
        "after a restore from an older backup.",
        starts_from=Side.PROCESSOR,
        remedy=Remedy.REBUILD,
        sightings=1,
        comes_to="The checkout is made again from the processor's metadata and "
        "delivered.",
    ),
    DiscrepancyKind.FOREIGN_CHARGE: Rule(
        means="The charge names no checkout of ours, or a hand that is not ours wrote "
        "the name.",
        starts_from=Side.PROCESSOR,
        remedy=Remedy.PERSON,
        sightings=SIGHTINGS_FOR_A_PERSON,
        comes_to="A case with all that the processor knows: a person finds the buyer, "
        "or gives the money back.",
    ),
    DiscrepancyKind.AMOUNT_MISMATCH: Rule(
        means="The charge is for another amount or currency than the checkout's price, "
        "or all of it went back before there was an order.",
        starts_from=Side.PROCESSOR,
        remedy=Remedy.PERSON,
        sightings=SIGHTINGS_FOR_A_PERSON,
        comes_to="A case: a person delivers, or gives the difference back.",
    ),
    DiscrepancyKind.DUPLICATE_CHARGE: Rule(
        means="A second charge for a checkout that another one paid for.",
        starts_from=Side.PROCESSOR,
        remedy=Remedy.REPAIR,
        sightings=1,
        comes_to="Both are proven at the processor, the second is given back, and the "
        "customer is told.",
    ),
    DiscrepancyKind.REFUND_NOT_RECORDED: Rule(
        means="The processor shows a refund, or an end of one, that we do not have.",
        starts_from=Side.PROCESSOR,
        remedy=Remedy.REPAIR,
        sightings=1,
        comes_to="The refund is written down; when the whole price went back, access "
        "ends.",
    ),
    DiscrepancyKind.DISPUTE_OPENED: Rule(
        means="The processor shows a dispute, or a turn of one, that we do not have.",
        starts_from=Side.PROCESSOR,
        remedy=Remedy.REPAIR,
        sightings=1,
        comes_to="The dispute is written down, refunds are frozen, a case is opened.",
    ),
    DiscrepancyKind.ORDER_WITHOUT_CHARGE: Rule(
        means="We have an order, and the processor shows no charge for it.",
        starts_from=Side.OURS,
        remedy=Remedy.PERSON,
        sightings=SIGHTINGS_FOR_A_PERSON,
        comes_to="A case. Nothing is taken from the customer by itself.",
    ),
    DiscrepancyKind.ORDER_WITHOUT_ACCESS: Rule(
        means="An order is paid and its access is not open.",
        starts_from=Side.OURS,
        remedy=Remedy.REPAIR,
        sightings=1,
        comes_to="Access opens.",
    ),
    DiscrepancyKind.ORDER_WITHOUT_RECEIPT: Rule(
        means="Access is open and the receipt has not left.",
        starts_from=Side.OURS,
        remedy=Remedy.REPAIR,
        sightings=1,
        comes_to="The receipt leaves.",
    ),
    DiscrepancyKind.STUCK_CHECKOUT: Rule(
        means="A buyer's request to pay has not moved for longer than any step takes.",
        starts_from=Side.OURS,
        remedy=Remedy.REPAIR,
        sightings=1,
        comes_to="The processor is asked again: delivered, or proven not charged.",
    ),
}


#: Repairs of these may deliver what was bought days ago, whose buyer knows it by now.
HOLDS_MAIL = frozenset(
    {DiscrepancyKind.CHARGE_WITHOUT_ORDER, DiscrepancyKind.CHARGE_WITHOUT_CHECKOUT}
)

#: What only a person can settle: no step that gets on closes its case.
PERSONS_KINDS = frozenset(
    kind for kind, rule in RULES.items() if rule.remedy is Remedy.PERSON
)


#: What a checkout's workflow mends as soon as it gets on: a person may have to look
#: while it does not, and nobody need close the case afterwards.
MENDED_BY_STEPS = frozenset(
    {
        DiscrepancyKind.CHARGE_WITHOUT_ORDER,
        DiscrepancyKind.ORDER_WITHOUT_ACCESS,
        DiscrepancyKind.ORDER_WITHOUT_RECEIPT,
        DiscrepancyKind.STUCK_CHECKOUT,
    }
)


def cause_of(kind: DiscrepancyKind) -> Cause:
    """Return a kind as the cases spell a cause: `AmountMismatch`."""
    return Cause[kind.name]


class Listing(StrEnum):
    """What the processor is asked to list, in the order of a run."""

    CHARGES = "charges"
    REFUNDS = "refunds"
    DISPUTES = "disputes"


class Trigger(StrEnum):
    """Who or what started a run."""

    SCHEDULE = "schedule"
    PERSON = "person"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """Where paging stopped, in a list that goes from new to old.

    Attributes:
        after: The processor's id of the last object seen.
        seen_down_to: The age of that object.
        edge: Payments seen at that very second: the next page may hold their
            neighbours of the same second.
    """

    after: str
    seen_down_to: datetime
    edge: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One difference, as the comparison states it.

    Attributes:
        subject: What it is about: the id of the charge's PaymentIntent, of the refund,
            of the dispute, or of the checkout and its attempt. With the kind it names
            the difference for ever.
        detail: Both sides, in words; no personal data.
        is_settled: It is about something so old that a second look would show the same.
        is_named_by_row: The checkout's own row names the payment; otherwise only the
            processor's metadata does.
    """

    kind: DiscrepancyKind
    subject: str
    checkout_id: UUID | None
    payment_intent_id: str | None
    amount: Money | None
    detail: str
    is_settled: bool = False
    is_named_by_row: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """What a run compares.

    Attributes:
        run_id: Its row.
        compare_from: The processor's objects made at this instant or later.
        compare_before: And before this one: a closed bound, so that nothing that
            happens during the run moves its pages.
        is_deep: It goes back as far as `DEEP_REACH`.
        is_acting: Repairs are asked for; False in a dry run and while the kill switch
            is on.
        is_gapless: It begins no later than where the last run ended, so that the
            watermark may follow it.
        is_dry: Nothing is written.
        decided_at: When an earlier part of the same run last decided, by the database's
            clock.
    """

    run_id: UUID
    compare_from: datetime
    compare_before: datetime
    is_deep: bool = False
    is_acting: bool = True
    is_dry: bool = False
    is_gapless: bool = True
    decided_at: datetime | None = None


def is_settled(plan: RunPlan, charged_at: datetime) -> bool:
    """Whether what a run sees of a charge will look the same in five minutes.

    One that is older than what every run compares again is no news on its way.
    """
    return charged_at < plan.compare_before - OVERLAP


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What a run has come to so far.

    Attributes:
        compared: Objects of the processor that were compared.
        charges: How many of them were charges.
        told: How many of those a webhook had told of.
        found: How often each kind was found.
        examples: The first few differences, in words.
    """

    found: dict[str, int]
    compared: int = 0
    charges: int = 0
    told: int = 0
    examples: tuple[str, ...] = ()

    def plus(self, other: "Tally") -> "Tally":
        """Return the sum of both."""
        kinds = {*self.found, *other.found}
        return Tally(
            compared=self.compared + other.compared,
            charges=self.charges + other.charges,
            told=self.told + other.told,
            found={
                kind: self.found.get(kind, 0) + other.found.get(kind, 0)
                for kind in sorted(kinds)
            },
            examples=(*self.examples, *other.examples)[:MOST_EXAMPLES],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What a run hands on when its history is continued as new.

    Attributes:
        repairs: Asked for by its parts so far.
        cases: Opened by them.
        is_bulk: One of them was a bulk repair.
    """

    plan: RunPlan
    listing: Listing
    cursor: Cursor | None
    tally: Tally
    repairs: int = 0
    cases: int = 0
    is_bulk: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileInput:
    """What a run is asked to do.

    Attributes:
        run_id: Names the run's row; None has the run name itself.
        trigger: Schedule or person.
        actor: A person's name, or `schedule`.
        is_dry: Look, count and tell; write nothing and ask for nothing.
        is_deep: Go back as far as `DEEP_REACH`, whatever the watermark says.
        since: Go back to this instant instead; for a lost database.
        progress: Where an earlier part of the same run stopped.
    """

    run_id: UUID | None = None
    trigger: Trigger = Trigger.SCHEDULE
    actor: str = "schedule"
    is_dry: bool = False
    is_deep: bool = False
    since: datetime | None = None
    progress: Progress | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BeginRun:
    """Begin a run of this id."""

    run_id: UUID
    asked: ReconcileInput


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparePages:
    """Compare pages of one listing, from where the cursor stands.

    Attributes:
        most_pages: Stop after so many and say where; bounds one activity.
    """

    plan: RunPlan
    listing: Listing
    cursor: Cursor | None
    most_pages: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AskAboutIntents:
    """Ask the processor about open PaymentIntents, one by one, `most` at the most."""

    plan: RunPlan
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenIntent:
    """A PaymentIntent that, for all we know, may still move money.

    Attributes:
        is_attempt_open: The row waits for its outcome; a workflow is at it.
    """

    checkout_id: UUID
    payment_intent_id: str
    is_attempt_open: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PaidOrder:
    """An order that a page should have shown the charge of, and did not."""

    checkout_id: UUID
    reference_code: str
    payment_intent_id: str
    price: Money
    charged_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A span of time; `begin` is in it, `before` is not."""

    begin: datetime
    before: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PagesCompared:
    """What came of it; `cursor` is None at the end of the listing."""

    tally: Tally
    cursor: Cursor | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AskForRepair:
    """One repair that a run asks for, through the one door.

    Attributes:
        payment_intent_id: The charge that was found, which the row may not know.
    """

    checkout_id: UUID
    reference_code: str
    repair_id: UUID
    reason: str
    payment_intent_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What is done about the differences of a run.

    Attributes:
        repairs: To be asked for now.
        cases: Cases opened for a person.
        withheld: Repairs left to later runs by the cap or the kill switch.
        is_bulk: Customers are not written to until a person has looked.
        decided_at: By the database's clock; None when nothing was decided.
    """

    repairs: tuple[AskForRepair, ...] = ()
    cases: int = 0
    withheld: int = 0
    is_bulk: bool = False
    decided_at: datetime | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishRun:
    """Close a run's row and move the watermark."""

    plan: RunPlan
    tally: Tally
    repairs: int
    cases: int
    withheld: int
    is_bulk: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileResult:
    """What a run came to, for whoever started it.

    Attributes:
        tally: What was compared and found.
        is_busy: Another run is under way; nothing was done.
        warnings: What looks broken about us, in sentences.
    """

    run_id: UUID
    tally: Tally
    is_busy: bool = False
    is_dry: bool = False
    repairs: int = 0
    cases: int = 0
    withheld: int = 0
    warnings: tuple[str, ...] = ()


class OwnTrouble(StrEnum):
    """What a run's figures tell about ourselves."""

    WEBHOOKS_LOOK_BROKEN = "WebhooksLookBroken"
    MANY_REPAIRS = "ManyRepairs"
    MAIL_HELD = "MailHeld"
    REPAIRS_WITHHELD = "RepairsWithheld"


def own_troubles(run: FinishRun) -> dict[OwnTrouble, str]:
    """Say what a run's figures tell about ourselves, each in a sentence."""
    said: dict[OwnTrouble, str] = {}
    charges = run.tally.charges
    untold = charges - run.tally.told
    if charges >= SILENCE_FROM and untold > SILENCE_SHARE * charges:
        said[OwnTrouble.WEBHOOKS_LOOK_BROKEN] = (
            f"webhooks look broken: no event arrived for {untold} of {charges} charges"
        )
    if run.is_bulk:
        said[OwnTrouble.MAIL_HELD] = (
            f"{run.repairs} repairs in one run: customers are not written to until a "
            "person lets the mail go"
        )
    elif run.repairs >= BULK_FROM:
        said[OwnTrouble.MANY_REPAIRS] = f"{run.repairs} repairs in one run"
    if run.withheld:
        said[OwnTrouble.REPAIRS_WITHHELD] = (
            f"{run.withheld} repairs wait for a later run"
        )
    return said


def tally_of(
    differences: Sequence[Difference],
    *,
    compared: int = 0,
    charges: int = 0,
    told: int = 0,
) -> Tally:
    """Count what one step found."""
    return Tally(
        found=dict(Counter(difference.kind.value for difference in differences)),
        compared=compared,
        charges=charges,
        told=told,
        examples=tuple(
            f"{difference.kind}: {difference.detail}"
            for difference in differences[:MOST_EXAMPLES]
        ),
    )


NOTHING_FOUND = Tally(found={})
