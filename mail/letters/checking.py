"""We do not know yet whether the payment went through, and we do not guess.

What the customer is tempted to do is to pay again, so the first words after the fact
are about that. The second comfort is an end: not knowing lasts 20 hours at the most.
"""

from __future__ import annotations

from datetime import UTC

from domain.deadlines import UNKNOWN_FOR, in_words
from domain.states import AccessState, MoneyState
from mail.facts import LetterFacts
from mail.letter import Letter, first_that_fits
from mail.letters import phrases

_DO_NOT_PAY = (
    "Please don't pay again. If it went through, we will finish your order. "
    "If not, we will tell you, and nothing is owed."
)

_BANK_LINE = (
    "Your bank may already show a line for it. "
    "That can be a hold, which goes away by itself."
)


def _end(facts: LetterFacts) -> str:
    """Return when not knowing ends; nothing once that time has passed."""
    pressed_at = phrases.known(facts.pay_requested_at, "pay_requested_at")
    if facts.written_at - pressed_at >= UNKNOWN_FOR:
        return ""
    return (
        f"This has an end. If there is no answer {in_words(UNKNOWN_FOR)} after you "
        "pressed Pay, we close the attempt. Then it can no longer charge you."
    )


def checking(facts: LetterFacts) -> Letter:
    """Say for the first time that we do not know."""
    return _write(
        facts,
        subject="Checking your payment: please don't pay again",
        fact="We are finding out.",
        paragraphs=(
            _DO_NOT_PAY,
            "We keep asking the card processor what happened. "
            "We are sorry to leave you waiting.",
            _end(facts),
            _BANK_LINE,
            phrases.promise(facts),
        ),
    )


def checking_still(facts: LetterFacts) -> Letter:
    """Keep the first promise: no answer yet, and what was done for one."""
    asked_at = phrases.known(facts.pay_requested_at, "pay_requested_at")
    person = facts.company.support_name
    promise = phrases.promise(facts)
    comes = phrases.person_comes(facts, facts.promised_at or facts.written_at)
    looks = f"{person} will look into it {comes}".rstrip()
    next_step = f"If there is no answer by then, {looks}."
    return _write(
        facts,
        subject=f"Still checking your payment of {asked_at.astimezone(UTC):%H:%M} UTC",
        fact="There is no answer yet.",
        paragraphs=(
            _DO_NOT_PAY,
            f"We said that we would write again. {_asked_since(facts)} We are sorry.",
            _end(facts),
            f"{promise} {next_step}" if promise else "",
        ),
    )


def _asked_since(facts: LetterFacts) -> str:
    """Say that we asked since we wrote, as far as it is written down."""
    asked_at, told_at = facts.asked_at, facts.told_at
    if asked_at is None or told_at is None or asked_at <= told_at:
        return "There is no clear answer from the card processor yet."
    last = phrases.clock(asked_at, beside=facts.written_at)
    return (
        f"We have asked the card processor since, last at {last}, "
        "and there is no clear answer yet."
    )


def checking_person(facts: LetterFacts) -> Letter:
    """Say who looks into it, and when: only in support's hours that is today."""
    person = facts.company.support_name
    when = phrases.person_comes(facts, facts.written_at) or "today"
    return _write(
        facts,
        subject=first_that_fits(
            f"Still no answer: {person} looks into it",
            "Still no answer: a person looks into it",
        ),
        fact=f"{person} looks into it {when}.",
        paragraphs=(
            _DO_NOT_PAY,
            f"There is still no clear answer, so {person} from our team looks into it "
            f"{when}. We are sorry that you have to wait this long.",
            _end(facts),
            phrases.promise(facts),
        ),
    )


def checking_late(facts: LetterFacts) -> Letter:
    """Say that the end which we named has passed, and by when a person writes."""
    person = facts.company.support_name
    return _write(
        facts,
        subject="Still no answer about your payment",
        fact="There is still no answer.",
        paragraphs=(
            _DO_NOT_PAY,
            f"We wanted to close the attempt {in_words(UNKNOWN_FOR)} after you pressed "
            "Pay. The card processor has not let us yet, and there is still no clear "
            "answer. We are sorry.",
            "We keep asking it, day and night.",
            phrases.promise(facts, f"{person} will write to you"),
        ),
    )


def _write(
    facts: LetterFacts, *, subject: str, fact: str, paragraphs: tuple[str, ...]
) -> Letter:
    view = phrases.page_view(facts, MoneyState.UNKNOWN, AccessState.NONE)
    asked_at = phrases.known(facts.pay_requested_at, "pay_requested_at")
    return phrases.write(
        facts,
        subject=subject,
        preheader=f"{fact} {phrases.promise(facts)}",
        headline=view.headline,
        paragraphs=phrases.sentences(*paragraphs),
        rows=phrases.rows(
            facts,
            ("Attempt", asked_at),
            ("Last asked", facts.asked_at),
            amount=str(facts.price),
        ),
    )
