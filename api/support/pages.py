"""The console's pages about cases: facts in, HTML out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.responses import HTMLResponse

from api.pages import load_templates
from api.staff.guard import Staff
from api.support.choices import HOW_VERIFIED, Option
from api.support.views import CasePage, Fact, QueueLine
from database.audit import AuditPage, Outcome, StaffAction
from domain.changes import MOST_DAYS
from domain.staff import Role
from domain.triage import Lane
from settings import Settings

if TYPE_CHECKING:
    from api.support.reply_page import ReplyPage

#: The lists, as their tabs are called, with what an empty one says.
LANES: dict[Lane, tuple[str, str]] = {
    Lane.NEEDS_YOU: ("Needs you", "Nobody is waiting."),
    Lane.HELD: ("Held", "Nothing is held."),
    Lane.HEALING: ("Healing by itself", "The machine has nothing to mend."),
    Lane.DONE: ("Done today", "Nothing was closed in the last day."),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tab:
    """One list among others."""

    lane: Lane
    name: str
    count: int
    is_here: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A part of a list with a heading; without one it is the whole list."""

    name: str
    lines: Sequence[QueueLine]


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentPage:
    """A payment that was looked up at the processor.

    Attributes:
        checkout_path: The page of the checkout that it names, if that is ours.
        case_path: The page of its case, if there is one.
        may_open: It took money and nothing of ours stands for it.
    """

    payment_intent_id: str
    facts: Sequence[Fact]
    why_not: str
    checkout_path: str | None
    case_path: str | None
    payment_url: str | None
    may_open: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Alike:
    """Open cases of one cause, so many that they are better looked at together."""

    cause: str
    words: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPage:
    """Cases of one cause.

    Attributes:
        count: How many one press would repair.
        more: How many more there are than one press takes.
        total: What the customers paid, or would.
        effects: What the press would do, and for how many.
        is_stale: The list changed since the page was made; nothing was done.
        told: What the last press came to; empty before.
    """

    cause: str
    words: str
    count: int
    more: int
    total: str
    samples: Sequence[QueueLine]
    effects: Sequence[tuple[str, int]]
    is_stale: bool
    told: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLine:
    """One run of the reconciliation, in words.

    Attributes:
        found: Each kind of difference with how often it was found.
    """

    began: str
    told: str
    who: str
    found: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconciliationPage:
    """How far the processor's books and ours were compared.

    Attributes:
        compared_until: Empty before the first run has finished.
        age: How long ago that is; before the first run, how old the first checkout is.
        held: Since when, by whom and why no repair is asked for; empty while it is.
        mail_held: Customers who were delivered in bulk and not written to.
        samples: Path and reference of some of them.
        warnings: What the last run says looks broken about ourselves.
        mail_seen: Which mail that is; see `HeldMail.seen`.
    """

    compared_until: str
    age: str
    is_late: bool
    held: str
    mail_held: int
    samples: Sequence[tuple[str, str]]
    warnings: Sequence[str]
    runs: Sequence[RunLine]
    mail_seen: str = ""


_ACTIONS = {
    "batch.asked": "asked for the repair of many",
    "address.corrected": "corrected an address",
    "account.added": "made an account",
    "account.disabled": "closed an account",
    "account.reset": "reset an account",
    "account.set_up": "set the account up",
    "case.claimed": "took a case",
    "case.closed": "closed a case",
    "case.handed_over": "handed a case over",
    "case.held": "held a case",
    "case.hold_ended": "ended a hold",
    "case.noted": "wrote a note",
    "case.opened": "opened a case",
    "case.released": "put a case back",
    "code.given": "gave a fresh code",
    "drill.held": "rehearsed the on-call channels",
    "event.ignored": "let an event of the processor be",
    "events.replayed": "had events of the processor told again",
    "incident.acknowledged": "took an incident",
    "incident.resolved": "ended an incident",
    "incident.snoozed": "silenced an incident",
    "mail.let_go": "let held mail go",
    "mail.sent_again": "had mail sent again",
    "days.added": "added days to a plan",
    "payments.paused": "paused new payments",
    "payments.resumed": "took payments again",
    "reconciliation.asked": "had the books compared",
    "reconciliation.held": "held repairs",
    "reconciliation.released": "let repairs go on",
    "refund.asked": "asked for a refund",
    "refund.taken_back": "took a refund back",
    "refused": "was kept out",
    "repair.asked": "asked for a repair",
    "reply.signed": "signed a letter",
    "sign_in": "tried to sign in",
    "signed_in": "signed in",
    "signed_out": "signed out",
}


