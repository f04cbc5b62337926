"""What is wrong, how bad it is, and whether it may wake somebody.

A finding is one thing that is wrong with one checkout or payment, or with the shop.
Findings of one cause are one incident. Everything here is a total function of its
arguments; `domain.desk` keeps the incidents, `domain.alerts` writes the words.

Annotations are evaluated here, not postponed: inside the workflow sandbox the converter
cannot look their names up in this module.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum
from uuid import UUID

from domain.causes import Cause
from domain.states import AccessState, MoneyState


class Level(IntEnum):
    """How loudly something is told; a higher one is louder."""

    #: Kept in the rows, told to nobody.
    RECORD = 0
    #: Read in the morning.
    DIGEST = 1
    #: A message by day; at night it waits for the morning.
    PUSH = 2
    #: Rings until somebody answers.
    PAGE = 3


class FindingKind(StrEnum):
    """What is wrong, in the words of the customer's harm."""

    CHARGED_TWICE = "charged_twice"
    PAID_WITHOUT_ACCESS = "paid_without_access"
    CHARGE_WITHOUT_ORDER = "charge_without_order"
    KEY_LEAKED = "key_leaked"
    OUTCOME_UNKNOWN = "outcome_unknown"
    REFUND_FAILED = "refund_failed"
    DISPUTE_OPENED = "dispute_opened"
    MAIL_BOUNCED = "mail_bounced"
    BOOKS_DIFFER = "books_differ"
    #: The reconciliation has not come round; its watermark is old.
    RECONCILIATION_LATE = "reconciliation_late"
    WEBHOOKS_SILENT = "webhooks_silent"
    #: Buyers press Pay, and the processor cannot be asked for anything.
    SALES_LOST = "sales_lost"
    #: The desk itself asked the database, and it did not answer.
    RECORDS_AWAY = "records_away"
    DRILL_OVERDUE = "drill_overdue"
    CUSTOMER_WROTE = "customer_wrote"
    #: A step does not get on, and no customer misses anything by it.
    STEP_STUCK = "step_stuck"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How loud a kind may become, and what it means.

    Attributes:
        page_from: So many at once are worth a page; None when no number is.
        page_after: Each of them must have lasted for so long: the machine's own repair
            had its time.
        page_within: They must have come within so short a time; None for any.
        pages_after_pause: A single one is worth a page once new payments are paused:
            the pause was to stop exactly this.
        push_after: One that has lasted for so long is worth a push; None when none is.
        harms_now: A customer lacks money, access or certainty while it lasts.
        selling_on_harms: Each further sale may add a harmed customer, so that pausing
            new payments stops the harm from growing.
        can_be_mended_at_night: A person can do something about it in 15 minutes, alone.
    """

    page_from: int | None = None
    page_after: timedelta = timedelta()
    page_within: timedelta | None = None
    pages_after_pause: bool = False
    push_after: timedelta | None = None
    harms_now: bool = False
    selling_on_harms: bool = False
    can_be_mended_at_night: bool = False


#: By day, who paid and has no access for so long is worth a message even alone.
_ALONE_WITHOUT_ACCESS = timedelta(minutes=30)

#: Until then the ladder of looks settles nearly every unknown outcome.
_ALONE_IN_DOUBT = timedelta(minutes=60)

#: An automatic repair has had three rounds by then (`workflows.policies`).
_REPAIR_HAD_ITS_TIME = timedelta(minutes=10)

#: Two charges too many within this are a fault of ours, not two unlucky buyers.
_BURST = timedelta(minutes=15)

#: A database that changes places or restarts is back by then.
_A_FAILOVER = timedelta(minutes=5)

_AT_ONCE = timedelta()

RULES: dict[FindingKind, Rule] = {
    FindingKind.CHARGED_TWICE: Rule(
        page_from=2,
        page_within=_BURST,
        pages_after_pause=True,
        push_after=_AT_ONCE,
        harms_now=True,
        selling_on_harms=True,
        can_be_mended_at_night=True,
    ),
    FindingKind.PAID_WITHOUT_ACCESS: Rule(
        page_from=5,
        page_after=_REPAIR_HAD_ITS_TIME,
        push_after=_ALONE_WITHOUT_ACCESS,
        harms_now=True,
        selling_on_harms=True,
        can_be_mended_at_night=True,
    ),
    FindingKind.CHARGE_WITHOUT_ORDER: Rule(
        page_from=5,
        page_after=_REPAIR_HAD_ITS_TIME,
        push_after=_AT_ONCE,
        harms_now=True,
        selling_on_harms=True,
        can_be_mended_at_night=True,
    ),
    FindingKind.KEY_LEAKED: Rule(
        page_from=1,
        push_after=_AT_ONCE,
        harms_now=True,
        selling_on_harms=True,
        can_be_mended_at_night=True,
    ),
    # The processor is away or slow: nobody here can mend that, and every buyer is told.
    FindingKind.OUTCOME_UNKNOWN: Rule(push_after=_ALONE_IN_DOUBT, harms_now=True),
    FindingKind.REFUND_FAILED: Rule(push_after=_AT_ONCE, harms_now=True),
    FindingKind.DISPUTE_OPENED: Rule(push_after=_AT_ONCE),
    FindingKind.MAIL_BOUNCED: Rule(push_after=_AT_ONCE),
    FindingKind.BOOKS_DIFFER: Rule(push_after=_AT_ONCE),
    FindingKind.RECONCILIATION_LATE: Rule(push_after=_AT_ONCE),
    FindingKind.WEBHOOKS_SILENT: Rule(push_after=_AT_ONCE),
    # Nobody is charged, and everybody is told so: it waits for the morning.
    FindingKind.SALES_LOST: Rule(push_after=_AT_ONCE),
    # At night the outside watcher calls: the heartbeat is held back meanwhile.
    FindingKind.RECORDS_AWAY: Rule(push_after=_A_FAILOVER, harms_now=True),
    FindingKind.DRILL_OVERDUE: Rule(push_after=_AT_ONCE),
    FindingKind.CUSTOMER_WROTE: Rule(),
    FindingKind.STEP_STUCK: Rule(),
}

#: What the words that open a case mean; other causes are read from money and access.
_KIND_OF_CAUSE: dict[str, FindingKind] = {
    Cause.DISPUTE_OPENED: FindingKind.DISPUTE_OPENED,
    Cause.REFUND_FAILED: FindingKind.REFUND_FAILED,
    Cause.REFUND_STILL_UNKNOWN: FindingKind.REFUND_FAILED,
    Cause.LETTER_REFUSED: FindingKind.MAIL_BOUNCED,
    Cause.MAIL_BOUNCED: FindingKind.MAIL_BOUNCED,
    Cause.MAIL_REFUSED: FindingKind.MAIL_BOUNCED,
    Cause.ADDRESS_DISPUTED: FindingKind.CUSTOMER_WROTE,
    Cause.CUSTOMER_WROTE: FindingKind.CUSTOMER_WROTE,
    Cause.CHARGE_WITHOUT_CHECKOUT: FindingKind.CHARGE_WITHOUT_ORDER,
    Cause.CHARGE_WITHOUT_ORDER: FindingKind.CHARGE_WITHOUT_ORDER,
    Cause.FOREIGN_CHARGE: FindingKind.CHARGE_WITHOUT_ORDER,
    Cause.DUPLICATE_CHARGE: FindingKind.CHARGED_TWICE,
    Cause.SECOND_CHARGE: FindingKind.CHARGED_TWICE,
    Cause.AMOUNT_MISMATCH: FindingKind.BOOKS_DIFFER,
    "ChargeDisagrees": FindingKind.BOOKS_DIFFER,
    Cause.ORDER_WITHOUT_CHARGE: FindingKind.BOOKS_DIFFER,
    Cause.REFUND_NOT_RECORDED: FindingKind.BOOKS_DIFFER,
}


def kind_of_case(
    cause: str, money: MoneyState | None, access: AccessState | None
) -> FindingKind:
    """Say what a case means for its customer.

    Args:
        cause: The case's own word: a failure's kind, or what people must see.
        money: What happened to the checkout's money; None for a case without one.
        access: Likewise for its access.
    """
    if (known := _KIND_OF_CAUSE.get(cause)) is not None:
        return known
    if money is MoneyState.DUPLICATE:
        return FindingKind.CHARGED_TWICE
    if money is MoneyState.UNKNOWN:
        return FindingKind.OUTCOME_UNKNOWN
    # What is over was had: a plan whose time ran out is nobody's missing access.
    has_had = access in {AccessState.ACTIVE, AccessState.ENDED}
    if money is MoneyState.CHARGED and not has_had:
        return FindingKind.PAID_WITHOUT_ACCESS
    return FindingKind.STEP_STUCK


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong. No e-mail, no name: it lies in histories.

    Attributes:
        finding_id: Told twice, it is one finding.
        kind: What is wrong.
        step: What does not get on, as `write the order`; may be empty.
        error: Class of the failure, for grouping: no ids.
        subject: Whom it harms: a checkout's or payment's id, or a word like `shop`.
        since: Since when it is so.
        amount_minor: What is at stake, in minor units of `currency`.
        currency: Lower-case ISO 4217; None when no money is.
        is_over: It is no longer so.
    """

    finding_id: UUID
    kind: FindingKind
    step: str
    error: str
    subject: str
    since: datetime
    amount_minor: int = 0
    currency: str | None = None
    is_over: bool = False

    @property
    def cause(self) -> str:
        """What makes findings one incident."""
        return f"{self.kind}/{self.step}/{self.error}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A finding inside its incident, while it lasts."""

    finding_id: UUID
    subject: str
    since: datetime
    found_at: datetime
    amount_minor: int = 0
    currency: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """Findings of one cause, and what was done about telling them.

    Attributes:
        waiting: The findings that last, in the order in which they came.
        gathers_from: Since when its findings gather before anything is told.
        grew_at: When the last one came.
        over_since: Since when none lasts; None while one does.
        total: How many it ever had.
        came_back: How often it began again within the hour after its end.
        tried_at: When somebody was last to be told, whether or not that worked.
        told_at: When somebody was last told.
        told_level: As what.
        paged_at: When the first page was tried.
        is_paged: Whether some page arrived.
        second_paged_at: When the second person was paged, likewise.
        pushed_at: When a push first arrived.
        pushed_person: Who was last to be told by one.
        second_pushed_at: When the second person was told by a push.
        noticed_at: When everybody was told by mail what the machine did by itself.
        acknowledged_level: How loud it was when somebody took it.
        snoozed_level: Up to what it is silent while it is snoozed.
        paused_at: When the desk paused new payments because of it.
        version: Counts changes, so that each is recorded.
        recorded: The version that the rows have.
    """

    incident_id: UUID
    kind: FindingKind
    step: str
    error: str
    opened_at: datetime
    gathers_from: datetime
    grew_at: datetime
    waiting: tuple[Waiting, ...] = ()
    over_since: datetime | None = None
    total: int = 0
    came_back: int = 0
    tried_at: datetime | None = None
    told_at: datetime | None = None
    told_level: Level = Level.RECORD
    paged_at: datetime | None = None
    paged_person: str = ""
    is_paged: bool = False
    second_paged_at: datetime | None = None
    pushed_at: datetime | None = None
    pushed_person: str = ""
    second_pushed_at: datetime | None = None
    noticed_at: datetime | None = None
    acknowledged_at: datetime | None = None
    acknowledged_by: str = ""
    acknowledged_level: Level = Level.RECORD
    snoozed_until: datetime | None = None
    snoozed_by: str = ""
    snooze_reason: str = ""
    #: Snoozes of an earlier release did not write down what they were given to.
    snoozed_level: Level = Level.PUSH
    paused_at: datetime | None = None
    resolved_at: datetime | None = None
    resolved_by: str = ""
    version: int = 1
    recorded: int = 0

    @property
    def cause(self) -> str:
        """What makes findings one incident; as `Finding.cause`."""
        return f"{self.kind}/{self.step}/{self.error}"

    @property
    def code(self) -> str:
        """What people call it: short enough to type at night."""
        return self.incident_id.hex[:6]

    @property
    def rule(self) -> Rule:
        """What its kind means."""
        return RULES[self.kind]

    @property
    def is_open(self) -> bool:
        """Nobody and nothing has ended it."""
        return self.resolved_at is None

    @property
    def subjects(self) -> int:
        """How many customers, or things, it is about now."""
        return len({one.subject for one in self.waiting})

    @property
    def oldest(self) -> datetime:
        """Since when the longest has waited."""
        return min((one.since for one in self.waiting), default=self.opened_at)

    def is_snoozed(self, level: Level, now: datetime) -> bool:
        """Somebody has silenced it until later than now, and while it is so loud."""
        is_running = self.snoozed_until is not None and now < self.snoozed_until
        return is_running and level <= self.snoozed_level

    def is_acknowledged(self, level: Level) -> bool:
        """Somebody has taken it while it was at least as loud as this."""
        return self.acknowledged_at is not None and self.acknowledged_level >= level


