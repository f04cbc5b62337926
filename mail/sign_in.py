"""The sign-in link: proves that whoever asks can read the customer's mailbox."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from email.message import EmailMessage

from domain.deadlines import in_words
from mail.letter import Letter, Link, first_that_fits
from mail.message import build_message


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


def letter(facts: SignInFacts) -> Letter:
    """Return what the mail says."""
    valid_for = in_words(facts.valid_for)
    return Letter(
        subject=first_that_fits(
            f"Your sign-in link for {facts.company_name}", "Your sign-in link"
        ),
        preheader=f"Valid for {valid_for}, in the same browser.",
        company_name=facts.company_name,
        headline=f"Here is your link to sign in to {facts.company_name}.",
        paragraphs=(
            f"It works once, for {valid_for}, in the same browser that asked for it.",
        ),
        button=Link(label="Sign in", url=facts.sign_in_url),
        closing=(
            "If you did not ask for this, you need not do anything. "
            "Nobody gets in without this link.",
        ),
        support_email=facts.support_email,
        support_hours=facts.support_hours,
    )


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
    return build_message(
        letter(facts), to=to, sender=sender, message_id=message_id, date=date
    )
