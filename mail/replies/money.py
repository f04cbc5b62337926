"""Letters about the money: did it arrive, did it leave twice, does it come back."""

from __future__ import annotations

from domain.deadlines import UNKNOWN_FOR, in_words
from domain.replies import Purchase, ReplyFacts, proof_of_no_charge
from domain.states import OUR_FAULT, AccessState, MoneyState, NotChargedReason
from domain.words import card_in_words
from mail.facts import Company, LetterNotDue
from mail.letter import Link
from mail.replies import words
from mail.replies.words import Said


def went_through(facts: ReplyFacts, company: Company) -> Said:
    """Answer "Did my payment go through?" with yes, and with where the access is."""
    bought = words.purchase(facts)
    at = words.on(words.known(bought.charged_at), facts)
    stands = words.standing(facts)
    return Said(
        subjects=(f"Yes, we received your {bought.price}", "Yes, it went through"),
        fact=f"Yes, your payment went through: we received your {bought.price} {at}.",
        to_do=stands.to_do,
        next_step=f"{stands.next_step} {_on_the_statement(bought, company)}",
        more=_after_yes(bought),
        button=words.way_in(facts, company),
    )


def _after_yes(bought: Purchase) -> tuple[str, ...]:
    match bought.access:
        case AccessState.ACTIVE:
            return (
                "Your access is open, and the button below takes you in. "
                f"If it doesn't, {words.COMES_TO_ME}",
            )
        case AccessState.ENDED:
            return ()
        case AccessState.NONE | AccessState.PENDING:
            return (
                "You've paid and you can't get in yet. "
                "That is our fault, and I'm sorry.",
                "Your money is safe. If you'd rather have it back, reply and say so.",
            )


def _on_the_statement(bought: Purchase, company: Company) -> str:
    card = card_in_words(bought.card_brand, bought.card_last4)
    where = f"your {card}" if card else "your statement"
    return f"The payment shows as {company.statement_descriptor} on {where}."


def paid_twice(facts: ReplyFacts, _company: Company) -> Said:
    """Answer "I paid twice" where it is true: the second payment has gone back."""
    bought, back = words.purchase(facts), words.returned(facts, second=True)
    return Said(
        subjects=(
            f"The second {back.amount} is on its way back",
            "Your second payment is on its way back",
        ),
        fact=f"You're right: we charged you twice, and the second {back.amount} "
        f"went back{back.when}.",
        to_do=words.NOTHING_TO_DO,
        next_step=back.banks,
        more=(
            "It should not have happened, and I'm sorry. "
            f"You were right to ask. {facts.what_broke or ''}",
            _what_they_keep(bought),
            "If the money hasn't shown up after that, reply and I'll look for it with "
            "you.",
        ),
        button=words.to_page(facts),
    )


def _what_they_keep(bought: Purchase) -> str:
    if bought.access is AccessState.ENDED:
        return "The first payment was for your plan, which has ended."
    return f"You keep what you bought, {words.and_runs_until(bought)}."


def second_line_is_hold(facts: ReplyFacts, _company: Company) -> Said:
    """Answer "I paid twice" where the second line is a hold of the bank."""
    bought = words.purchase(facts)
    asked = words.on(words.known(bought.asked_at), facts)
    paid = words.on(words.known(bought.charged_at), facts)
    return Said(
        subjects=(
            f"One payment of {bought.price}, and a hold",
            "One payment, one hold",
        ),
        fact=f"We took one payment of {bought.price}, and no second one.",
        to_do=words.NOTHING_TO_DO,
        next_step=f"{words.promise(facts)} Until then you don't need to keep watch.",
        more=(
            f"The card processor was asked {asked}. "
            f"It shows the payment you made {paid}, and no other.",
            "The second line at your bank is a hold. Your bank sets the money aside, "
            "then lets it go by itself, usually after some days.",
            "If your bank books it after all, we owe it to you. "
            "Reply with its date and amount, and I'll find it.",
        ),
        button=words.to_page(facts),
        rows=(("Processor asked", bought.asked_at),),
    )


def still_unknown(facts: ReplyFacts, company: Company) -> Said:
    """Say that we do not know, that we do not guess, and when they hear again."""
    bought, stands = words.purchase(facts), words.standing(facts)
    is_asked = bought.money is MoneyState.ACTION_NEEDED
    more = _at_the_bank() if is_asked else _not_known(bought, facts)
    return Said(
        subjects=(f"Your {bought.price}: what we know so far", "What we know so far"),
        fact=stands.fact,
        to_do=stands.to_do,
        next_step=stands.next_step,
        more=more,
        button=words.way_in(facts, company),
        rows=(("Attempt", bought.pay_requested_at),),
    )


def _not_known(bought: Purchase, facts: ReplyFacts) -> tuple[str, ...]:
    asked = "I keep asking the card processor, and it has no clear answer yet."
    if bought.asked_at is not None:
        at = words.on(bought.asked_at, facts)
        asked = f"The card processor was last asked {at}, and has no clear answer yet."
    return (
        "If it went through, we'll finish your order. "
        "If it didn't, I'll tell you so, and you owe nothing.",
        asked,
        f"This has an end. If there is still no answer {in_words(UNKNOWN_FOR)} after "
        "you pressed Pay, we close the attempt. After that it can't charge you.",
        "A line at your bank may be a hold. Holds go away by themselves.",
        "I'm sorry to leave you waiting. It's your money, and you should know where "
        "it is.",
    )


