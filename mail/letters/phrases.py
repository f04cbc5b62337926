"""What several letters say: facts in rows, promises, and the page's own headlines."""

from __future__ import annotations

from datetime import UTC, datetime

from domain.customer_view import CustomerFacts, CustomerView, customer_view
from domain.deadlines import CONFIRMING_FOR
from domain.emails import EmailKind
from domain.states import AccessState, MoneyState
from domain.words import card_in_words, moment_in_words
from domain.working_hours import HoursNotUnderstood, WorkingHours
from mail.facts import LetterFacts, LetterNotDue
from mail.letter import Letter, Link

Rows = tuple[tuple[str, str], ...]

#: Told of not knowing, of missing access: what comes afterwards refers to it.
CHECKING = {
    EmailKind.CHECKING,
    EmailKind.CHECKING_STILL,
    EmailKind.CHECKING_PERSON,
    EmailKind.CHECKING_LATE,
}
RECEIVED = {
    EmailKind.RECEIVED,
    EmailKind.RECEIVED_STILL,
    EmailKind.RECEIVED_PERSON,
}

NOTHING_TO_DO = "You do not need to do anything."


def on_the_statement(facts: LetterFacts) -> tuple[str, ...]:
    """Say under which name the payment will be found, and that it is paid."""
    return (
        f"This will appear as {facts.company.statement_descriptor} on your statement. "
        "No payment is due.",
    )


def write(
    facts: LetterFacts,
    *,
    subject: str,
    preheader: str,
    headline: str,
    paragraphs: tuple[str, ...],
    rows: Rows,
    button: Link | None = None,
    page_label: str = "See where it stands",
    note: str | None = None,
    closing: tuple[str, ...] = (),
    signature: str | None = None,
) -> Letter:
    """Return a letter with what all of them have: who writes, and the way to the page.

    Without a `button` of its own, the button leads to the order's page, under
    `page_label`; with one, the closing words name the page.
    """
    company, page = facts.company, facts.page_url
    says = "always shows where it stands. Keep its address to yourself."
    aside = None
    if button is None:
        closing = (*closing, f"Your order's page {says}")
    else:
        aside = Link(label="Your order's page", url=page, rest=says)
    return Letter(
        subject=subject,
        preheader=preheader,
        company_name=company.company_name,
        headline=headline,
        paragraphs=paragraphs,
        support_email=company.support_email,
        support_hours=company.support_hours,
        note=note,
        button=button or Link(label=page_label, url=page),
        rows=rows,
        closing=closing,
        aside=aside,
        signature=signature,
        promised_at=facts.promised_at,
    )


def page_view(
    facts: LetterFacts, money: MoneyState, access: AccessState
) -> CustomerView:
    """Return what the order's page says, so that page and mail use the same words."""
    asked_at = facts.pay_requested_at or facts.written_at
    return customer_view(
        CustomerFacts(
            money=money,
            access=access,
            price=facts.price,
            plan_name=facts.plan_name,
            # A mail is never about the first minute, in which the page only waits.
            now=max(facts.written_at, asked_at + CONFIRMING_FOR),
            pay_requested_at=facts.pay_requested_at,
            reason=facts.reason,
            decline=facts.decline,
            charged_at=facts.charged_at,
            access_until=facts.access_until,
        )
    )


def rows(
    facts: LetterFacts, *more: tuple[str, datetime | str | None], amount: str
) -> Rows:
    """Return the facts that every letter shows, with some more before the promise.

    What is not known has no row.
    """
    promised = facts.promised_at
    all_rows = (
        ("Reference", facts.reference_code),
        ("Plan", facts.plan_name),
        ("Amount", amount),
        ("Card", card_in_words(facts.card_brand, facts.card_last4)),
        *more,
        ("Next e-mail", promised and f"by {moment_in_words(promised)}"),
    )
    return tuple(
        (label, moment_in_words(value) if isinstance(value, datetime) else value)
        for label, value in all_rows
        if value
    )


def promise(facts: LetterFacts, who: str = "We will write again") -> str:
    """Return the sentence that names the time of the next mail; empty without one."""
    if facts.promised_at is None:
        return ""
    by = clock(facts.promised_at, beside=facts.written_at)
    return f"{who} by {by}, with or without news."


def person_comes(facts: LetterFacts, at: datetime) -> str:
    """Return from when a person acts who shall act at a time: `from 09:00 UTC on`.

    Nobody is there at night, and no letter says so; empty within support's hours.
    """
    try:
        there_at = WorkingHours.parse(facts.company.support_hours).next_moment(at)
    except HoursNotUnderstood:
        # The settings refuse such words; a mail that is owed may not stay for them.
        return "in our support hours"
    if there_at <= at:
        return ""
    return f"from {clock(there_at, beside=facts.written_at)} on"


def clock(moment: datetime, *, beside: datetime) -> str:
    """Write an instant: the time alone on the day of another one, else with its day."""
    if moment.astimezone(UTC).date() == beside.astimezone(UTC).date():
        return f"{moment.astimezone(UTC):%H:%M} UTC"
    return moment_in_words(moment)


def told(facts: LetterFacts, kinds: set[EmailKind]) -> bool:
    """Say whether a mail of one of these kinds left before."""
    return not kinds.isdisjoint(facts.earlier)


def known(moment: datetime | None, what: str) -> datetime:
    """Return an instant without which a letter would be untrue.

    Raises:
        LetterNotDue: There is none.
    """
    if moment is None:
        msg = f"{what} is not known: this letter is not due"
        raise LetterNotDue(msg)
    return moment


def sentences(*parts: str) -> tuple[str, ...]:
    """Return paragraphs without the empty ones."""
    return tuple(part for part in parts if part)
