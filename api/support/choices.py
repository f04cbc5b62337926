"""Choices that forms of the console offer, in words."""

from __future__ import annotations

from dataclasses import dataclass

from domain.replies import Verified


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """A choice in a form."""

    value: str
    name: str


#: How it can be known that who writes is who paid.
HOW_VERIFIED = (
    Option(value=Verified.PAGE_LINK, name="they wrote from the order's page"),
    Option(value=Verified.CARD_AND_DAY, name="they named the card and the day"),
)
