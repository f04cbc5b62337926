"""What is for sale. Prices come from here, never from a request."""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import UTC, datetime

from domain.money import Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One thing to buy: access for a number of months, paid once.

    Attributes:
        plan_id: Stable name in addresses and rows, as `one-year`.
        name: What the customer reads, as `Acme one-year plan`.
        price: What is charged, once.
        months: How long access lasts from the moment of the charge.
    """

    plan_id: str
    name: str
    price: Money
    months: int


def add_months(start: datetime, months: int) -> datetime:
    """Return the same day `months` later; the month's last day where there is none.

    A year from 29 February ends on 28 February. Days are those of UTC, as on pages and
    in mails: in which zone an instant was written must not move the end.
    """
    start = start.astimezone(UTC)
    month_index = start.month - 1 + months
    year, month = start.year + month_index // 12, month_index % 12 + 1
    day = min(start.day, calendar.monthrange(year, month)[1])
    return start.replace(year=year, month=month, day=day)
