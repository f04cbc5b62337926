"""What an alert says: a number and a noun, what is being done, one link, what if not.

Read half asleep, on a phone. No customer's name or address: it goes through other
people's servers, and stays in histories.

Annotations are evaluated here, not postponed, as in `domain.oncall`.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from domain.money import Money
from domain.oncall import FindingKind, Incident, Waiting


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """How a kind is told.

    Attributes:
        one: The noun for one.
        many: The noun for several.
        state: What is so about them.
        doing: What the machine does already, in whole sentences.
        act: What the reader does, followed by the link.
    """

    one: str
    many: str
    state: str
    doing: str
    act: str


WORDS: dict[FindingKind, Words] = {
    FindingKind.CHARGED_TWICE: Words(
        one="customer",
        many="customers",
        state="charged twice",
        doing="The processor is asked for both charges. A second charge that it proves "
        "is returned by itself, and the customer is told.",
        act="Look why one checkout was charged again",
    ),
    FindingKind.PAID_WITHOUT_ACCESS: Words(
        one="customer",
        many="customers",
        state="paid, without access",
        doing="Each order is tried again until its access is open. Each customer is "
        "told by mail that the payment arrived and that they need not pay again.",
        act="Find out what does not answer, and bring it back",
    ),
    FindingKind.CHARGE_WITHOUT_ORDER: Words(
        one="payment",
        many="payments",
        state="without an order",
        doing="Nothing goes back by itself: a person decides about each payment.",
        act="Open the payments and give access, or give the money back",
    ),
    FindingKind.KEY_LEAKED: Words(
        one="key",
        many="keys",
        state="seen where it must not be",
        doing="Nothing: a key is changed by hand.",
        act="Change it at the processor and in the settings",
    ),
    FindingKind.OUTCOME_UNKNOWN: Words(
        one="customer",
        many="customers",
        state="with a payment that is not settled",
        doing="The processor is asked again and again; after 20 hours the payment is "
        "closed there. Each customer is told not to pay again meanwhile.",
        act="Look whether the processor has trouble",
    ),
    FindingKind.REFUND_FAILED: Words(
        one="refund",
        many="refunds",
        state="not arrived",
        doing="Nothing more: the processor has said no.",
        act="Give the money back another way, and tell the customer",
    ),
    FindingKind.DISPUTE_OPENED: Words(
        one="dispute",
        many="disputes",
        state="opened by a bank",
        doing="Refunds of that payment are frozen.",
        act="Answer it with the case's timeline before its date",
    ),
    FindingKind.MAIL_BOUNCED: Words(
        one="customer",
        many="customers",
        state="not reached by mail",
        doing="Their page tells them the same; a mail is not sent again by itself.",
        act="Find another way to tell them",
    ),
    FindingKind.BOOKS_DIFFER: Words(
        one="difference",
        many="differences",
        state="between our books and the processor's",
        doing="What is missing is added; what is written is not rewritten. Mail may "
        "be held until a person has looked.",
        act="Look at the case, or at “Books” if there is none",
    ),
    FindingKind.RECONCILIATION_LATE: Words(
        one="reconciliation",
        many="reconciliations",
        state="late",
        doing="It goes on where it stopped as soon as it can.",
        act="Look why it does not come round",
    ),
    FindingKind.WEBHOOKS_SILENT: Words(
        one="webhook endpoint",
        many="webhook endpoints",
        state="silent",
        doing="The processor is asked instead; nothing is lost, it takes longer.",
        act="Look at the endpoint in the processor's dashboard",
    ),
    FindingKind.SALES_LOST: Words(
        one="checkout",
        many="checkouts",
        state="that takes no payments",
        doing="Each buyer is told within minutes that nothing was charged, and may try "
        "again.",
        act="Look whether the processor and Temporal can be reached",
    ),
    FindingKind.RECORDS_AWAY: Words(
        one="database",
        many="databases",
        state="that does not answer",
        doing="No payment begins without it. Who paid is served when it is back, and "
        "their page says so.",
        act="Bring it back; what needs you then is listed at",
    ),
    FindingKind.DRILL_OVERDUE: Words(
        one="drill",
        many="drills",
        state="overdue",
        doing="Nothing: whether a page would arrive is not known.",
        act="Run `cli.py drill`; what needs you is listed at",
    ),
    FindingKind.CUSTOMER_WROTE: Words(
        one="customer",
        many="customers",
        state="waiting for an answer",
        doing="Nothing: a person answers.",
        act="Answer them",
    ),
    FindingKind.STEP_STUCK: Words(
        one="checkout",
        many="checkouts",
        state="with a step that does not get on",
        doing="The step is tried again every hour at the latest.",
        act="Look at the step's last trouble",
    ),
}


def title_of(incident: Incident, now: datetime) -> str:
    """Return `3 customers, $747.00, paid, without access, oldest 12 min`."""
    words = WORDS[incident.kind]
    parts = [counted(incident.subjects, words.one, words.many)]
    if money := sums_of(incident.waiting):
        parts.append(money)
    parts.append(words.state)
    if incident.waiting:
        parts.append(f"oldest {lasting(now - incident.oldest)}")
    return ", ".join(parts)


def counted(number: int, one: str, many: str) -> str:
    """Return `1 customer` or `3 customers`."""
    return f"{number} {one if number == 1 else many}"


def sums_of(waiting: Iterable[Waiting]) -> str:
    """Return what is at stake, one sum for each currency; empty when no money is."""
    sums: Counter[str] = Counter()
    for one in {one.subject: one for one in waiting}.values():
        if one.currency is not None:
            sums[one.currency] += one.amount_minor
    return " + ".join(
        str(Money(amount_minor=amount, currency=currency))
        for currency, amount in sorted(sums.items())
        if amount
    )


_HOURS_FROM = timedelta(hours=2)
_DAYS_FROM = timedelta(days=2)


def lasting(span: timedelta) -> str:
    """Return a span as `12 min`, `3 h` or `4 days`."""
    if span < _HOURS_FROM:
        return f"{max(0, int(span.total_seconds()) // 60)} min"
    if span < _DAYS_FROM:
        return f"{int(span.total_seconds()) // 3600} h"
    return f"{span.days} days"


def clock(moment: datetime, zone: tzinfo) -> str:
    """Return `02:25 UTC`, as the reader's clock shows it."""
    return f"{moment.astimezone(zone):%H:%M %Z}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Consequence:
    """What happens when nobody answers; the desk promises it and keeps it.

    Attributes:
        second: Who is told next, and when; None when nobody is left.
        pauses_at: When new payments pause by themselves; None when they do not.
        paused_at: Since when they are paused already.
    """

    second: tuple[str, datetime] | None = None
    pauses_at: datetime | None = None
    paused_at: datetime | None = None


