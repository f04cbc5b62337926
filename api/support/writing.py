"""A letter as the console writes it: facts from rows, and what a person adds to them.

The same form gives the same letter, byte for byte: its date is the moment of its page,
and its id follows from the letters that left before. So pressing twice, or two people
pressing, is one mail.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

from sqlalchemy.ext.asyncio import AsyncConnection

from api.parts import Parts
from api.staff.guard import Staff
from api.support.asking import Shown
from api.support.holding import held_until
from database import console
from database.customer_messages import CustomerMessage, list_messages
from database.replies import ReplyRow, list_replies
from database.reply_facts import list_thread, read_reply_facts
from domain.payments import PaymentIntentStatus
from domain.replies import (
    Blocked,
    Happening,
    Purchase,
    ReplyFacts,
    Situation,
    Verified,
    invoice_of,
    prepare,
    suggest,
)
from mail.replies import Remark, ReplyRequest, check_reply, suggested_opening
from mail.replies.letter import PersonalLetter
from mail.replies.writing import letter_of

#: Makes the id of a checkout's next letter.
_REPLIES = UUID("0c7e5f0e-0f0c-4a43-a1f2-53a0c5b0f5de")

#: A page that lies open for longer is written anew: its facts may have moved.
_FRESH_FOR = timedelta(minutes=30)

#: How a line of what happened begins, as `2026-11-23 14:32`.
_LINE_TIME = "%Y-%m-%d %H:%M"
_LINE_TIME_LENGTH = len("2026-11-23 14:32")


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """What a person chose and typed.

    Attributes:
        situation: None for the likeliest.
        at: The moment of the page; None on the first look.
        opening: Empty for the one that we suggest.
        next_key: By when we write again: a choice of `api.support.holding`.
        wrote_at: As `2026-11-23 14:32`; empty for what the rows say.
        timeline: Such lines with words behind; empty for what the rows say.
    """

    situation: Situation | None = None
    at: datetime | None = None
    opening: str = ""
    is_confirmed: bool = False
    customer_name: str = ""
    next_key: str = ""
    wrote_at: str = ""
    timeline: str = ""
    what_broke: str = ""
    what_changed: str = ""
    invoice_url: str = ""
    invoice_name: str = ""
    verified: Verified | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the rows say, read in one transaction.

    Attributes:
        case_id: Of the checkout's case; None without one.
        messages: What the customer wrote on their page, oldest first.
        replies: Letters that were signed before, oldest first.
        thread: Message-IDs of all that left, oldest first.
    """

    checkout_id: UUID
    facts: ReplyFacts
    case_id: UUID | None
    messages: tuple[CustomerMessage, ...]
    replies: tuple[ReplyRow, ...]
    thread: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Composed:
    """A letter on its way to be sent, or what keeps it.

    Attributes:
        known: What the rows say.
        request: What would be sent.
        suggested: Situations, the likeliest first.
        blocked: The facts that it lacks, if it does.
        remarks: What is wrong with its words.
        letter: As it would leave; None while blocked.
    """

    known: Known
    request: ReplyRequest
    suggested: tuple[Situation, ...]
    blocked: Blocked | None
    remarks: tuple[Remark, ...]
    letter: PersonalLetter | None

    @property
    def digest(self) -> str:
        """Of everything that the preview shows; empty while there is none."""
        if self.letter is None:
            return ""
        shown = f"{self.letter.subject}\n{self.letter.as_text()}"
        return hashlib.sha256(shown.encode()).hexdigest()


def reply_id_of(checkout_id: UUID, count: int) -> UUID:
    """Return the id of a checkout's next letter, after so many."""
    return uuid5(_REPLIES, f"{checkout_id}:{count}")


async def read_known(parts: Parts, checkout_id: UUID) -> Known:
    """Read everything that a letter may say.

    Raises:
        sqlalchemy.exc.NoResultFound: There is no such checkout.
    """

    async def read(connection: AsyncConnection) -> Known:
        facts = await read_reply_facts(
            connection,
            checkout_id,
            page_of=parts.addresses.page,
            application_url=parts.settings.application_url,
        )
        case = await console.find_case(connection, checkout_id)
        if case is not None and (until := case.standing.held_until) is not None:
            # A person said until when: what they keep goes before what a mail named.
            kept = until if until > facts.now else facts.next_message_at
            facts = replace(facts, next_message_at=kept)
        domain = parts.settings.mail_domain
        return Known(
            checkout_id=checkout_id,
            facts=facts,
            case_id=None if case is None else case.case_id,
            messages=await list_messages(connection, checkout_id),
            replies=await list_replies(connection, checkout_id),
            thread=await list_thread(connection, checkout_id, domain),
        )

    return await parts.records.write(read)


