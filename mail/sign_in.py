"""The sign-in link: proves that whoever asks can read the customer's mailbox."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from email.message import EmailMessage

from domain.deadlines import in_words
from mail.message import Content, build_message, first_that_fits, one_line


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInFacts:
    """Everything that the mail says.

    Attributes:
        company_name: The seller, as `Acme`.
        sign_in_url: The link; works once, in the browser that asked.
        valid_for: How long it works; whole minutes.
        support_email: Where a person answers.
        support_hours: When, in words.
    """

    company_name: str
    sign_in_url: str
    valid_for: timedelta
    support_email: str
    support_hours: str


def build(
    facts: SignInFacts,
    *,
    to: str,
    sender: str,
    message_id: str,
    date: datetime | None = None,
) -> EmailMessage:
    """Return the mail with the link.

    Args:
        facts: What it says.
        to: The customer's address.
        sender: As `Acme payments <pay@acme.test>`.
        message_id: The same for every copy of this mail.
        date: When it was written; now unless told otherwise.

    Raises:
        mail.message.MessageRefused: No message can be built from these values.
    """
    company = one_line(facts.company_name)
    content = Content(
        template="sign_in",
        subject=first_that_fits(
            f"Your sign-in link for {company}", "Your sign-in link"
        ),
        preheader=f"Valid for {in_words(facts.valid_for)}, in the same browser.",
        values={
            "company_name": company,
            "valid_for": in_words(facts.valid_for),
            "sign_in_url": facts.sign_in_url,
            "support_email": one_line(facts.support_email),
            "support_hours": one_line(facts.support_hours),
        },
        links=("sign_in_url",),
    )
    return build_message(
        content, to=to, sender=sender, message_id=message_id, date=date
    )
