"""Paid, and access is not open yet: what the customer fears is that the money is gone.

So the money comes first, in the words of the page; then that there is nothing to do;
then when they hear again. Nobody is told how long a repair takes.
"""

from __future__ import annotations

from domain.states import AccessState, MoneyState
from mail.facts import LetterFacts
from mail.letter import Letter, first_that_fits
from mail.letters import phrases


def received(facts: LetterFacts) -> Letter:
    """Say for the first time that the money arrived and access did not open."""
    price, company = str(facts.price), facts.company.company_name
    return _write(
        facts,
        subject=first_that_fits(
            f"We received your {price}: don't pay again", f"We received your {price}"
        ),
        fact="Your access is not open yet.",
        paragraphs=(
            f"Your access to {company} is not open yet. "
            "That is our fault, and we are sorry.",
            f"{phrases.NOTHING_TO_DO} We keep at it, day and night, until you are in. "
            "Then your receipt comes by e-mail, with the link.",
            phrases.promise(facts),
        ),
    )


def received_still(facts: LetterFacts) -> Letter:
    """Keep the first promise: still not open, and a person is next."""
    price, person = str(facts.price), facts.company.support_name
    comes = phrases.person_comes(facts, facts.promised_at or facts.written_at)
    takes = f"{person} will take it over {comes}".rstrip()
    next_step = f"If your access is not open by then, {takes}."
    promise = phrases.promise(facts)
    return _write(
        facts,
        subject=first_that_fits(
            f"Your {price} is safe: still opening your access",
            "Still opening your access",
        ),
        fact="Your access is still not open.",
        paragraphs=(
            "We said that we would write again. Your access is still not open, "
            "and we are sorry that you have to wait.",
            "Your payment is safe. "
            f"{phrases.NOTHING_TO_DO} We keep at it, day and night, until you are in.",
            f"{promise} {next_step}" if promise else "",
        ),
    )


def received_person(facts: LetterFacts) -> Letter:
    """Say who takes it over, and when: only in support's hours that is today."""
    price, person = str(facts.price), facts.company.support_name
    when = phrases.person_comes(facts, facts.written_at) or "today"
    return _write(
        facts,
        subject=first_that_fits(
            f"Still not open: {person} takes over",
            "Still not open: a person takes over",
        ),
        fact=f"{person} takes it over {when}.",
        paragraphs=(
            f"Your access is still not open, so {person} from our team takes it over "
            f"{when}. You paid and cannot get in. That is our fault, and we are sorry.",
            f"{phrases.NOTHING_TO_DO} If you would rather have your {price} back, "
            "reply to this e-mail and say so.",
            phrases.promise(facts, f"{person} will write to you"),
        ),
    )


def _write(
    facts: LetterFacts, *, subject: str, fact: str, paragraphs: tuple[str, ...]
) -> Letter:
    view = phrases.page_view(facts, MoneyState.CHARGED, AccessState.PENDING)
    charged_at = phrases.known(facts.charged_at, "charged_at")
    return phrases.write(
        facts,
        subject=subject,
        preheader=f"{fact} {phrases.promise(facts)}",
        headline=view.headline,
        paragraphs=phrases.sentences(*paragraphs),
        rows=phrases.rows(facts, ("Charged", charged_at), amount=str(facts.price)),
        closing=phrases.on_the_statement(facts),
    )
