"""From a row of the outbox to the mail itself: pure, and the same for every copy."""

from __future__ import annotations

from datetime import datetime
from email.message import EmailMessage

from database.emails import OwedEmail, OwedRefund
from domain.addresses import PageAddresses
from domain.emails import EmailKind
from domain.identifiers import message_id
from domain.links import web_address
from mail.facts import Company, LetterFacts, Refund
from mail.letters import write_letter
from mail.message import build_message


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
            mail.facts.LetterNotDue: A fact is missing without which it would be untrue.
            mail.message.MessageRefused: No message can be built from these values.
        """
        kind = owed.kind
        reference, domain = owed.checkout.reference_code, self._company.mail_domain
        return build_message(
            write_letter(kind, self._facts(owed)),
            to=owed.recipient or owed.checkout.email,
            sender=self._company.mail_from,
            message_id=message_id(reference, kind, domain, owed.sequence),
            date=_written_at(owed),
            earlier=[
                message_id(reference, mail.kind, domain, mail.sequence)
                for mail in owed.earlier
            ],
        )

    def _facts(self, owed: OwedEmail) -> LetterFacts:
        checkout = owed.checkout
        return LetterFacts(
            company=self._company,
            plan_name=checkout.plan_name,
            price=checkout.price,
            reference_code=checkout.reference_code,
            page_url=self._addresses.page(checkout.checkout_id, checkout.token_key_id),
            access_url=web_address(checkout.access_url)
            or self._company.application_url,
            written_at=_written_at(owed),
            card_brand=checkout.card_brand,
            card_last4=checkout.card_last4,
            pay_requested_at=checkout.pay_requested_at,
            bank_asked_at=checkout.bank_asked_at,
            reason=checkout.not_charged_reason,
            decline=checkout.decline_class,
            charged_at=checkout.charged_at,
            access_at=checkout.access_granted_at,
            access_until=checkout.access_until,
            was_interrupted=checkout.interrupted_at is not None,
            promised_at=owed.promised_at,
            asked_at=owed.asked_at,
            earlier=tuple(mail.kind for mail in owed.earlier),
            told_at=owed.earlier[-1].written_at if owed.earlier else None,
            refund=None if owed.refund is None else _refund(owed.refund),
            moved_to=owed.moved_to,
        )


def _written_at(owed: OwedEmail) -> datetime:
    """Return the moment that a mail speaks of.

    The row of a receipt is written with the order, and the receipt tells of the access
    that opened later: it must not stand before the mails that asked for patience.
    """
    granted_at = owed.checkout.access_granted_at
    if owed.kind is EmailKind.RECEIPT and granted_at is not None:
        return max(owed.created_at, granted_at)
    return owed.created_at


def _refund(owed: OwedRefund) -> Refund:
    return Refund(
        amount=owed.amount,
        returned_at=owed.returned_at,
        reference=owed.reference,
        keeps_access=owed.keeps_access,
    )
