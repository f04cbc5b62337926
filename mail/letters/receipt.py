"""The receipt: one mail that says what was paid and opens the door.

It leaves when access is open, so everything in it is true when it is read. It has four
openings: after a smooth purchase, after a hiccup, after a wait, after not knowing.
"""

from __future__ import annotations

from domain.cadence import LATE_AFTER
from domain.customer_view import may_have_seen_an_error
from domain.words import card_in_words, day_in_words, moment_in_words
from mail.facts import LetterFacts
from mail.letter import Letter, Link, first_that_fits
from mail.letters import phrases


def receipt(facts: LetterFacts) -> Letter:
    """Say that it is paid and open."""
    company, price = facts.company.company_name, str(facts.price)
    charged_at = phrases.known(facts.charged_at, "charged_at")
    until = phrases.known(facts.access_until, "access_until")
    card = card_in_words(facts.card_brand, facts.card_last4)
    subject, note, opening = _opening(facts)
    return phrases.write(
        facts,
        subject=subject,
        preheader=f"Reference {facts.reference_code}. No payment is due.",
        headline=f"We received your {price}. You're in.",
        note=note,
        paragraphs=(*opening, f"Your plan runs until {day_in_words(until)}."),
        button=Link(label=f"Open {company}", url=facts.access_url),
        rows=(
            ("Reference", facts.reference_code),
            ("Plan", facts.plan_name),
            ("Amount", price),
            *([("Card", card)] if card else []),
            ("Charged", moment_in_words(charged_at)),
            ("Access until", day_in_words(until)),
        ),
        closing=phrases.on_the_statement(facts),
    )


def _opening(facts: LetterFacts) -> tuple[str, str | None, tuple[str, ...]]:
    """Return the subject, the note and the first paragraphs."""
    company, price = facts.company.company_name, str(facts.price)
    charged_at = phrases.known(facts.charged_at, "charged_at")
    access_at = facts.access_at or facts.written_at
    is_late = access_at - charged_at > LATE_AFTER
    if phrases.told(facts, phrases.RECEIVED):
        return _late(facts)
    if phrases.told(facts, phrases.CHECKING):
        return (
            "Your payment went through: you're in",
            None,
            (
                "When we last wrote, we did not know if your payment went through. "
                "Now we do: it did, and you do not need to pay again.",
                "We are sorry that it took us until now to be sure.",
            ),
        )
    if is_late:
        return _late(facts)
    note = None
    if may_have_seen_an_error(
        charged_at, access_at, was_interrupted=facts.was_interrupted
    ):
        note = (
            "If you saw an error page, everything is in place now. "
            "You do not need to pay again."
        )
    subject = first_that_fits(
        f"Your {company} plan is ready: receipt {price}",
        f"Your plan is ready: receipt {price}",
        f"Receipt {price}",
    )
    return subject, note, ()


def _late(facts: LetterFacts) -> tuple[str, str | None, tuple[str, ...]]:
    company = facts.company.company_name
    charged_at = phrases.known(facts.charged_at, "charged_at")
    access_at = facts.access_at or facts.written_at
    subject = first_that_fits(
        f"Sorry for the wait: your {company} plan is ready",
        "Sorry for the wait: your plan is ready",
    )
    return (
        subject,
        None,
        (
            f"You paid on {moment_in_words(charged_at)}. "
            f"Your access opened on {moment_in_words(access_at)}. "
            "That was too long. It was our fault, and we are sorry.",
            "Everything is in place now. You do not need to pay again.",
        ),
    )
