"""Nothing was charged: the proof first, then the way to go on for who still wants to.

Each of these mails may be read long after it left, by somebody who has paid meanwhile.
So none of them has a link that pays: the order's page knows what is true then.
"""

from __future__ import annotations

from domain.states import OUR_FAULT, AccessState, MoneyState, NotChargedReason
from mail.facts import LetterFacts
from mail.letter import Letter
from mail.letters import phrases

_IF_YOU_STILL_WANT_IT = (
    "Your order is kept. If you still want it, go on from its page. "
    "If not, you need not do anything."
)


def not_charged(facts: LetterFacts) -> Letter:
    """Answer who was kept waiting: no money moved, and this is how we know."""
    view = phrases.page_view(facts, MoneyState.NOT_CHARGED, AccessState.NONE)
    phrases.known(facts.pay_requested_at, "pay_requested_at")
    sorry = ""
    if facts.reason in OUR_FAULT or phrases.told(facts, phrases.CHECKING):
        sorry = "We are sorry that you had to wait for this answer."
    return _write(
        facts,
        subject="You were not charged",
        preheader=view.sentences[0],
        headline=view.headline,
        paragraphs=(*view.sentences, sorry, _IF_YOU_STILL_WANT_IT),
    )


def declined(facts: LetterFacts) -> Letter:
    """Help once who was declined and has not come back."""
    view = phrases.page_view(facts, MoneyState.NOT_CHARGED, AccessState.NONE)
    return _write(
        facts,
        subject=(
            "Your card was declined: nothing was charged"
            if facts.reason is NotChargedReason.DECLINED
            else "You were not charged"
        ),
        preheader="Your order is kept, if you still want it.",
        headline=view.headline,
        paragraphs=(
            *view.sentences,
            f"{_IF_YOU_STILL_WANT_IT} We will not write about this again.",
        ),
    )


def open_again(facts: LetterFacts) -> Letter:
    """Tell who was sent away that payments are taken again."""
    return _write(
        facts,
        subject="We take payments again: your order is kept",
        preheader="You have not been charged. You can go on, if you still want to.",
        headline="You have not been charged. We take payments again.",
        paragraphs=(
            "We had paused all new payments when you wanted to buy. "
            "We are sorry that we sent you away.",
            f"{_IF_YOU_STILL_WANT_IT} We will not write about this again.",
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
    return phrases.write(
        facts,
        subject=subject,
        preheader=preheader,
        headline=headline,
        paragraphs=phrases.sentences(*paragraphs),
        page_label="Back to your order",
        rows=phrases.rows(
            facts,
            ("Attempt", facts.pay_requested_at),
            amount=f"{facts.price}, not charged",
        ),
    )