def severity_of(incident: Incident, paused_at: datetime | None, now: datetime) -> Level:
    """Say how bad an incident is, whatever the hour.

    Args:
        incident: Which.
        paused_at: Since when new payments are paused; None while they are taken.
        now: The moment.
    """
    if not incident.waiting:
        return Level.RECORD
    rule = incident.rule
    if _is_worth_a_page(incident, paused_at, now):
        return Level.PAGE
    if rule.push_after is not None and now - incident.oldest >= rule.push_after:
        return Level.PUSH
    return Level.DIGEST


def _is_worth_a_page(
    incident: Incident, paused_at: datetime | None, now: datetime
) -> bool:
    rule = incident.rule
    if rule.pages_after_pause and _grew_after(incident, paused_at):
        return True
    if rule.page_from is None:
        return False
    lasting = [one for one in incident.waiting if now - one.since >= rule.page_after]
    if rule.page_within is None:
        return len({one.subject for one in lasting}) >= rule.page_from
    return _most_within(lasting, rule.page_within) >= rule.page_from


def _most_within(waiting: Iterable[Waiting], span: timedelta) -> int:
    """Return how many subjects came within the busiest span of that length."""
    first_found: dict[str, datetime] = {}
    for one in waiting:
        known = first_found.get(one.subject, one.found_at)
        first_found[one.subject] = min(known, one.found_at)
    moments = sorted(first_found.values())
    return max(
        (sum(begin <= at <= begin + span for at in moments) for begin in moments),
        default=0,
    )


