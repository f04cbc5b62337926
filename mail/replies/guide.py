"""What a person at the desk reads beside each letter: when it is right, what to edit.

`docs/replies.md` prints it, and the console shows it next to the editor.
"""

from __future__ import annotations

from dataclasses import dataclass

from domain.replies import Situation


@dataclass(frozen=True, slots=True, kw_only=True)
class Guide:
    """One situation, for the person who answers.

    Attributes:
        title: Its name in the list of letters.
        they_write: What such a customer writes, in their words.
        use_when: When this is the letter.
        in_the_opening: What to look at before the opening is confirmed.
    """

    title: str
    they_write: str
    use_when: str
    in_the_opening: str


GUIDES: dict[Situation, Guide] = {
    Situation.WENT_THROUGH: Guide(
        title="Did it go through?",
        they_write="Did my payment go through?",
        use_when="The processor shows the charge. Access may be open or not yet: the "
        "letter says which.",
        in_the_opening="If they asked a second thing, answer it here in one sentence.",
    ),
    Situation.BLANK_PAGE: Guide(
        title="Blank page",
        they_write="I paid, the page went blank, and I have no mail and no access.",
        use_when="Money is with us and access is open by now. Before it is open, use "
        "“Did it go through?”.",
        in_the_opening="If they saw something else than a blank page, name what they "
        "saw.",
    ),
    Situation.PAID_TWICE: Guide(
        title="Charged twice",
        they_write="You took the money twice.",
        use_when="The processor shows two charges, and has taken the refund of the "
        "second.",
        in_the_opening="They are right: keep those words. If it cost them more, such "
        "as a fee of their bank, say that you saw it.",
    ),
    Situation.SECOND_LINE_IS_HOLD: Guide(
        title="A second line that is a hold",
        they_write="My bank shows it twice.",
        use_when="The processor was asked and shows one payment. Put the case on hold "
        "until the day on which you look again.",
        in_the_opening="Use the words of their bank for the line, if they quoted them.",
    ),
    Situation.STILL_UNKNOWN: Guide(
        title="Still unknown",
        they_write="Where is my money?",
        use_when="The processor has no answer yet, or the bank waits for the customer.",
        in_the_opening="Do not comfort with a guess. If they need it today, say that "
        "you read that.",
    ),
    Situation.NOT_CHARGED: Guide(
        title="Not charged",
        they_write="Was I charged? May I try again?",
        use_when="The case says why the attempt ended. Only then is trying again safe.",
        in_the_opening="If they see a line at their bank, name it: it is a hold.",
    ),
    Situation.DECLINED: Guide(
        title="Declined",
        they_write="Why was my card declined?",
        use_when="The bank said no. We never know more than the advice that stands in "
        "the letter.",
        in_the_opening="Never name a reason that they did not name themselves.",
    ),
    Situation.MONEY_BACK: Guide(
        title="Money back",
        they_write="I want my money back.",
        use_when="The processor has taken the refund. Refund first, then write: no "
        "argument, no form, no offer.",
        in_the_opening="“Done” is the best first word. Do not ask for a reason.",
    ),
    Situation.ANGRY: Guide(
        title="Angry",
        they_write="This is fraud. I am calling my bank.",
        use_when="They are angry and something did go wrong. Give them all of it, "
        "minute by minute.",
        in_the_opening="Do not calm them down; agree with what is true. Use their own "
        "word for what happened.",
    ),
    Situation.WRONG_ADDRESS: Guide(
        title="Wrong address",
        they_write="I mistyped my address and got nothing.",
        use_when="You know that who writes is who paid, and the address is corrected.",
        in_the_opening="No word about whose mistake it was.",
    ),
    Situation.NO_MAIL: Guide(
        title="No mail arrived",
        they_write="I never got a receipt.",
        use_when="Access is open and the receipt left, or came back.",
        in_the_opening="If they need the receipt for somebody, use “Invoice” instead.",
    ),
    Situation.INVOICE: Guide(
        title="Invoice",
        they_write="I need an invoice with our company name and tax number.",
        use_when="The invoice is made and open under its address.",
        in_the_opening="Check the name against their letter, letter by letter.",
    ),
    Situation.COMPENSATION: Guide(
        title="Days for the wait",
        they_write="I lost an evening. What do I get for it?",
        use_when="You have added the days. Up to two weeks you decide alone.",
        in_the_opening="Say what it cost them, if they told you.",
    ),
    Situation.SOMEBODY_ELSE: Guide(
        title="Somebody else's payment",
        they_write="Can you tell me about my colleague's payment?",
        use_when="You do not know that who writes is who paid. It is also how you ask "
        "them to show it. The console sends it to the order's address; to anybody "
        "else send it from the support mailbox.",
        in_the_opening="Not a word that tells whether we know such a payment.",
    ),
    Situation.DISPUTE: Guide(
        title="A dispute is open",
        they_write="My bank says that the dispute is running.",
        use_when="The bank decides. Nothing in this letter asks them to withdraw.",
        in_the_opening="No reproach, and no word of what the dispute costs us.",
    ),
    Situation.MANY_PEOPLE: Guide(
        title="One cause, many people",
        they_write="Nothing yet: we write first.",
        use_when="One cause hit several people. Each gets the facts of their own "
        "order.",
        in_the_opening="Read it for one of them as if it were the only letter.",
    ),
    Situation.SLOW_ANSWER: Guide(
        title="Late answer",
        they_write="Hello? I wrote on Friday.",
        use_when="They waited longer than a day for us. If another letter answers "
        "their question better, use that one.",
        in_the_opening="Answer what they asked then. The letter itself says sorry.",
    ),
    Situation.AFTER_THE_FIX: Guide(
        title="After the fix",
        they_write="Nothing more: it is over for them.",
        use_when="What broke is changed, and their money and access are settled.",
        in_the_opening="If they helped us find it, thank them in one sentence.",
    ),
}

#: Pairs that stand beside the editor: what slips out, and what to write instead.
PAIRS: tuple[tuple[str, str], ...] = (
    (
        "We apologize for any inconvenience this may have caused.",
        "I'm sorry. You paid and got a blank page, and that was us, not you.",
    ),
    (
        "Your refund request is being processed.",
        "Done: we returned your $249.00 on Tuesday at 09:05 UTC.",
    ),
    (
        "Unfortunately we cannot confirm your payment at this time.",
        "I don't know yet if your $249.00 went through, and I won't guess.",
    ),
    ("We will get back to you as soon as possible.", "I'll write to you by 16:00 UTC."),
    ("Please try again later.", "You don't need to do anything."),
)
