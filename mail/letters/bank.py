"""The bank asks the buyer, who was told that they may close the page.

Nothing else brings them back to it, and without their answer nothing is bought.
"""

from __future__ import annotations

from domain.deadlines import BANK_CHECK_FOR, in_words
from domain.states import AccessState, MoneyState
from mail.facts import LetterFacts
from mail.letter import Letter
from mail.letters import phrases


def bank_check(facts: LetterFacts) -> Letter:
    """Bring the buyer back to the bank's question."""
    view = phrases.page_view(facts, MoneyState.ACTION_NEEDED, AccessState.NONE)
    asked_at = phrases.known(facts.bank_asked_at, "bank_asked_at")
    at = phrases.clock(asked_at, beside=facts.written_at)
    return phrases.write(
        facts,
        subject="Your bank wants to confirm it is you",
        preheader=view.sentences[0],
        headline=view.headline,
        paragraphs=(
            f"Your bank asked at {at}. {view.sentences[0]}",
            "The question waits on your order's page. If you want to go on, please "
            "answer it there.",
            f"We close the attempt {in_words(BANK_CHECK_FOR)} after the question, if "
            "it is not answered. Then we write to tell you so.",
        ),
        page_label="Answer your bank",
        rows=phrases.rows(
            facts,
            ("Attempt", facts.pay_requested_at),
            ("Bank asked", asked_at),
            amount=str(facts.price),
        ),
    )
