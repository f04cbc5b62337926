"""From a row of the outbox to the mail itself: pure, and the same for every copy."""

from __future__ import annotations

from dataclasses import dataclass
from email.message import EmailMessage

from database.emails import OwedEmail
from database.orders import RECEIPT
from domain.addresses import PageAddresses
from domain.customer_view import may_have_seen_an_error
from domain.identifiers import message_id
from mail.receipt import ReceiptFacts
from mail.receipt import build as build_receipt


class LetterUnknown(Exception):
    """The outbox holds a kind of mail that this release cannot write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """What every mail says of the seller; see the settings of the same names."""

    company_name: str
    statement_descriptor: str
    support_email: str
    support_hours: str
    mail_from: str
    mail_domain: str
    application_url: str


class Letters:
    """Writes the mails that the outbox owes.

    Args:
        company: Who writes.
        addresses: Where the customer's page is.
    """

    def __init__(self, company: Company, addresses: PageAddresses) -> None:
        self._company = company
        self._addresses = addresses

    def write(self, owed: OwedEmail) -> EmailMessage:
        """Return the mail for a row of the outbox.

        Raises:
            LetterUnknown: No letter of this kind is known.
        """
        if owed.kind == RECEIPT:
            return self._receipt(owed)
        raise LetterUnknown(owed.kind)

    def _receipt(self, owed: OwedEmail) -> EmailMessage:
        checkout, company = owed.checkout, self._company
        if checkout.charged_at is None or checkout.access_until is None:
            msg = f"checkout {checkout.checkout_id} is not charged: no receipt is due"
            raise ValueError(msg)
        access_at = checkout.access_granted_at or checkout.now
        facts = ReceiptFacts(
            company_name=company.company_name,
            plan_name=checkout.plan_name,
            price=checkout.price,
            reference_code=checkout.reference_code,
            card_brand=checkout.card_brand,
            card_last4=checkout.card_last4,
            charged_at=checkout.charged_at,
            access_until=checkout.access_until,
            page_url=self._addresses.page(checkout.checkout_id, checkout.token_key_id),
            access_url=checkout.access_url or company.application_url,
            support_email=company.support_email,
            support_hours=company.support_hours,
            statement_descriptor=company.statement_descriptor,
            may_have_seen_an_error=may_have_seen_an_error(
                checkout.charged_at,
                access_at,
                was_interrupted=checkout.interrupted_at is not None,
            ),
        )
        return build_receipt(
            facts,
            to=checkout.email,
            sender=company.mail_from,
            message_id=message_id(
                checkout.reference_code, owed.kind, company.mail_domain
            ),
        )
