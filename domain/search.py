"""What somebody typed into the console's search, as what they look for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta

_REFERENCE = re.compile(r"(?:ORD-?)?([0-9A-HJKMNP-Z]{4})-?([0-9A-HJKMNP-Z]{4})")
_PAYMENT = re.compile(r"pi_[A-Za-z0-9_]{1,200}")
_EMAIL = re.compile(r"[^\s@<>,;]{1,64}@[^\s@<>,;]{1,255}")
_LAST4 = re.compile(r"\d{4}")
_AMOUNT = re.compile(r"[$€£]?(\d{1,7})(?:[.,](\d{2}))?[$€£]?")

#: As people write days; without a year the last such day is meant.
_WITH_YEAR = ("%Y-%m-%d", "%d.%m.%Y", "%d %b %Y", "%d %B %Y", "%b %d %Y")
_WITHOUT_YEAR = ("%d.%m.", "%d %b", "%d %B", "%b %d", "%B %d")
#: So that 29 Feb can be read before the year is known.
_LEAP_YEAR = 2024

#: Longer texts are no search.
MOST_CHARACTERS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is looked for; nothing is set when the text says nothing that we know.

    Attributes:
        email: A whole address.
        reference: As `ORD-7K2M-9QXD`.
        payment_intent_id: The processor's id.
        last4: Of a card, together with `day`.
        amounts: In minor units, together with `day`; what was typed may mean two.
        day: In UTC; a day before and after it counts too.
    """

    email: str | None = None
    reference: str | None = None
    payment_intent_id: str | None = None
    last4: str | None = None
    amounts: tuple[int, ...] = ()
    day: date | None = None

    def is_nothing(self) -> bool:
        """Whether the text says nothing that can be looked for."""
        return not (
            self.email
            or self.reference
            or self.payment_intent_id
            or (self.day and (self.last4 or self.amounts))
        )


def parse(text: str, today: date) -> Wanted:
    """Read a search; blanks around it do not matter.

    Args:
        text: `mara@example.com`, `ord-7k2m-9qxd`, `pi_3Q…`, `4242 23 Nov`,
            `249.00 23 Nov`, `249 today`.
        today: For days without a year.
    """
    plain = " ".join(text[:MOST_CHARACTERS].split())
    if payment := _PAYMENT.search(plain):
        return Wanted(payment_intent_id=payment[0])
    if email := _EMAIL.search(plain):
        return Wanted(email=email[0].casefold())
    if reference := _REFERENCE.fullmatch(plain.upper()):
        return Wanted(reference=f"ORD-{reference[1]}-{reference[2]}")
    return _with_day(plain, today)


def _with_day(text: str, today: date) -> Wanted:
    """Read a number and a day, in either order."""
    words = text.replace(",", ".").split(" ")
    for number, rest in ((words[0], words[1:]), (words[-1], words[:-1])):
        day = _day(" ".join(rest), today)
        amount = _AMOUNT.fullmatch(number)
        if day is None or amount is None:
            continue
        whole, cents = int(amount[1]), int(amount[2] or 0)
        # Without cents it may also be of a currency that has none.
        plain = () if amount[2] else (whole,)
        amounts = (whole * 100 + cents, *plain)
        last4 = number if _LAST4.fullmatch(number) else None
        return Wanted(last4=last4, amounts=amounts, day=day)
    return Wanted()


def _day(text: str, today: date) -> date | None:
    if text.casefold() in {"today", "yesterday"}:
        return today - timedelta(days=text.casefold() == "yesterday")
    for form in _WITH_YEAR:
        if found := _read(text, form):
            return found
    for form in _WITHOUT_YEAR:
        if found := _read(f"{text} {_LEAP_YEAR}", f"{form} %Y"):
            return _last(found, today)
    return None


def _read(text: str, form: str) -> date | None:
    try:
        return datetime.strptime(text, form).date()  # noqa: DTZ007  # Only the day.
    except ValueError:
        return None


def _last(found: date, today: date) -> date | None:
    """Return the last such day that is not after tomorrow, whatever the time zone."""
    for year in range(today.year + 1, today.year - 5, -1):
        try:
            moved = found.replace(year=year)
        except ValueError:
            continue
        if moved <= today + timedelta(days=1):
            return moved
    return None