def _at_the_bank() -> tuple[str, ...]:
    return (
        "Your bank wants to be sure it's really you. It asks this of many people, "
        "so it says nothing about you.",
        "If you'd rather leave it, you don't need to do anything. We close the attempt "
        f"when {words.bank_check_for()} pass without an answer, and you owe nothing.",
    )


def not_charged(facts: ReplyFacts, company: Company) -> Said:
    """Say that no money moved, how we know, and that trying again is safe."""
    bought, stands = words.purchase(facts), words.standing(facts)
    view = proof_of_no_charge(bought, facts.now)
    if view is None:
        raise LetterNotDue("nothing proves that no money moved")
    sorry = ""
    is_declined = bought.reason is NotChargedReason.DECLINED
    kept = "" if is_declined else "Your order is kept as it was. "
    if bought.reason in OUR_FAULT:
        sorry = "That was on our side, and I'm sorry you had to wonder."
    return Said(
        subjects=("You were not charged",),
        fact=stands.fact,
        to_do=stands.to_do,
        next_step=stands.next_step,
        more=(
            " ".join(view.sentences[1:]),
            sorry,
            f"{kept}If you've changed your mind, just leave it.",
        ),
        button=words.way_in(facts, company),
        rows=(("Attempt", bought.pay_requested_at),),
    )


def declined(facts: ReplyFacts, company: Company) -> Said:
    """Answer "Why was my card declined?" with what we know, which is little."""
    bought, stands = words.purchase(facts), words.standing(facts)
    return Said(
        subjects=("Your card was declined: nothing was charged",),
        fact=stands.fact,
        to_do=stands.to_do,
        next_step=stands.next_step,
        more=(
            "Your bank doesn't tell us why it said no. It will tell you if you ask: "
            "the number is on the back of your card.",
            "This happens to most people at some point, often for something small, "
            "like a limit on buying online.",
            "If you see a line for it at your bank, that is a hold, not a payment. "
            "It goes away by itself.",
        ),
        button=words.way_in(facts, company),
        rows=(("Attempt", bought.pay_requested_at),),
    )


def money_back(facts: ReplyFacts, _company: Company) -> Said:
    """Answer "I want my money back" with: done. No argument, no form."""
    bought, back = words.purchase(facts), words.returned(facts)
    is_part = back.amount != bought.price
    what = (
        f"{back.amount} of your {bought.price}" if is_part else f"your {bought.price}"
    )
    return Said(
        subjects=(f"We returned {back.amount} to you", "We returned your money"),
        fact=f"Done: we returned {what}{back.when}.",
        to_do=words.NOTHING_TO_DO,
        next_step=back.banks,
        more=(
            "Some banks show no new line. They take the first one away.",
            _plan_after(bought, facts),
            "You don't owe us a reason. If you'd like to tell me what was missing, "
            "I'd be glad to read it.",
        ),
        button=words.to_page(facts),
    )


def _plan_after(bought: Purchase, facts: ReplyFacts) -> str:
    if bought.access is AccessState.ENDED:
        return "Your plan has ended, and nothing more will be charged."
    if bought.money is not MoneyState.CHARGED and words.returned(facts).ends_access:
        return "Your plan ends with it, and nothing more will be charged."
    if bought.access is AccessState.ACTIVE:
        return f"You keep your access, {words.and_runs_until(bought)}."
    return "Nothing more will be charged."


def dispute(facts: ReplyFacts, company: Company) -> Said:
    """Tell who has asked their bank what we know; no word to take it back."""
    bought, opened = words.purchase(facts), facts.dispute
    if opened is None:
        raise LetterNotDue("dispute is not known: this letter is not due")
    paid = words.on(words.known(bought.charged_at), facts)
    card = card_in_words(bought.card_brand, bought.card_last4)
    means = f", with your {card}" if card else ""
    access = ""
    if bought.access_at is not None:
        access = f" Your access opened {words.on(bought.access_at, facts)}."
    meanwhile = ""
    if bought.access is AccessState.ACTIVE:
        meanwhile = "Your access stays open meanwhile."
    return Said(
        subjects=(f"Your dispute about {opened.amount}", "Your dispute"),
        fact=f"You disputed our charge of {opened.amount}, and your bank decides "
        "about it now.",
        to_do="You don't need to do anything for us.",
        next_step="Until your bank decides, we can't return the money ourselves.",
        more=(
            "Asking your bank is your right, and I'm not asking you to withdraw it.",
            f"Here is what we know. You paid {paid}{means}.{access}",
            "If it was the name on your statement that you didn't recognise: "
            f"{company.statement_descriptor} is us.",
            meanwhile,
        ),
        button=words.to_page(facts),
        rows=(("Disputed", opened.opened_at),),
    )


def invoice(facts: ReplyFacts, _company: Company) -> Said:
    """Hand an invoice over, made out as they asked."""
    bought, made = words.purchase(facts), facts.invoice
    if made is None:
        raise LetterNotDue("invoice is not known: this letter is not due")
    paid = words.on(words.known(bought.charged_at), facts)
    return Said(
        subjects=(f"Your invoice for {bought.price}", "Your invoice"),
        fact=f"The invoice for your {bought.price} is ready, made out to "
        f"{made.made_out_to}.",
        to_do="You can save or print it from the button below.",
        next_step="If a line on it is wrong, reply with the right one and I'll "
        "correct it.",
        more=(
            f"You paid {paid}, and nothing more is due. "
            "The invoice and your receipt are for the same payment.",
        ),
        button=Link(label="Open the invoice", url=made.url),
    )
