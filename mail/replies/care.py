"""Letters in which the customer comes before the payment: anger, waiting, trust."""

from __future__ import annotations

from datetime import UTC

from domain.replies import ReplyFacts
from domain.states import MONEY_TAKEN, AccessState, MoneyState
from domain.words import moment_in_words
from mail.facts import Company
from mail.replies import words
from mail.replies.words import Said


def angry(facts: ReplyFacts, company: Company) -> Said:
    """Answer anger with the facts, minute by minute, and with the money if wanted."""
    bought, stands = words.purchase(facts), words.standing(facts)
    choice, next_step = stands.to_do, stands.next_step
    if _may_return(facts):
        choice = (
            "If you want it back, reply with the word “refund”, and I return all of it."
        )
        if bought.access is AccessState.ACTIVE:
            next_step = "Until you answer I change nothing, and your access stays open."
    is_taken = bought.money in MONEY_TAKEN
    came = "You trusted us with your money" if is_taken else "You came to buy something"
    return Said(
        subjects=(f"What happened with your {bought.price}", "What happened"),
        fact=f"{stands.short}, and you have reason to be angry.",
        to_do=choice,
        next_step=next_step,
        more=("Here is what happened, minute by minute.",),
        steps=tuple((moment_in_words(one.at), one.what) for one in facts.timeline),
        after=words.sentences(
            f"{came} and got that in return. I am sorry. {facts.what_changed or ''}",
            f"Nothing here is hidden: {company.statement_descriptor} on your statement "
            "is us, and your order's page shows what we know.",
            "You are free to ask your bank as well. Whatever you choose, I answer you "
            "myself.",
        ),
        button=words.to_page(facts),
    )


def _may_return(facts: ReplyFacts) -> bool:
    is_ours = words.purchase(facts).money is MoneyState.CHARGED
    return is_ours and facts.dispute is None and facts.refund is None


def somebody_else(_facts: ReplyFacts, _company: Company) -> Said:
    """Refuse kindly to speak of another's payment, and say what does help.

    It tells nothing of any purchase, so it is also how a customer is asked who they
    are when they write from an address that we do not know.
    """
    return Said(
        subjects=("About the payment that you asked for",),
        fact="I can speak about a payment only with the person who made it.",
        to_do="If that is you, reply with the address of your order's page.",
        next_step="With that I can tell you all that we know.",
        more=(
            "If you no longer have it, the day of the payment and the card's last four "
            "digits will do. Please never send the whole number, or a picture.",
            "If somebody else paid, they can write to us themselves. "
            "Their order's page also shows them where everything stands.",
            "Is there a line of ours on your own statement that you do not know? "
            "Reply with its date and amount, and I look for it.",
            "This may not be the answer you hoped for. "
            "We keep what is yours just as private.",
        ),
        is_private=True,
    )


def many_people(facts: ReplyFacts, company: Company) -> Said:
    """Tell one of many whom the same cause hit, with the facts of their own order."""
    bought, stands = words.purchase(facts), words.standing(facts)
    hit = "It hit you too."
    if facts.people is not None and facts.people > 1:
        hit = f"It hit {facts.people} people, and you are one of them."
    return Said(
        subjects=(
            f"What broke on our side, and your {bought.price}",
            "What broke on our side",
        ),
        fact=stands.fact,
        to_do=stands.to_do,
        next_step=stands.next_step,
        more=(
            f"{facts.what_broke or ''} {hit} {words.OUR_FAULT} "
            f"{facts.what_changed or ''}",
            "I write to each of you, with the facts of your own order. "
            "Yours stand below. "
            f"If something in it is not right, {words.COMES_TO_ME}",
        ),
        button=words.way_in(facts, company),
    )


def slow_answer(facts: ReplyFacts, company: Company) -> Said:
    """Answer late, say so, and say why the machines were not."""
    bought, stands = words.purchase(facts), words.standing(facts)
    wrote = words.on(words.known(facts.wrote_at), facts)
    return Said(
        subjects=(f"Our late answer about your {bought.price}", "Our late answer"),
        fact=stands.fact,
        to_do=stands.to_do,
        next_step=stands.next_step,
        more=(
            f"You wrote {wrote}, and I answer {_now(facts)}. "
            "That is too long when it is about money, and I am sorry.",
            f"There are few of us, and we are here {company.support_hours}. "
            "Your payment did not wait for me: machines look after it day and night.",
            f"If I left something open, {words.COMES_TO_ME}",
        ),
        button=words.way_in(facts, company),
    )


def _now(facts: ReplyFacts) -> str:
    now = facts.now.astimezone(UTC)
    return f"on {now:%A} at {now:%H:%M} UTC"


def after_the_fix(facts: ReplyFacts, company: Company) -> Said:
    """Tell afterwards what broke and what is different now: once, and no more."""
    stands = words.standing(facts)
    return Said(
        subjects=("What broke, and what we changed",),
        fact=stands.fact,
        to_do=stands.to_do,
        next_step=stands.next_step,
        more=(
            f"You should know how it ended. {facts.what_broke or ''} "
            f"{facts.what_changed or ''}",
            "It cost you time, and perhaps trust, and I am sorry.",
            "I write about this only once. If you have a question, "
            f"{words.COMES_TO_ME}",
        ),
        button=words.way_in(facts, company),
    )
