"""The outbox of the small world: the real cadence on what the world says.

It keeps the promises of `plan_correspondence`, `send_email` and `record_email`: a mail
is owed once, leaves once, and only while it is true; one that leaves keeps what earlier
ones promised.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from domain.cadence import PROMISE_GRACE, Said, Standing, Word, next_word
from domain.emails import EmailKind, is_still_true
from domain.identifiers import derived_id
from domain.messages import Correspondence, EmailOutcome
from domain.states import AccessState, MoneyState
from domain.working_hours import WorkingHours

#: A mail takes a moment: rounds of retries, the server's own time.
SLACK = timedelta(minutes=5)

HOURS = WorkingHours.parse("Monday to Friday, 09:00 to 17:00 UTC")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A mail as the customer has it."""

    kind: EmailKind
    at: datetime
    promised_at: datetime | None = None


@dataclass
class Post:
    """What one customer was owed and sent.

    Attributes:
        standing: What the world says; the test's fakes move it on.
        sent: Every mail but the receipt's, in order.
        broken: Promises by which nothing had followed.
    """

    standing: Standing = field(
        default_factory=lambda: Standing(
            money=MoneyState.UNKNOWN,
            access=AccessState.NONE,
            buyer_attempt=1,
            hours=HOURS,
        )
    )
    sent: list[Sent] = field(default_factory=list)
    refusal: str | None = None
    has_refused: bool = False
    owed: dict[UUID, Word] = field(default_factory=dict)
    promised: list[datetime] = field(default_factory=list)
    broken: list[datetime] = field(default_factory=list)

    @property
    def kinds(self) -> list[EmailKind]:
        """What left, in order."""
        return [mail.kind for mail in self.sent]

    def stands(self, **changes: object) -> None:
        """Move the world on."""
        self.standing = replace(self.standing, **changes)  # type: ignore[arg-type]

    def plan(self, checkout_id: UUID, now: datetime) -> Correspondence:
        """Owe what is due; say when the next is."""
        while (word := next_word(self.standing, now)) and word.is_due(now):
            email_id = derived_id(checkout_id, f"{word.kind}:{word.sequence}")
            self.owed[email_id] = word
            said = Said(
                kind=word.kind, sequence=word.sequence, promised_at=word.promised_at
            )
            self.stands(said=(*self.standing.said, said))
        late = [due for due in self.promised if due + PROMISE_GRACE <= now]
        ahead = [due + PROMISE_GRACE for due in self.promised if due not in late]
        next_at = [word.due_at] if word else []
        return Correspondence(
            email_ids=tuple(self.owed),
            next_at=min([*next_at, *ahead], default=None),
            is_promise_overdue=bool(late),
        )

    def send(self, email_id: UUID) -> EmailOutcome:
        """Hand a mail over, unless it is not true any more."""
        word = self.owed[email_id]
        if not is_still_true(word.kind, self.standing.money, self.standing.access):
            return EmailOutcome(is_sent=False, is_needless=True)
        if self.refusal:
            return EmailOutcome(is_sent=False, refusal=self.refusal)
        return EmailOutcome(is_sent=True)

    def record(self, email_id: UUID, outcome: EmailOutcome, at: datetime) -> None:
        """Write what became of it."""
        word = self.owed.pop(email_id, None)
        self.has_refused |= outcome.refusal is not None
        if word is None or not outcome.is_sent:
            return
        self.leaves(word.kind, at, promised_at=word.promised_at)

    def overdue(self, now: datetime) -> list[datetime]:
        """Return what mails promised and nothing followed by then, up to now."""
        late = [due for due in self.promised if due + PROMISE_GRACE + SLACK < now]
        return [*self.broken, *late]

    def leaves(
        self, kind: EmailKind, at: datetime, *, promised_at: datetime | None = None
    ) -> None:
        """A mail left: what was promised for later is kept, what is past is broken."""
        self.broken += [due for due in self.promised if due + PROMISE_GRACE < at]
        self.promised = [promised_at] if promised_at else []
        self.sent.append(
            Sent(kind=kind, at=at.astimezone(UTC), promised_at=promised_at)
        )