def compose(
    parts: Parts,
    staff: Staff,
    known: Known,
    typed: Typed,
    shown: Shown | None = None,
) -> Composed:
    """Write a letter from what is known and what was typed."""
    facts = _facts(parts, known, typed, shown)
    suggested = suggest(facts)
    situation = typed.situation or _likeliest(suggested, facts)
    draft = prepare(situation, facts)
    blocked = draft if isinstance(draft, Blocked) else None
    own = "" if isinstance(draft, Blocked) else suggested_opening(draft, parts.company)
    request = ReplyRequest(
        reply_id=reply_id_of(known.checkout_id, len(known.replies)),
        situation=situation,
        facts=facts,
        company=parts.company,
        author=staff.display_name,
        opening=typed.opening.strip() or own,
        is_confirmed=typed.is_confirmed,
        earlier=known.thread,
    )
    checked = check_reply(request)
    return Composed(
        known=known,
        request=request,
        suggested=suggested,
        blocked=blocked,
        remarks=() if isinstance(checked, Blocked) else checked,
        letter=None if blocked else letter_of(request),
    )


def happenings(text: str) -> tuple[Happening, ...]:
    """Read lines like `2026-11-23 14:32 You pressed Pay.`; others are left out."""
    found = []
    for line in text.splitlines():
        at = moment_of(line[:_LINE_TIME_LENGTH])
        what = line[_LINE_TIME_LENGTH:].strip()
        if at is not None and what:
            found.append(Happening(at=at, what=what))
    return tuple(sorted(found, key=lambda one: one.at))


def as_lines(timeline: tuple[Happening, ...]) -> str:
    """Write lines as `happenings` reads them."""
    return "\n".join(
        f"{one.at.astimezone(UTC).strftime(_LINE_TIME)} {one.what}" for one in timeline
    )


def moment_of(text: str) -> datetime | None:
    """Read `2026-11-23 14:32`, UTC; None for anything else."""
    try:
        return datetime.strptime(text.strip(), _LINE_TIME).replace(tzinfo=UTC)
    except ValueError:
        return None


def _facts(parts: Parts, known: Known, typed: Typed, shown: Shown | None) -> ReplyFacts:
    facts, newest = known.facts, known.messages[-1:]
    now = _moment(facts.now, typed.at)
    next_at = held_until(typed.next_key, now, parts.settings.support_times)
    wrote_at = newest[0].written_at if newest else None
    return replace(
        facts,
        now=now,
        purchase=facts.purchase and _looked_at(facts.purchase, shown, now),
        next_message_at=next_at or facts.next_message_at,
        customer_name=typed.customer_name.strip() or None,
        wrote_at=moment_of(typed.wrote_at) or wrote_at,
        # What the change of the address was verified by stands in its row.
        verified=typed.verified or facts.verified,
        invoice=invoice_of(typed.invoice_url, typed.invoice_name),
        timeline=happenings(typed.timeline) or _happened(facts.purchase),
        what_broke=typed.what_broke.strip() or None,
        what_changed=typed.what_changed.strip() or None,
    )


def _moment(now: datetime, at: datetime | None) -> datetime:
    """Return the letter's moment: its page's, while that is fresh."""
    is_fresh = at is not None and now - _FRESH_FOR < at <= now
    return at if at is not None and is_fresh else now.replace(microsecond=0)


def _looked_at(bought: Purchase, shown: Shown | None, now: datetime) -> Purchase:
    """Add what the processor showed this moment."""
    if shown is None or shown.intent is None:
        return bought
    is_taken = shown.intent.status is PaymentIntentStatus.SUCCEEDED
    return replace(bought, asked_at=now, payments_shown=1 if is_taken else 0)


def _happened(bought: Purchase | None) -> tuple[Happening, ...]:
    if bought is None:
        return ()
    lines = (
        (bought.pay_requested_at, "You pressed Pay."),
        (bought.charged_at, "Your bank paid us."),
        (bought.access_at, "Your access opened."),
        (bought.receipt_left_at, "Your receipt left."),
    )
    return tuple(Happening(at=at, what=what) for at, what in lines if at is not None)


def _likeliest(suggested: tuple[Situation, ...], facts: ReplyFacts) -> Situation:
    """Return the first letter that lacks nothing, or the likeliest that lacks some."""
    for situation in suggested:
        if not isinstance(prepare(situation, facts), Blocked):
            return situation
    return suggested[0] if suggested else Situation.SOMEBODY_ELSE
