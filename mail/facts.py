"""What a letter may say of one checkout: facts only, read from its row before."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from domain.emails import EmailKind
from domain.money import Money
from domain.states import DeclineClass, NotChargedReason

if TYPE_CHECKING:
    from settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """What every mail says of the seller; see the settings of the same names."""

    company_name: str
    statement_descriptor: str
    support_email: str
    support_hours: str
    support_name: str
    mail_from: str
    mail_domain: str
    application_url: str

    @classmethod
    def of(cls, settings: Settings) -> Company:
        """Return the company as the settings have it."""
        return cls(
            company_name=settings.company_name,
            statement_descriptor=settings.statement_descriptor,
            support_email=settings.support_email,
            support_hours=settings.support_hours,
            support_name=settings.support_name,
            mail_from=settings.mail_from,
            mail_domain=settings.mail_domain,
            application_url=settings.application_url,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """One refund, as its mails tell of it.

    Attributes:
        amount: What goes back; less than the price for a part of it.
        returned_at: When the processor took it.
        reference: What the customer's bank can look for; None while unknown.
        keeps_access: The customer keeps what was bought.
    """

    amount: Money
    returned_at: datetime
    reference: str | None
    keeps_access: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterFacts:
    """Everything that a letter says; the same for every copy of it.

    Attributes:
        company: Who writes.
        plan_name: What was, or would be, bought.
        price: What was, or would be, charged.
        reference_code: What customer and support call the order.
        page_url: The checkout's own page.
        access_url: Where the customer enters the application.
        written_at: The moment that the letter speaks of, which is its date too.
        card_brand: The processor's word, as `visa`; None when it named no card.
        card_last4: The last four digits; None likewise.
        pay_requested_at: When the buyer last pressed Pay.
        bank_asked_at: When the bank asked the buyer of this attempt.
        reason: Why the last attempt ended without a charge.
        decline: How the bank declined, when it did.
        charged_at: When the money moved.
        access_at: When access opened.
        access_until: When the bought time ends.
        was_interrupted: A step broke on the way, so an error page may have been seen.
        asked_at: When the processor had last been asked about a payment in doubt.
        promised_at: By when we write again; None for a letter that promises nothing.
        earlier: The kinds of the mails that left before, oldest first.
        told_at: When the last of those was written.
        refund: What goes back, for the mails about it.
        moved_to: Where mail goes from now on, masked, for who gets none any more.
    """

    company: Company
    plan_name: str
    price: Money
    reference_code: str
    page_url: str
    access_url: str
    written_at: datetime
    card_brand: str | None = None
    card_last4: str | None = None
    pay_requested_at: datetime | None = None
    bank_asked_at: datetime | None = None
    reason: NotChargedReason | None = None
    decline: DeclineClass | None = None
    charged_at: datetime | None = None
    access_at: datetime | None = None
    access_until: datetime | None = None
    was_interrupted: bool = False
    promised_at: datetime | None = None
    asked_at: datetime | None = None
    earlier: tuple[EmailKind, ...] = ()
    told_at: datetime | None = None
    refund: Refund | None = None
    moved_to: str | None = None


class LetterNotDue(ValueError):
    """A fact is missing without which this letter would say something untrue."""
