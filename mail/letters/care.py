"""Letters when all is well again: did you get in, and when the plan ends."""

from __future__ import annotations

from domain.words import day_in_words, moment_in_words
from mail.facts import LetterFacts
from mail.letter import Letter, Link, first_that_fits
from mail.letters import phrases


def got_in(facts: LetterFacts) -> Letter:
    """Ask after a long repair; the one letter that a person signs."""
    company = facts.company
    charged_at = phrases.known(facts.charged_at, "charged_at")
    access_at = phrases.known(facts.access_at, "access_at")
    opened = phrases.clock(access_at, beside=charged_at)
    return phrases.write(
        facts,
        subject=first_that_fits(
            f"{company.support_name} here: did you get in?", "Did you get in?"
        ),
        preheader="Your access is open. If anything is in your way, tell me.",
        headline="Your plan is paid and open. Did you get in?",
        paragraphs=(
            f"You paid on {moment_in_words(charged_at)} and could only get in from "
            f"{opened}. That was our fault, and I am sorry.",
            "If you are in, you need not do anything. I ask only this once.",
            "If anything is in your way, reply to this e-mail. I read every answer.",
        ),
        signature=f"{company.support_name}, {company.company_name}",
        button=Link(label=f"Open {company.company_name}", url=facts.access_url),
        rows=phrases.rows(
            facts,
            ("Charged", charged_at),
            ("Access since", access_at),
            amount=str(facts.price),
        ),
    )


def ending(facts: LetterFacts) -> Letter:
    """Say when the plan ends, and that nothing is charged when it does."""
    company = facts.company.company_name
    charged_at = phrases.known(facts.charged_at, "charged_at")
    until = day_in_words(phrases.known(facts.access_until, "access_until"))
    return phrases.write(
        facts,
        subject=first_that_fits(
            f"Your {company} plan ends on {until}", f"Your plan ends on {until}"
        ),
        preheader="It does not renew by itself. Your card will not be charged.",
        headline=f"Your plan ends on {until}. It does not renew by itself.",
        paragraphs=(
            "We will not charge your card. Until that day nothing changes.",
            "If you want to stay, buy the plan again where you bought it. A new plan "
            "starts on the day you pay for it, so there is no hurry.",
            "If you do not, you need not do anything.",
        ),
        button=Link(label=f"Open {company}", url=facts.access_url),
        rows=phrases.rows(
            facts,
            ("Charged", charged_at),
            ("Plan ends", until),
            amount=str(facts.price),
        ),
    )
