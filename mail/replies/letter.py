"""A letter that a person signs: a greeting, what they say, their name, the facts.

It looks like what it is. There is no headline and no coloured box, since nobody writes
those by hand; the facts stand below the name, where they can be looked up.
"""

from __future__ import annotations

from dataclasses import dataclass

from mail.letter import TEMPLATES, Link, put_on_one_line


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonalLetter:
    """What one letter says, in the order in which it is read.

    Every text but the subject is put on one line, so that neither a name nor what a
    person typed can add a paragraph; a subject is refused when the message is built.

    Attributes:
        subject: The fact.
        preheader: What a list of mails shows behind the subject.
        greeting: `Hello Mara,`, or `Hello,` when they did not sign.
        opening: What the person confirmed or wrote themselves.
        paragraphs: What follows from the facts.
        steps: What happened: a time and what was then, oldest first.
        after: What is said after the steps.
        author: Who signs.
        company_name: For whom.
        button: The one thing to press.
        rows: Labels and values: reference, amount, card, times.
        support_hours: When a person answers, in words.
        aside: A second link; letters that a person signs have none.
    """

    subject: str
    preheader: str
    greeting: str
    opening: tuple[str, ...]
    paragraphs: tuple[str, ...]
    author: str
    company_name: str
    support_hours: str
    steps: tuple[tuple[str, str], ...] = ()
    after: tuple[str, ...] = ()
    button: Link | None = None
    rows: tuple[tuple[str, str], ...] = ()
    aside: Link | None = None

    def __post_init__(self) -> None:
        """Put every text on one line, whoever wrote it."""
        put_on_one_line(self)

    @property
    def prose(self) -> tuple[str, ...]:
        """Return what is read as sentences, in order."""
        steps = tuple(what for _, what in self.steps)
        return (*self.opening, *self.paragraphs, *steps, *self.after)

    def as_text(self) -> str:
        """Return the variant for readers of plain text."""
        return TEMPLATES.get_template("reply.txt").render(letter=self)

    def as_html(self) -> str:
        """Return the variant for everybody else."""
        return TEMPLATES.get_template("reply.html").render(letter=self)
