"""Writing a reply: from a person's request to the mail that leaves, or the reasons."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from unicodedata import category
from uuid import UUID

from domain.identifiers import message_id
from domain.replies import Blocked, Draft, ReplyFacts, Situation, prepare
from domain.words import by_in_words
from mail.facts import Company
from mail.letter import first_that_fits, one_line
from mail.message import build_message
from mail.replies import access, care, money, words
from mail.replies.letter import PersonalLetter
from mail.replies.lint import Reading, Remark, lint
from mail.replies.words import Said

#: A blank line, as between paragraphs.
_PARAGRAPHS = re.compile(r"\n\s*\n")

_WRITERS: dict[Situation, Callable[[ReplyFacts, Company], Said]] = {
    Situation.WENT_THROUGH: money.went_through,
    Situation.BLANK_PAGE: access.blank_page,
    Situation.PAID_TWICE: money.paid_twice,
    Situation.SECOND_LINE_IS_HOLD: money.second_line_is_hold,
    Situation.STILL_UNKNOWN: money.still_unknown,
    Situation.NOT_CHARGED: money.not_charged,
    Situation.DECLINED: money.declined,
    Situation.MONEY_BACK: money.money_back,
    Situation.ANGRY: care.angry,
    Situation.WRONG_ADDRESS: access.wrong_address,
    Situation.NO_MAIL: access.no_mail,
    Situation.INVOICE: money.invoice,
    Situation.COMPENSATION: access.compensation,
    Situation.SOMEBODY_ELSE: care.somebody_else,
    Situation.DISPUTE: money.dispute,
    Situation.MANY_PEOPLE: care.many_people,
    Situation.SLOW_ANSWER: care.slow_answer,
    Situation.AFTER_THE_FIX: care.after_the_fix,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyRequest:
    """What a person asks to be sent.

    Attributes:
        reply_id: Names the reply; the same id is the same mail, byte for byte.
        situation: Which letter.
        facts: Everything it may say; `facts.now` is its date.
        company: For whom it is written.
        author: Who signs: the name that the customer reads.
        opening: The first lines, as they stand in the editor.
        is_confirmed: The person has read our opening and left it as it is.
        earlier: Message-IDs of our mails, oldest first: the customer's own answers one
            of them, so this letter stands in its thread.
    """

    reply_id: UUID
    situation: Situation
    facts: ReplyFacts
    company: Company
    author: str
    opening: str
    is_confirmed: bool = False
    earlier: tuple[str, ...] = ()


class ReplyRefused(ValueError):
    """A reply cannot leave as it is.

    Attributes:
        blocked: The facts that it lacks, if it does.
        remarks: What is wrong with its words, if something is.
    """

    def __init__(
        self, *, blocked: Blocked | None = None, remarks: tuple[Remark, ...] = ()
    ) -> None:
        self.blocked = blocked
        self.remarks = remarks
        lacks = [one.what for one in blocked.missing] if blocked else []
        rules = [remark.rule for remark in remarks]
        super().__init__(f"a reply was refused: {', '.join(lacks + rules) or 'untrue'}")


def suggested_opening(draft: Draft, company: Company) -> str:
    """Return the first lines as we would write them: the fact, and what to do."""
    said = _say(draft, company)
    return f"{said.fact} {said.to_do}"


def check_reply(request: ReplyRequest) -> Blocked | tuple[Remark, ...]:
    """Return what keeps a reply from leaving: missing facts, or remarks, or nothing."""
    draft = prepare(request.situation, request.facts)
    if isinstance(draft, Blocked):
        return draft
    return tuple(_remarks(request, draft))


def write_reply(request: ReplyRequest) -> EmailMessage:
    """Return the mail, ready to be given to a `Mailer`; every copy has the same bytes.

    Raises:
        ReplyRefused: A fact is missing, or something in its words is wrong.
        mail.message.MessageRefused: No message can be built from these values.
    """
    draft = prepare(request.situation, request.facts)
    if isinstance(draft, Blocked):
        raise ReplyRefused(blocked=draft)
    remarks = tuple(_remarks(request, draft))
    if remarks:
        raise ReplyRefused(remarks=remarks)
    return build_message(
        letter_of(request),
        to=request.facts.email,
        sender=request.company.mail_from,
        message_id=message_id_of(request),
        date=request.facts.now,
        earlier=request.earlier,
        by_person=True,
    )


def letter_of(request: ReplyRequest) -> PersonalLetter:
    """Return the letter as it stands, for a preview; it is not checked.

    Raises:
        ReplyRefused: A fact is missing.
    """
    draft = prepare(request.situation, request.facts)
    if isinstance(draft, Blocked):
        raise ReplyRefused(blocked=draft)
    said, facts = _say(draft, request.company), request.facts
    first, *others = (said.next_step, *said.more)
    paragraphs = words.sentences(first, *others)
    promised_at = _promised_at(facts, (*paragraphs, *said.after))
    name = _plain(facts.customer_name or "")
    return PersonalLetter(
        subject=first_that_fits(*said.subjects),
        preheader=paragraphs[0],
        greeting=f"Hello {name}," if name else "Hello,",
        opening=_paragraphs(request.opening),
        paragraphs=paragraphs,
        steps=said.steps,
        after=said.after,
        author=request.author,
        company_name=request.company.company_name,
        support_hours=request.company.support_hours,
        button=said.button,
        rows=() if said.is_private else words.rows(facts, said.rows, promised_at),
    )


def message_id_of(request: ReplyRequest) -> str:
    """Return the Message-ID: of the reply's id, and of its order where there is one.

    `domain.identifiers.mail_of` reads it like that of every other mail of ours, so an
    answer to it finds its order again.
    """
    domain, kind = request.company.mail_domain, f"reply-{request.reply_id.hex}"
    bought = request.facts.purchase
    if bought is None or request.situation is Situation.SOMEBODY_ELSE:
        return f"<{kind}@{domain}>"
    return message_id(bought.reference_code, kind, domain)


def kept_of(request: ReplyRequest, message: EmailMessage) -> tuple[str, bytes]:
    """Return what is kept of a written reply: its text, and the SHA-256 of it."""
    part = message.get_body(("plain",))
    text = str(part.get_content()) if part is not None else request.opening
    return text, hashlib.sha256(text.encode()).digest()


def promised_at(request: ReplyRequest) -> datetime | None:
    """Return by when the letter says that we write again; None when it does not."""
    letter = letter_of(request)
    return _promised_at(request.facts, letter.prose)


def _promised_at(facts: ReplyFacts, prose: tuple[str, ...]) -> datetime | None:
    promised = facts.next_message_at
    if promised is None or promised <= facts.now:
        return None
    by = f"by {by_in_words(promised, now=facts.now)}"
    return promised if by in " ".join(prose) else None


def _say(draft: Draft, company: Company) -> Said:
    return _WRITERS[draft.situation](draft.facts, company)


def _remarks(request: ReplyRequest, draft: Draft) -> list[Remark]:
    facts = request.facts
    ours = suggested_opening(draft, request.company)
    found = []
    is_ours = one_line(request.opening) == one_line(ours)
    if is_ours and not request.is_confirmed:
        found.append(
            Remark(
                rule="confirm",
                words="Read the opening against what they wrote. Confirm it, or change "
                "it.",
            )
        )
    typed = ["" if is_ours else request.opening]
    typed += [facts.what_broke or "", facts.what_changed or ""]
    typed += [line.what for line in facts.timeline]
    named = facts.invoice.made_out_to if facts.invoice else ""
    reading = Reading(
        situation=request.situation,
        facts=facts,
        letter=letter_of(request),
        typed=tuple(text for text in typed if text.strip()),
        named=named if request.situation is Situation.INVOICE else "",
    )
    return [*found, *lint(reading)]


def _plain(theirs: str) -> str:
    """Write what a stranger wrote without marks that cannot be seen, or be encoded."""
    seen = [sign if category(sign)[0] != "C" else " " for sign in theirs]
    return one_line("".join(seen))


def _paragraphs(opening: str) -> tuple[str, ...]:
    return tuple(one_line(part) for part in _PARAGRAPHS.split(opening) if part.strip())
