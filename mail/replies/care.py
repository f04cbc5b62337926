"""Letters in which the customer comes before the payment: anger, waiting, trust."""

from __future__ import annotations

from datetime import UTC

from domain.replies import ReplyFacts
from domain.states import MONEY_TAKEN, AccessState, MoneyState
from domain.words import day_in_words, moment_in_words
from mail.facts import Company
from mail.replies import words
from mail.replies.words import Said


def angry(facts: ReplyFacts, company: Company) -> Said:
    """Answer anger with the facts, minute by minute, and with the money if wanted."""
    bought, stands = words.purchase(facts), words.standing(facts)
    choice, next_step = stands.to_do, stands.next_step
    if _may_return(facts):
        choice = (
            "If you want it back, reply with the word “refund” and I'll return all of "
            "it."
        )
        if bought.access is AccessState.ACTIVE:
            next_step = (
                "Until you answer, I'll change nothing, and your access stays open."
            )
    is_taken = bought.money in MONEY_TAKEN
    descriptor = company.statement_descriptor
    line = f"{descriptor} on your statement is us, and " if is_taken else ""
    came = "You trusted us with your money" if is_taken else "You came to buy something"
    return Said(
        subjects=(f"What happened with your {bought.price}", "What happened"),
        fact=f"{stands.short}, and you have every reason to be angry.",
        to_do=choice,
        next_step=next_step,
        more=(_lead(facts),),
        steps=_steps(facts),
        after=words.sentences(
            f"{came}, and this is what you got. I'm sorry. {facts.what_changed or ''}",
            f"Nothing here is hidden: {line}your order's page shows what we know.",
            "You're free to ask your bank as well. "
            "Whatever you choose, I'll answer you myself.",
        ),
        button=words.to_page(facts),
    )


def _lead(facts: ReplyFacts) -> str:
    day = _one_day(facts)
    when = f" on {day}" if day else ""
    return f"Here is what happened{when}, minute by minute."


def _steps(facts: ReplyFacts) -> tuple[tuple[str, str], ...]:
    """Write each line with its time; the day stands above when it is the same."""
    is_one_day = _one_day(facts) is not None
    return tuple(
        (
            f"{one.at.astimezone(UTC):%H:%M} UTC"
            if is_one_day
            else moment_in_words(one.at),
            one.what,
        )
        for one in facts.timeline
    )


def _one_day(facts: ReplyFacts) -> str | None:
    days = {day_in_words(one.at) for one in facts.timeline}
    return days.pop() if len(days) == 1 else None


def _may_return(facts: ReplyFacts) -> bool:
    is_ours = words.purchase(facts).money is MoneyState.CHARGED
    return is_ours and facts.dispute is None and not facts.refunds


def somebody_else(_facts: ReplyFacts, _company: Company) -> Said:
    """Refuse kindly to speak of another's payment, and say what does help.

    It tells nothing of any purchase, so it is also how a customer is asked who they
    are when they write from an address that we do not know.
    """
    return Said(
        subjects=("About the payment that you asked for",),
        fact="I can only talk about a payment with the person who made it.",
        to_do="If that's you, reply with the address of your order's page.",
        next_step="With that, I can tell you everything we know.",
        more=(
            "If you no longer have it, the day of the payment and the card's last four "
            "digits will do. Please never send the whole number, or a picture.",
            "If somebody else paid, they can write to us themselves. "
            "Their order's page also shows them where everything stands.",
            "Is there a charge from us on your own statement that you don't know? "
            "Reply with its date and amount, and I'll look for it.",
            "I know this may not be the answer you hoped for. "
            "We guard what's yours just as closely.",
        ),
        is_private=True,
    )


def many_people(facts: ReplyFacts, company: Company) -> Said:
    """Tell one of many whom the same cause hit, with the facts of their own order."""
    bought, stands = words.purchase(facts), words.standing(facts)
    return Said(
        subjects=(
            f"What broke on our side, and your {bought.price}",
            "What broke on our side",
        ),
        fact=stands.fact,
        to_do=stands.to_do,
        next_step=stands.next_step,
        more=(
            f"{facts.what_broke or ''} It hit you too. {words.OUR_FAULT} "
            f"{facts.what_changed or ''}",
            "I'm writing to each of you with the facts of your own order. "
            "Yours are below. "
            f"If something looks wrong, {words.COMES_TO_ME}",
        ),
        button=words.way_in(facts, company),
    )


#: A payment that was not settled without a person, or is ours to deliver for.
_LOOKED_AFTER = frozenset(MoneyState) - {
    MoneyState.NOT_CHARGED,
    MoneyState.REFUNDING,
    MoneyState.REFUNDED,
}


def slow_answer(facts: ReplyFacts, company: Company) -> Said:
    """Answer late, say so, and say why the machines were not."""
    bought, stands = words.purchase(facts), words.standing(facts)
    wrote = words.on(words.known(facts.wrote_at), facts)
    machines = ""
    if bought.money in _LOOKED_AFTER:
        machines = (
            " Your payment didn't wait for me: machines look after it day and night."
        )
    return Said(
        subjects=(f"Our late answer about your {bought.price}", "Our late answer"),
        fact=stands.fact,
        to_do=stands.to_do,
        next_step=stands.next_step,
        more=(
            f"You wrote {wrote}, and I'm answering {_now(facts)}. "
            "That's too long when it's about money, and I'm sorry.",
            f"There are only a few of us, here {company.support_hours}.{machines}",
            f"If I've left something open, {words.COMES_TO_ME}",
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
            "It cost you time, and perhaps some trust. I'm sorry.",
            "I'm writing about this only once. If you have a question, "
            f"{words.COMES_TO_ME}",
        ),
        button=words.way_in(facts, company),
    )