def if_nothing(consequence: Consequence, zone: tzinfo) -> str:
    """Return the sentence that begins with `If you do nothing:`."""
    parts = []
    if consequence.second is not None:
        name, at = consequence.second
        parts.append(f"{name} is told at {clock(at, zone)}")
    if consequence.pauses_at is not None:
        at_clock = clock(consequence.pauses_at, zone)
        parts.append(f"checkout pauses by itself at {at_clock}")
    elif consequence.paused_at is not None:
        since = clock(consequence.paused_at, zone)
        parts.append(f"checkout stays paused, as it is since {since}")
    if not parts:
        parts.append("it is told again in the morning's digest")
    return f"If you do nothing: {', and '.join(parts)}."


def body_of(
    incident: Incident,
    *,
    followers: Sequence[Incident],
    consequence: Consequence,
    link: str,
    now: datetime,
    zone: tzinfo,
    before: str = "",
) -> str:
    """Write an alert's text.

    Args:
        incident: What it is about.
        followers: What is a consequence of it, and not told by itself.
        consequence: What happens when nobody answers.
        link: The one place to go to.
        now: The moment.
        zone: Whose clock times are written by.
        before: A sentence to begin with, such as who did not answer.
    """
    words = WORDS[incident.kind]
    also = "; ".join(title_of(one, now) for one in followers)
    lines = [
        before,
        f"What fails: {incident.step} ({incident.error})." if incident.step else "",
        f"Already done: {words.doing}",
        f"With it: {also}." if also else "",
        f"Do this: {words.act}: {link}",
        if_nothing(consequence, zone),
        f"Incident {incident.code}: cli.py on-call ack {incident.code} --actor NAME",
    ]
    return "\n".join(line for line in lines if line)


