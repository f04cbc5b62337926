"""The notice to an address that an order had before.

Whoever reads it may be a stranger: the address may have been mistyped. So it names
nothing that opens the order's page or proves who paid: no link, no card, no amount.
"""

from __future__ import annotations

from mail.facts import LetterFacts, LetterNotDue
from mail.letter import Letter


def address_changed(facts: LetterFacts) -> Letter:
    """Say that mail about an order goes elsewhere from now on, and how to object.

    Raises:
        LetterNotDue: It is not known where to.
    """
    if facts.moved_to is None:
        raise LetterNotDue("moved_to is not known: this letter is not due")
    company = facts.company
    return Letter(
        subject="Your order has another e-mail address now",
        preheader="If that was not you, reply to this e-mail.",
        company_name=company.company_name,
        headline=f"The e-mail address of order {facts.reference_code} was changed.",
        paragraphs=(
            "Its buyer asked us to correct it. From now on mail about it from "
            f"{company.company_name} goes to {facts.moved_to}.",
            "If that was you, you need not do anything.",
            "If it was not you, reply to this e-mail and say so. A person reads it and "
            "looks into it.",
        ),
        support_email=company.support_email,
        support_hours=company.support_hours,
        rows=(("Reference", facts.reference_code),),
    )
