"""A letter: what a mail says, once, from which its text and its HTML are written.

There is one pair of templates for all letters, so both variants tell equal facts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

#: More is cut off on a phone.
MOST_SUBJECT_CHARACTERS = 50

_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")

#: For all letters, those that a person signs too.
TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=select_autoescape(["html"]),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A few words that lead to a page, and what follows them in the sentence."""

    label: str
    url: str
    rest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What one mail says, in the order in which it is read.

    Every text but the subject is put on one line, so that a name can add no paragraph;
    a subject that is not on one line is refused when the message is built.

    Attributes:
        subject: The fact, in 50 characters at the most; see `first_that_fits`.
        preheader: What a list of mails shows behind the subject.
        company_name: Who writes; stands above everything.
        headline: The fact about the money, in the customer's words.
        paragraphs: What they must do, what we do, when they hear next.
        support_email: Where a person answers.
        support_hours: When, in words.
        note: One thing to see at a glance, above the paragraphs.
        button: The one thing to press.
        rows: Labels and values: amount, reference, card, times.
        closing: What may be read later.
        aside: A second link, within a sentence of its own.
        signature: The person who writes, for a person's letter.
        promised_at: By when we write again; said in `paragraphs` and `rows`.
    """

    subject: str
    preheader: str
    company_name: str
    headline: str
    paragraphs: tuple[str, ...]
    support_email: str
    support_hours: str
    note: str | None = None
    button: Link | None = None
    rows: tuple[tuple[str, str], ...] = ()
    closing: tuple[str, ...] = ()
    aside: Link | None = None
    signature: str | None = None
    promised_at: datetime | None = None

    def __post_init__(self) -> None:
        """Put every text on one line, whoever wrote the letter."""
        put_on_one_line(self)

    def as_text(self) -> str:
        """Return the variant for readers of plain text."""
        return TEMPLATES.get_template("letter.txt").render(letter=self)

    def as_html(self) -> str:
        """Return the variant for everybody else."""
        return TEMPLATES.get_template("letter.html").render(letter=self)


def one_line(text: str) -> str:
    """Return a text without line ends, so that a name cannot add a paragraph."""
    return " ".join(_CONTROL.sub(" ", text).split())


def has_control(text: str) -> bool:
    """Say whether a text holds a line end or another control character."""
    return _CONTROL.search(text) is not None


def first_that_fits(*subjects: str) -> str:
    """Return the first subject that is short enough; the last is cut if it must be."""
    lines = [one_line(subject) for subject in subjects]
    for line in lines:
        if len(line) <= MOST_SUBJECT_CHARACTERS:
            return line
    return lines[-1][: MOST_SUBJECT_CHARACTERS - 1].rstrip() + "…"


def put_on_one_line(letter: DataclassInstance) -> None:
    """Put every text of a letter that is being made on one line, but its subject.

    A subject that is not on one line is refused when the message is built.
    """
    for field in fields(letter):
        if field.name != "subject":
            clean = _on_one_line(getattr(letter, field.name))
            object.__setattr__(letter, field.name, clean)


def _on_one_line(value: object) -> object:
    if isinstance(value, str):
        return one_line(value)
    if isinstance(value, tuple):
        return tuple(_on_one_line(part) for part in value)
    if isinstance(value, Link):
        # The address is left as it is: what is none is refused, not mended.
        return Link(
            label=one_line(value.label), url=value.url, rest=one_line(value.rest)
        )
    return value