def _grew_after(incident: Incident, paused_at: datetime | None) -> bool:
    return paused_at is not None and incident.grew_at > paused_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Hour:
    """The moment at which something is decided.

    Attributes:
        now: Aware UTC.
        is_working: Whether it is within hours, and somebody is there.
        paused_at: Since when new payments are paused; None while they are taken.
    """

    now: datetime
    is_working: bool
    paused_at: datetime | None = None


def is_silenced(incident: Incident, hour: Hour) -> bool:
    """Say whether somebody's snooze holds; not when it became louder meanwhile.

    One stuck customer may wait for the morning. The hundred that follow are another
    matter, of which whoever snoozed the one knew nothing.
    """
    severity = severity_of(incident, hour.paused_at, hour.now)
    return incident.is_snoozed(severity, hour.now)


#: Without a new customer for so long, harm does not grow any more.
GROWS_WITHIN = timedelta(minutes=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """The four questions before somebody is woken; each must be answered with yes.

    Attributes:
        harm_grows: Customers are being harmed now, and there are more of them by the
            minute.
        machine_has_tried: The automatic repair had its time, and the pause of new
            payments was not enough, or is armed: it comes by itself 15 minutes after
            the page, so that a fault which a person mends in ten does not close the
            shop.
        person_can_act: Somebody can do something about it within 15 minutes, alone.
        waiting_is_worse: At 08:00 there would be more harm than now.
    """

    harm_grows: bool
    machine_has_tried: bool
    person_can_act: bool
    waiting_is_worse: bool

    @property
    def is_open(self) -> bool:
        """All four: somebody may be woken."""
        return (
            self.harm_grows
            and self.machine_has_tried
            and self.person_can_act
            and self.waiting_is_worse
        )


def gate_of(incident: Incident, paused_at: datetime | None, now: datetime) -> Gate:
    """Answer the four questions for an incident that is worth a page."""
    rule = incident.rule
    grows_on = paused_at is None or _grew_after(incident, paused_at)
    return Gate(
        harm_grows=rule.harms_now
        and grows_on
        and now - incident.grew_at < GROWS_WITHIN,
        machine_has_tried=now - incident.oldest >= rule.page_after,
        person_can_act=rule.can_be_mended_at_night,
        waiting_is_worse=rule.selling_on_harms and grows_on,
    )


#: The failures that have one cause outside of the checkout.
_ROOTS = {
    "OutcomeUnknown": "processor",
    "Throttled": "processor",
    "ApplicationAway": "application",
    "ApplicationRefused": "application",
    # What the reconciliation sees of the same outage.
    Cause.ORDER_WITHOUT_ACCESS: "application",
    "DatabaseAway": "database",
    "MailDeferred": "mail",
}

#: What follows from a root cause by itself, whatever its own words are.
_CONSEQUENCES = {
    "processor": {
        FindingKind.OUTCOME_UNKNOWN,
        FindingKind.SALES_LOST,
        FindingKind.WEBHOOKS_SILENT,
        FindingKind.RECONCILIATION_LATE,
    },
    "database": {FindingKind.RECONCILIATION_LATE},
}


def root_of(incident: Incident) -> str:
    """Name what is at the bottom of an incident, as far as its failure tells."""
    return _ROOTS.get(incident.error, incident.error)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """How loudly an incident is told now, and why.

    Attributes:
        level: Never louder than `severity`.
        severity: How bad it is, whatever the hour.
        why: In words, for the rows.
    """

    level: Level
    severity: Level
    why: str


def decide(incident: Incident, incidents: Sequence[Incident], hour: Hour) -> Decision:
    """Decide how loudly an incident is told at this moment.

    Args:
        incident: Which.
        incidents: All that are open, to find what it is a consequence of.
        hour: The moment.
    """
    alone = _decide_alone(incident, hour)
    lead = lead_of(incident, incidents, hour)
    if lead is None:
        return alone
    return Decision(
        level=min(alone.level, Level.DIGEST),
        severity=alone.severity,
        why=f"told with incident {lead.code}",
    )


def _decide_alone(incident: Incident, hour: Hour) -> Decision:
    severity = severity_of(incident, hour.paused_at, hour.now)

    def decided(level: Level, why: str) -> Decision:
        return Decision(level=min(level, severity), severity=severity, why=why)

    if incident.is_snoozed(severity, hour.now):
        return decided(Level.RECORD, f"snoozed by {incident.snoozed_by}")
    if hour.is_working:
        return decided(severity, "within hours")
    if severity is not Level.PAGE:
        return decided(Level.DIGEST, "held for the morning")
    if gate_of(incident, hour.paused_at, hour.now).is_open:
        return decided(Level.PAGE, "all four questions of the night are answered yes")
    return decided(Level.DIGEST, "not worth a night's sleep: held for the morning")


def lead_of(
    incident: Incident, incidents: Sequence[Incident], hour: Hour
) -> Incident | None:
    """Return the incident that this one is a consequence of; None when of none.

    A consequence is told with its lead and not by itself. A lead is as loud as what it
    speaks for, or was, and the order of leads has no circles: among any number of
    incidents at least one is told. What was told of a lead that is not so bad any more
    counts no longer: one customer who is left speaks for no thirty new ones.
    """

    def place(one: Incident) -> tuple[int, bool, datetime, str]:
        decision = _decide_alone(one, hour)
        loudness = max(min(one.told_level, decision.severity), decision.level)
        is_rootless = one.error not in _ROOTS
        return (-loudness, is_rootless, one.opened_at, one.incident_id.hex)

    own = place(incident)
    leads = [
        other
        for other in incidents
        if other.is_open
        and other.waiting
        and not is_silenced(other, hour)
        and _follows(incident, other)
        and place(other) < own
    ]
    return min(leads, key=place, default=None)


def _follows(incident: Incident, other: Incident) -> bool:
    root = root_of(other)
    if root and root == root_of(incident):
        return True
    return incident.kind in _CONSEQUENCES.get(root, set())
