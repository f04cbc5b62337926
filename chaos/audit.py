"""The promises, and what breaks them: evidence in, a line for each broken one out.

Pure, so that a test can plant every kind of damage and see it found: an auditor that
overlooks it would make all the mishaps worthless.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

#: Temporal warns at 10,240 events; a checkout is done with a few dozens.
MOST_EVENTS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """A succeeded charge at the processor, in minor units."""

    amount: int
    refunded: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bought:
    """One checkout: what the processor has, what we say, what the buyer got.

    Attributes:
        name: The reference code.
        stage: Of the row, as are `money`, `access` and `amount`.
        charges: At the processor.
        may_take: PaymentIntents that may still take money.
        orders: Rows, as are the next two.
        subscriptions: Of them.
        active: Entitlements that are active.
        refunded: Sum of our refunds that succeeded, in minor units.
        grants: Effective calls in the company's application.
        has_access: The application lets them in.
        receipts: Distinct Message-IDs of receipts in the mailbox.
        mails: Copies of each mail, by its Message-ID.
        altered: Mails whose copies differ.
        is_accepted: A press was answered as taken.
        attempts: Presses that the row counts.
        has_case: A case of it is open.
        lies: What its pages said that was not true.
    """

    name: str
    stage: str
    money: str
    access: str
    amount: int
    charges: tuple[Charge, ...] = ()
    may_take: int = 0
    orders: int = 0
    subscriptions: int = 0
    active: int = 0
    refunded: int = 0
    grants: int = 0
    has_access: bool = False
    receipts: int = 0
    mails: tuple[int, ...] = ()
    altered: int = 0
    is_accepted: bool = False
    attempts: int = 0
    has_case: bool = False
    lies: tuple[str, ...] = ()

    @property
    def kept(self) -> int:
        """What the processor has of their money, in minor units."""
        return sum(charge.amount - charge.refunded for charge in self.charges)

    @property
    def is_paid(self) -> bool:
        """Charged, and not all of it given back."""
        return self.kept > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that was counted when everything was quiet.

    Attributes:
        bought: Every checkout.
        without_page: Buyers who never got as far as a page.
        orphans: Charges at the processor that name no checkout of ours.
        reused_keys: Idempotency keys that stood for two different requests.
        waiting_events: The processor's events that were accepted and not passed on.
        unanswered: Repairs that were asked for and have no outcome.
        idle: Workflows of checkouts that still run, and have nothing to wait for.
        longest_history: Events.
        replay_failures: Runs whose history the current code cannot follow.
        last_run: What the second reconciliation found, by kind.
        unkept_promises: Times named in a mail and passed over.
        leaks: Where a buyer's address or page token stands in a log.
        not_back: Children of the stack that did not come back by themselves.
        unsettled: Checkouts that had not come to their end in time.
        disturbances: Mishaps that can cost a mail server's acknowledgement.
    """

    bought: tuple[Bought, ...]
    without_page: int = 0
    orphans: int = 0
    reused_keys: tuple[str, ...] = ()
    waiting_events: int = 0
    unanswered: int = 0
    idle: int = 0
    longest_history: int = 0
    replay_failures: tuple[str, ...] = ()
    last_run: dict[str, int] = field(default_factory=dict)
    unkept_promises: tuple[str, ...] = ()
    leaks: tuple[str, ...] = ()
    not_back: tuple[str, ...] = ()
    unsettled: int = 0
    disturbances: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """One promise, in words, and what finds it broken."""

    name: str
    words: str
    find: Callable[[Evidence], Iterator[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A broken promise."""

    promise: str
    what: str


def audit(evidence: Evidence) -> list[Violation]:
    """Hold the evidence against every promise; empty when all are kept."""
    return [
        Violation(promise=promise.name, what=what)
        for promise in PROMISES
        for what in promise.find(evidence)
    ]


def _one_charge(evidence: Evidence) -> Iterator[str]:
    for it in evidence.bought:
        if len(it.charges) > 1:
            yield f"{it.name} was charged {len(it.charges)} times"


def _same_amount(evidence: Evidence) -> Iterator[str]:
    for it in evidence.bought:
        for charge in it.charges:
            if charge.amount != it.amount:
                yield f"{it.name} costs {it.amount}, charged were {charge.amount}"


def _no_charge_lost(evidence: Evidence) -> Iterator[str]:
    if evidence.orphans:
        yield f"{evidence.orphans} charges belong to no checkout"
    for it in evidence.bought:
        if it.charges and (it.stage, it.orders, it.subscriptions) != ("charged", 1, 1):
            yield (
                f"{it.name} is charged, and has stage {it.stage}, {it.orders} orders, "
                f"{it.subscriptions} subscriptions"
            )


def _no_ghost(evidence: Evidence) -> Iterator[str]:
    for it in evidence.bought:
        if not it.charges and (it.stage == "charged" or it.orders or it.grants):
            yield f"{it.name} is not charged, and we say {it.stage}, {it.orders} orders"


def _access(evidence: Evidence) -> Iterator[str]:
    for it in evidence.bought:
        if it.is_paid and not (it.active == 1 and it.has_access):
            yield f"{it.name} is paid, and has no access ({it.access})"
        if it.grants > 1:
            yield f"{it.name} was granted access {it.grants} times"
        if not it.is_paid and (it.active or it.has_access):
            yield f"{it.name} is not paid, and has access"


def _refunds_agree(evidence: Evidence) -> Iterator[str]:
    for it in evidence.bought:
        given_back = sum(charge.refunded for charge in it.charges)
        if given_back != it.refunded:
            yield f"{it.name}: {given_back} given back, we know of {it.refunded}"


def _mail(evidence: Evidence) -> Iterator[str]:
    most = 1 + evidence.disturbances
    for it in evidence.bought:
        wanted = 1 if it.charges else 0
        if it.receipts != wanted:
            yield f"{it.name} has {it.receipts} receipts, and should have {wanted}"
        if it.altered:
            yield f"{it.name} has {it.altered} mails whose copies differ"
        if any(copies > most for copies in it.mails):
            yield f"{it.name} got a mail {max(it.mails)} times"


def _truth(evidence: Evidence) -> Iterator[str]:
    for it in evidence.bought:
        for lie in it.lies:
            yield f"{it.name} at {lie}"


def _settled(evidence: Evidence) -> Iterator[str]:
    if evidence.unsettled:
        yield f"{evidence.unsettled} checkouts did not come to their end in time"
    for it in evidence.bought:
        if it.stage in ("requested", "charging") and not it.has_case:
            yield f"{it.name} is still {it.stage} ({it.money}), and nobody is told"


def _nothing_dangles(evidence: Evidence) -> Iterator[str]:
    for it in evidence.bought:
        if it.may_take and (it.charges or it.stage == "open"):
            yield f"{it.name} is {it.stage}, and may be charged later"


def _acknowledged(evidence: Evidence) -> Iterator[str]:
    if evidence.without_page:
        yield f"{evidence.without_page} buyers never saw a page"
    for it in evidence.bought:
        if it.is_accepted and it.attempts == 0:
            yield f"{it.name}: a press was taken, and the row knows of none"


def _keys(evidence: Evidence) -> Iterator[str]:
    yield from evidence.reused_keys


def _queues(evidence: Evidence) -> Iterator[str]:
    if evidence.waiting_events:
        yield f"{evidence.waiting_events} events of the processor wait unseen"
    if evidence.unanswered:
        yield f"{evidence.unanswered} repairs were asked for and not answered"
    if evidence.idle:
        yield f"{evidence.idle} workflows still run and wait for nothing"


def _histories(evidence: Evidence) -> Iterator[str]:
    if evidence.longest_history > MOST_EVENTS:
        yield f"a history has {evidence.longest_history} events"
    yield from evidence.replay_failures


def _reconciled(evidence: Evidence) -> Iterator[str]:
    for kind, count in evidence.last_run.items():
        yield f"the second reconciliation still found {count} of {kind}"


def _promises_of_mails(evidence: Evidence) -> Iterator[str]:
    yield from evidence.unkept_promises


def _leaks(evidence: Evidence) -> Iterator[str]:
    yield from evidence.leaks


def _back(evidence: Evidence) -> Iterator[str]:
    yield from evidence.not_back


#: In the order of what hurts most.
PROMISES = (
    Promise(name="charge", words="nobody is charged twice", find=_one_charge),
    Promise(name="amount", words="what is charged is the price", find=_same_amount),
    Promise(name="lost", words="no charge is lost", find=_no_charge_lost),
    Promise(name="ghost", words="nothing is given without a charge", find=_no_ghost),
    Promise(name="access", words="who paid has access, once", find=_access),
    Promise(name="refund", words="every refund is known", find=_refunds_agree),
    Promise(name="truth", words="no page lied at any moment", find=_truth),
    Promise(name="mail", words="one receipt each, copies equal", find=_mail),
    Promise(name="settled", words="everything came to its end", find=_settled),
    Promise(name="closed", words="nothing can be charged later", find=_nothing_dangles),
    Promise(name="taken", words="no press that was taken is lost", find=_acknowledged),
    Promise(name="keys", words="one key is one request", find=_keys),
    Promise(name="queues", words="nothing waits unseen", find=_queues),
    Promise(name="histories", words="histories are short, and replay", find=_histories),
    Promise(name="books", words="a second reconciliation is empty", find=_reconciled),
    Promise(name="word", words="every promised time was kept", find=_promises_of_mails),
    Promise(name="quiet", words="logs tell of nobody", find=_leaks),
    Promise(name="back", words="everything came back by itself", find=_back),
)
