"""Letters about the way in: it is open, and this is what stood in it."""

from __future__ import annotations

from datetime import UTC
from email.utils import parseaddr

from domain.cadence import LATE_AFTER
from domain.replies import Purchase, ReplyFacts, Verified
from domain.words import day_in_words
from mail.facts import Company, LetterNotDue
from mail.replies import words
from mail.replies.words import Said

_HOW_WE_KNOW = {
    Verified.PAGE_LINK: "You sent the address of your order's page, so I know it's "
    "you.",
    Verified.CARD_AND_DAY: "You named the card's last four digits and the day, so I "
    "know it's you.",
}
_NO_PICTURES = "Please never send a picture of your card, to us or to anyone."


def blank_page(facts: ReplyFacts, company: Company) -> Said:
    """Answer who paid and saw a blank page: the money came, and the door is open."""
    bought = words.purchase(facts)
    at = words.on(words.known(bought.charged_at), facts)
    return Said(
        subjects=(
            f"Your access is open: {bought.price} received",
            "Your access is open",
        ),
        fact=f"We received your {bought.price} {at}, and your access is open now.",
        to_do=words.NOT_AGAIN,
        next_step=f"The button below takes you in, {words.and_runs_until(bought)}.",
        more=(
            "I'm sorry. You paid and got a blank page, and that was us, not you. "
            f"{facts.what_broke or ''}",
            _one_payment(bought),
            f"If you can't get in, {words.COMES_TO_ME}",
        ),
        button=words.way_in(facts, company),
    )


def _one_payment(bought: Purchase) -> str:
    if bought.payments_shown != 1 or bought.asked_at is None:
        return ""
    return "The card processor was asked too. It shows one payment from you, not two."


def wrong_address(facts: ReplyFacts, company: Company) -> Said:
    """Tell who mistyped their address that all of it comes here from now on."""
    bought = words.purchase(facts)
    at = words.on(words.known(bought.charged_at), facts)
    how = _HOW_WE_KNOW.get(facts.verified) if facts.verified else None
    if how is None or facts.wrong_address is None:
        raise LetterNotDue("who writes is not known: this letter is not due")
    return Said(
        subjects=("Your plan now has the right address",),
        fact=f"We received your {bought.price} {at}, and your access is open.",
        to_do=words.NOT_AGAIN,
        next_step=f"From now on our mail goes to {facts.email}, as this letter does.",
        more=(
            f"Your order had the address {facts.wrong_address}, so our mail didn't "
            "reach you. I've corrected it. It's an easy slip to make.",
            f"{how} {_NO_PICTURES}",
            "The button below takes you in.",
        ),
        button=words.way_in(facts, company),
    )


def no_mail(facts: ReplyFacts, company: Company) -> Said:
    """Answer who got no mail: what stood in it, and what became of it."""
    bought = words.purchase(facts)
    at = words.on(words.known(bought.charged_at), facts)
    left = words.on(words.known(bought.receipt_left_at), facts)
    if bought.receipt_came_back:
        what = (
            f"Our receipt left {left}, and your mail server sent it back. "
            "So it never reached you."
        )
    else:
        sender = parseaddr(company.mail_from)[1]
        what = (
            f"Our receipt left {left}, and your mail server took it. "
            f"It may be in your spam folder, from {sender}."
        )
    return Said(
        subjects=(
            f"Your receipt for {bought.price}, and the way in",
            "Your receipt, and the way in",
        ),
        fact=f"We received your {bought.price} {at}, and your access is open.",
        to_do=words.NOT_AGAIN,
        next_step="The button below takes you in, even without that mail.",
        more=(
            f"{what} I'm sorry you had to ask.",
            "Everything in it is below, and on your order's page.",
            "If you'd like our mail at another address, reply and tell me which.",
        ),
        button=words.way_in(facts, company),
        rows=(
            ("Access until", bought.access_until and day_in_words(bought.access_until)),
        ),
    )


def compensation(facts: ReplyFacts, company: Company) -> Said:
    """Give days for a wait, without being bargained with."""
    bought, added = words.purchase(facts), facts.added
    if added is None:
        raise LetterNotDue("no days were added: this letter is not due")
    until = day_in_words(added.until)
    days = "1 more day" if added.days == 1 else f"{added.days} more days"
    return Said(
        subjects=(f"{days} on your plan",),
        fact=f"Your {bought.price} now buys {days}: your plan runs until {until}.",
        to_do=words.NOTHING_TO_DO,
        next_step="Nothing more is due, and everything else stays as it was.",
        more=(
            f"{_the_wait(facts, bought)} {facts.what_broke or ''} {words.OUR_FAULT}",
            "The days don't undo that, but they are yours.",
            "If you'd rather have your money back, reply and say so.",
        ),
        button=words.way_in(facts, company),
        rows=(("Access until", until),),
    )


def _the_wait(facts: ReplyFacts, bought: Purchase) -> str:
    paid, access = words.known(bought.charged_at), words.known(bought.access_at)
    if access - paid <= LATE_AFTER:
        return "You bought from us and had trouble in return."
    at = f"{access.astimezone(UTC):%H:%M} UTC"
    day = access.astimezone(UTC).date()
    if day == paid.astimezone(UTC).date():
        opened = f"at {at}"
    elif day == facts.now.astimezone(UTC).date():
        opened = f"on {access.astimezone(UTC):%A} at {at}"
    else:
        opened = words.on(access, facts)
    return f"You paid {words.on(paid, facts)} and could only get in {opened}."