def notice_of(incident: Incident, link: str, zone: tzinfo) -> str:
    """Write the mail that says what the machine did while nobody answered."""
    since = clock(incident.paused_at, zone) if incident.paused_at else ""
    why = "Nobody answered" if incident.paged_at else "Nobody was to be woken"
    paused = (
        f"{why}, so new payments are paused since {since}. Buyers read that "
        "they have not been charged and may leave their address. Who paid before is "
        "still being served."
        if since
        else "Nobody is there, so nobody was woken."
    )
    return "\n".join(
        (
            paused,
            f"Already done: {WORDS[incident.kind].doing}",
            f"Do this: {WORDS[incident.kind].act}: {link}",
            "If you do nothing: it stays as it is until somebody resumes payments "
            "with `cli.py resume`.",
            f"Incident {incident.code}",
        )
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseCount:
    """Open cases of one cause."""

    step: str
    cause: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestFacts:
    """What the rows say for the morning.

    Attributes:
        answers: Whether the database answered; without it the counts mean nothing.
        payments: Charges since the last digest's day began.
        orders: Orders written since then.
        without_order: Charged checkouts without an order, whenever charged.
        waiting: Open cases by cause, most first.
        resolved: Cases resolved since then.
        promises_due: Words promised to customers until the day's end.
        incidents: Incidents opened since then.
        notifications: Alerts that left since then.
        pages_this_month: Incidents that woke somebody in this month.
        paused_at: Since when new payments are paused.
        drilled_at: When the channels were last rehearsed; None when never.
    """

    answers: bool = False
    payments: int = 0
    orders: int = 0
    without_order: int = 0
    waiting: tuple[CaseCount, ...] = ()
    resolved: int = 0
    promises_due: int = 0
    incidents: int = 0
    notifications: int = 0
    pages_this_month: int = 0
    paused_at: datetime | None = None
    drilled_at: datetime | None = None


def digest_title(facts: DigestFacts) -> str:
    """Return `0 cases wait, 14 payments, 14 orders, all matched`."""
    if not facts.answers:
        return "0 numbers today: the database did not answer"
    cases = sum(one.count for one in facts.waiting)
    matched = (
        f"{counted(facts.without_order, 'payment', 'payments')} without an order"
        if facts.without_order
        else "all matched"
    )
    return ", ".join(
        (
            f"{counted(cases, 'case waits', 'cases wait')}",
            counted(facts.payments, "payment", "payments"),
            counted(facts.orders, "order", "orders"),
            matched,
        )
    )


def digest_body(
    facts: DigestFacts,
    incidents: Sequence[Incident],
    *,
    night_pages_a_month: int,
    link: str,
    now: datetime,
    zone: tzinfo,
) -> str:
    """Write the morning's mail; it comes when there is nothing to say, too.

    Args:
        facts: What the rows say.
        incidents: Those that are open.
        night_pages_a_month: The budget.
        link: Where the cases are.
        now: The moment.
        zone: Whose clock times are written by.
    """
    lines = [*_open(incidents, now), *_waiting(facts)]
    if not facts.answers:
        lines.append("The database did not answer: who waits is not known.")
    elif not lines:
        lines.append("Nobody is waiting.")
    if facts.answers:
        lines += [
            f"Healed or resolved since yesterday: {facts.resolved}.",
            f"Words promised to customers until tonight: {facts.promises_due}.",
            f"Alerts since yesterday: {facts.notifications}, about "
            f"{counted(facts.incidents, 'incident', 'incidents')}.",
            f"Pages at night this month: {facts.pages_this_month} of "
            f"{night_pages_a_month}.{_over_budget(facts, night_pages_a_month)}",
            _drilled(facts.drilled_at, now),
        ]
    if facts.paused_at is not None:
        lines.append(
            f"New payments are paused since {facts.paused_at.astimezone(zone):%d %b}, "
            f"{clock(facts.paused_at, zone)}: `cli.py resume` takes them again."
        )
    lines.append(f"Everything that needs you: {link}")
    return "\n".join(lines)


def _open(incidents: Sequence[Incident], now: datetime) -> list[str]:
    return [
        f"Open, {one.code}: {title_of(one, now)}{_came_back(one)}." for one in incidents
    ]


def _came_back(incident: Incident) -> str:
    if not incident.came_back:
        return ""
    return f", came back {counted(incident.came_back, 'time', 'times')}"


def _waiting(facts: DigestFacts) -> list[str]:
    return [
        f"Waiting: {counted(one.count, 'case', 'cases')}, {one.step} ({one.cause})."
        for one in facts.waiting
    ]


def _over_budget(facts: DigestFacts, budget: int) -> str:
    if facts.pages_this_month < budget:
        return ""
    return (
        " The budget is spent: until next month the machine pauses checkout instead "
        "of waking you. Find out what woke you, and end it."
    )


def _drilled(drilled_at: datetime | None, now: datetime) -> str:
    if drilled_at is None:
        return "The channels have never been rehearsed: `cli.py drill`."
    return f"Channels rehearsed {lasting(now - drilled_at)} ago."
