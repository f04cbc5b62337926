"""What the editor of a reply shows: their words, the letter, and what it lacks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from api.support.choices import HOW_VERIFIED, Option
from api.support.holding import hold_options
from api.support.writing import Composed, Typed, as_lines
from domain.replies import Fact, Missing, Situation, needs
from domain.words import at_in_words, masked
from domain.working_hours import WorkingHours
from mail.replies.guide import GUIDES


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A letter that can be chosen.

    Attributes:
        is_here: It is the one that is shown.
    """

    situation: Situation
    title: str
    they_write: str
    is_here: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyPage:
    """Everything that the editor shows.

    Attributes:
        wrote: What the customer wrote last on their page; empty when nothing.
        wrote_when: When that was.
        suggested: Letters that the facts look like, the likeliest first.
        others: All other letters.
        missing: Facts that the letter lacks, and where to get them.
        untrue: Why it would not be true; empty when it would.
        instead: Letters that are true now, for one that is not.
        remarks: What is wrong with its words.
        fields: The fields that this letter asks a person for.
        preview: The letter's text as it would leave; empty while it cannot be written.
        told: What became of the last press; empty before.
    """

    checkout_id: UUID
    reference: str
    email: str
    wrote: str
    wrote_when: str
    title: str
    use_when: str
    in_the_opening: str
    situation: Situation
    suggested: Sequence[Choice]
    others: Sequence[Choice]
    missing: Sequence[Missing]
    untrue: str
    instead: Sequence[Choice]
    remarks: Sequence[str]
    fields: frozenset[str]
    next_choices: Sequence[Option]
    verified_choices: Sequence[Option]
    typed: Typed
    opening: str
    timeline: str
    subject: str
    preview: str
    reply_id: UUID
    at: datetime
    seen: str
    told: str = ""


#: Which field of the form a fact is typed into.
_FIELDS = {
    Fact.WROTE_AT: "wrote_at",
    Fact.TIMELINE: "timeline",
    Fact.WHAT_BROKE: "what_broke",
    Fact.WHAT_CHANGED: "what_changed",
    Fact.NEXT_MESSAGE: "next_key",
    Fact.VERIFIED: "verified",
    Fact.INVOICE: "invoice",
}

_VERIFIED = (Option(value="", name="not yet"), *HOW_VERIFIED)


def reply_page(composed: Composed, typed: Typed, hours: WorkingHours) -> ReplyPage:
    """Write the editor's page."""
    request, blocked = composed.request, composed.blocked
    facts, here = request.facts, request.situation
    guide, bought = GUIDES[here], facts.purchase
    asked = frozenset(needs(here, bought)) if bought is not None else frozenset()
    wrote = composed.known.messages[-1] if composed.known.messages else None
    letter = composed.letter
    return ReplyPage(
        checkout_id=composed.known.checkout_id,
        reference=bought.reference_code if bought else "",
        email=masked(facts.email),
        wrote="" if wrote is None else wrote.text,
        wrote_when=""
        if wrote is None
        else at_in_words(wrote.written_at, now=facts.now),
        title=guide.title,
        use_when=guide.use_when,
        in_the_opening=guide.in_the_opening,
        situation=here,
        suggested=_choices(composed.suggested, here),
        others=_choices(
            [one for one in Situation if one not in composed.suggested], here
        ),
        missing=() if blocked is None else blocked.missing,
        untrue="" if blocked is None else blocked.untrue,
        instead=() if blocked is None else _choices(blocked.instead[:3], here),
        remarks=[remark.words for remark in composed.remarks],
        fields=frozenset(name for fact, name in _FIELDS.items() if fact in asked),
        next_choices=hold_options(facts.now, hours),
        verified_choices=_VERIFIED,
        # What the row of a corrected address says need not be chosen once more.
        typed=replace(typed, verified=facts.verified),
        opening=request.opening,
        timeline=as_lines(facts.timeline),
        subject="" if letter is None else letter.subject,
        preview="" if letter is None else letter.as_text(),
        reply_id=request.reply_id,
        at=facts.now,
        seen=composed.digest,
    )


def _choices(situations: Sequence[Situation], here: Situation) -> list[Choice]:
    return [
        Choice(
            situation=one,
            title=GUIDES[one].title,
            they_write=GUIDES[one].they_write,
            is_here=one is here,
        )
        for one in situations
    ]
