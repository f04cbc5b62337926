"""Money that goes back: what we sent, when, and how the bank can find it."""

from __future__ import annotations

from domain.words import BANKS, day_in_words, moment_in_words
from mail.facts import LetterFacts, LetterNotDue, Refund
from mail.letter import Letter, first_that_fits
from mail.letters import phrases

_SUBJECT_TWICE = "We charged you twice and returned {amount}"


def charged_twice(facts: LetterFacts) -> Letter:
    """Tell of the second charge and its return before the bank statement does."""
    refund = _refund(facts)
    keeps = " You keep what you bought." if refund.keeps_access else ""
    return _write(
        facts,
        subject=first_that_fits(
            _SUBJECT_TWICE.format(amount=refund.amount),
            "We charged you twice and returned the money",
        ),
        preheader=f"{phrases.NOTHING_TO_DO}{keeps}",
        headline=f"You were charged twice. We returned the second {refund.amount}.",
        paragraphs=(
            f"That was our fault, and we are sorry. {phrases.NOTHING_TO_DO}{keeps}",
            f"The second payment went back on {moment_in_words(refund.returned_at)}. "
            f"{BANKS}",
            _for_the_bank(refund),
        ),
    )


def refunded(facts: LetterFacts) -> Letter:
    """Say that the money is on its way, and what becomes of the access."""
    refund = _refund(facts)
    is_part = refund.amount != facts.price
    of_what = f" of your {facts.price}" if is_part else ""
    amount = f"{refund.amount}" if is_part else f"your {refund.amount}"
    until = facts.access_until
    if not refund.keeps_access:
        access = "Your plan has ended, and nothing more will be charged."
    elif until is None:
        access = "You keep your access."
    else:
        access = f"You keep your access until {day_in_words(until)}."
    return _write(
        facts,
        subject=first_that_fits(f"We returned {amount}", "We returned your money"),
        preheader=BANKS,
        headline=f"We returned {amount}{of_what}.",
        paragraphs=(
            f"It went back on {moment_in_words(refund.returned_at)}. {BANKS}",
            f"{phrases.NOTHING_TO_DO} {access}",
            _for_the_bank(refund),
        ),
    )


def refund_failed(facts: LetterFacts) -> Letter:
    """Say that the bank gave it back to us, and how the customer still gets it."""
    refund, person = _refund(facts), facts.company.support_name
    return _write(
        facts,
        subject=first_that_fits(
            f"Your {refund.amount} came back to us", "Your refund came back to us"
        ),
        preheader="We still owe it to you. Tell us how you would like to get it.",
        headline=f"Your {refund.amount} came back to us. We still owe it to you.",
        paragraphs=(
            "Please reply to this e-mail and tell us how you would like to get it. "
            "A bank transfer is one way.",
            f"We returned it on {moment_in_words(refund.returned_at)}, and your bank "
            "could not take it. That happens when a card was closed or replaced.",
            f"{person} from our team will stay with it until you have your money.",
            phrases.promise(facts, f"{person} will write to you"),
        ),
    )


def refund_arrived(facts: LetterFacts) -> Letter:
    """Ask once, when banks usually show a refund."""
    refund, person = _refund(facts), facts.company.support_name
    return _write(
        facts,
        subject="Has your refund arrived?",
        preheader=f"We returned {refund.amount} on {day_in_words(refund.returned_at)}.",
        headline=f"We returned your {refund.amount}. Has it arrived?",
        paragraphs=(
            f"It went back on {moment_in_words(refund.returned_at)} and should be on "
            "your statement by now. Some banks show no new line: "
            "they take the first one away.",
            "If it is there, you need not do anything. "
            f"If not, reply to this e-mail, and {person} will look for it with you.",
            _for_the_bank(refund),
        ),
    )


def _write(
    facts: LetterFacts,
    *,
    subject: str,
    preheader: str,
    headline: str,
    paragraphs: tuple[str, ...],
) -> Letter:
    refund = _refund(facts)
    return phrases.write(
        facts,
        subject=subject,
        preheader=preheader,
        headline=headline,
        paragraphs=phrases.sentences(*paragraphs),
        rows=phrases.rows(
            facts,
            ("Charged", facts.charged_at),
            ("Returned", refund.returned_at),
            ("Refund", refund.reference),
            amount=str(refund.amount),
        ),
    )


def _for_the_bank(refund: Refund) -> str:
    if refund.reference is None:
        return ""
    return "Your bank can find it by the refund number below."


def _refund(facts: LetterFacts) -> Refund:
    if facts.refund is None:
        msg = "refund is not known: this letter is not due"
        raise LetterNotDue(msg)
    return facts.refund