def action_in_words(action: StaffAction) -> str:
    """Write a row of the audit for a person."""
    words = _ACTIONS.get(action.action, action.action)
    if action.outcome is Outcome.DONE:
        return words
    why = action.about.get("why")
    return f"{words}: refused{f' ({why})' if why else ''}"


class Console:
    """Renders them.

    Args:
        settings: The company's name and addresses.
    """

    def __init__(self, settings: Settings) -> None:
        self._templates = load_templates(settings)
        self._templates.globals["words"] = action_in_words

    def queue(
        self,
        staff: Staff,
        tabs: Sequence[Tab],
        groups: Sequence[Group],
        empty: str,
        *,
        alike: Sequence[Alike] = (),
        paused: str = "",
    ) -> HTMLResponse:
        """Show a list.

        Args:
            staff: Who looks.
            tabs: All lists.
            groups: The parts of this one.
            empty: What it says without any line.
            alike: Causes with many open cases.
            paused: Since when and why no new payments are taken; empty while they are.
        """
        return self._render(
            "console_queue.html",
            staff=staff,
            tabs=tabs,
            groups=groups,
            empty=empty,
            alike=alike,
            paused=paused,
            query="",
        )

    def found(
        self,
        staff: Staff,
        query: str,
        lines: Sequence[QueueLine],
        *,
        payment: str | None,
        is_understood: bool,
    ) -> HTMLResponse:
        """Show what a search found, or the ways on when it found nothing."""
        return self._render(
            "console_found.html",
            staff=staff,
            query=query,
            lines=lines,
            payment=payment,
            is_understood=is_understood,
        )

    def case(
        self,
        staff: Staff,
        page: CasePage,
        *,
        said: str,
        colleagues: Sequence[Option],
        holds: Sequence[Option],
    ) -> HTMLResponse:
        """Show a case."""
        return self._render(
            "console_case.html",
            staff=staff,
            page=page,
            said=said,
            colleagues=colleagues,
            holds=holds,
            most_days=MOST_DAYS[staff.role],
            most_days_of_owners=MOST_DAYS[Role.OWNER],
            how_verified=HOW_VERIFIED,
            query="",
        )

    def reply(self, staff: Staff, page: ReplyPage) -> HTMLResponse:
        """Show the editor of a reply."""
        return self._render("console_reply.html", staff=staff, page=page, query="")

    def batch(self, staff: Staff, page: BatchPage) -> HTMLResponse:
        """Show many cases of one cause."""
        status = 409 if page.is_stale else 200
        return self._render(
            "console_batch.html", status, staff=staff, page=page, query=""
        )

    def reconciliation(
        self, staff: Staff, page: ReconciliationPage, said: str = ""
    ) -> HTMLResponse:
        """Show how far the books were compared, and the last runs."""
        return self._render(
            "console_reconciliation.html", staff=staff, page=page, said=said, query=""
        )

    def payment(self, staff: Staff, page: PaymentPage) -> HTMLResponse:
        """Show a payment as the processor has it."""
        return self._render(
            "console_payment.html", staff=staff, page=page, query=page.payment_intent_id
        )

    def problem(
        self, staff: Staff, sentence: str, link: str, status: int = 409
    ) -> HTMLResponse:
        """Say why something was not done."""
        return self._render(
            "console_problem.html",
            status,
            staff=staff,
            sentence=sentence,
            link=link,
            query="",
        )

    def audit(self, staff: Staff, page: AuditPage) -> HTMLResponse:
        """Show what everybody did."""
        return self._render("console_audit.html", staff=staff, page=page, query="")

    def _render(self, template: str, status: int = 200, **facts: Any) -> HTMLResponse:
        text = self._templates.get_template(template).render(**facts)
        return HTMLResponse(text, status, headers={"cache-control": "no-store"})
