"""The receipt: one mail that says what was paid and opens the door.

It leaves when access is open, so everything in it is true when it is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage

from domain.money import Money
from domain.words import card_in_words, day_in_words, moment_in_words
from mail.message import Content, build_message, first_that_fits, one_line


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptFacts:
    """Everything that the receipt says.

    Attributes:
        company_name: The seller, as `Acme`.
        plan_name: What was bought, as `Acme one-year plan`.
        price: What was charged.
        reference_code: What customer and support call the order.
        card_brand: The processor's word, as `visa`; None when it named no card.
        card_last4: The last four digits; None likewise.
        charged_at: When the money moved.
        access_until: When the bought time ends.
        page_url: The checkout's own page.
        access_url: Where the customer enters the application.
        support_email: Where a person answers.
        support_hours: When, in words.
        statement_descriptor: What the bank statement shows.
        may_have_seen_an_error: The buyer may have met an error page or a long wait.
    """

    company_name: str
    plan_name: str
    price: Money
    reference_code: str
    card_brand: str | None
    card_last4: str | None
    charged_at: datetime
    access_until: datetime
    page_url: str
    access_url: str
    support_email: str
    support_hours: str
    statement_descriptor: str
    may_have_seen_an_error: bool


def build(
    facts: ReceiptFacts,
    *,
    to: str,
    sender: str,
    message_id: str,
    date: datetime | None = None,
) -> EmailMessage:
    """Return the receipt.

    Args:
        facts: What it says.
        to: The buyer's address.
        sender: As `Acme payments <pay@acme.test>`.
        message_id: The same for every copy of this receipt.
        date: When it was written; now unless told otherwise.

    Raises:
        mail.message.MessageRefused: No message can be built from these values.
    """
    company, price = one_line(facts.company_name), str(facts.price)
    card = card_in_words(facts.card_brand, facts.card_last4)
    rows = [
        ("Order", facts.reference_code),
        ("Plan", one_line(facts.plan_name)),
        ("Amount", price),
        *([("Card", card)] if card else []),
        ("Paid", moment_in_words(facts.charged_at)),
        ("Access until", day_in_words(facts.access_until)),
    ]
    content = Content(
        template="receipt",
        subject=first_that_fits(
            f"Your {company} plan is ready: receipt {price}",
            f"Your plan is ready: receipt {price}",
            f"Receipt {price}",
        ),
        preheader=f"Order {facts.reference_code}. No payment is due.",
        values={
            "company_name": company,
            "price": price,
            "rows": rows,
            "access_until": day_in_words(facts.access_until),
            "page_url": facts.page_url,
            "access_url": facts.access_url,
            "support_email": one_line(facts.support_email),
            "support_hours": one_line(facts.support_hours),
            "statement_descriptor": one_line(facts.statement_descriptor),
            "may_have_seen_an_error": facts.may_have_seen_an_error,
        },
        links=("page_url", "access_url"),
    )
    return build_message(
        content, to=to, sender=sender, message_id=message_id, date=date
    )
