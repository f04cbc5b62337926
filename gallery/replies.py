"""The page of the docs that shows every reply, written from the specimens.

`python -m gallery.replies` writes it again; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from domain.replies import TYPED, WHERE, Fact, Situation, needs
from mail.replies.guide import GUIDES, PAIRS
from mail.replies.writing import letter_of
from tests.specimens.replies import ReplySpecimen, replies

DOCS_PAGE = Path(__file__).parents[1] / "docs" / "replies.md"

_INTRODUCTION = """\
# The letters that a person signs

Eighteen situations, and for each the whole letter with the facts of an example.
`python -m gallery.replies` writes this page from the letters in `mail/replies`.

How a reply comes about:

1. The console suggests the situations that the facts of the case look like.
2. A letter that lacks a fact is blocked: it says which, and where to get it.
3. The opening is a suggestion. Read it against what they wrote, then confirm it or
   change it; the letter waits for that. What follows is written from the facts.
4. Every word is checked as you type. A time that nothing keeps, a claim that nothing
   proves, a hard sentence or a phrase of an office keeps the letter here.
5. It goes out under your name to the order's address, in the thread of our own mails
   about it, and is kept word for word. To any other address, or without a checkout,
   copy its text from here into the support mailbox.

The first sentence is the money, the second what they must do, the third what we do or
when they hear from us. “Nothing” is an answer, too.
"""


def replies_page(shown: Iterable[ReplySpecimen]) -> str:
    """Return the page, in Markdown: a part for each situation, in their order."""
    first: dict[Situation, ReplySpecimen] = {}
    for specimen in shown:
        first.setdefault(specimen.request.situation, specimen)
    lines = [_INTRODUCTION, *_pairs(), *_contents()]
    for situation in Situation:
        lines += _part(situation, first[situation])
    return "\n".join(lines)


def _pairs() -> Iterator[str]:
    yield from ("| Not so | But so |", "|---|---|")
    yield from (f"| {bad} | {good} |" for bad, good in PAIRS)
    yield ""


def _contents() -> Iterator[str]:
    yield from ("| | Situation | They write |", "|---|---|---|")
    for number, situation in enumerate(Situation, start=1):
        guide = GUIDES[situation]
        yield f"| {number} | {guide.title} | {guide.they_write} |"
    yield ""


def _part(situation: Situation, specimen: ReplySpecimen) -> Iterator[str]:
    guide, letter = (
        GUIDES[situation],
        letter_of(specimen.request),
    )
    yield from (f"## {guide.title}", "", f"> {guide.they_write}", "")
    yield from (f"**When.** {guide.use_when}", "")
    yield from (f"**The opening.** {guide.in_the_opening}", "")
    yield from _asks(specimen)
    yield from ("```text", f"Subject: {letter.subject}", "")
    yield from (letter.as_text().rstrip(), "```", "")


def _asks(specimen: ReplySpecimen) -> Iterator[str]:
    bought = specimen.request.facts.purchase
    situation = specimen.request.situation
    facts: tuple[Fact, ...] = ()
    if bought is not None and situation is not Situation.SOMEBODY_ELSE:
        facts = needs(situation, bought)
    if not facts:
        yield from ("**What it needs.** Nothing.", "")
        return
    yield from ("**What it needs.**", "")
    for fact in facts:
        what, where = WHERE[fact]
        yield f"- {what}{', typed by you' if fact in TYPED else ''}. {where}"
    yield ""


if __name__ == "__main__":
    DOCS_PAGE.write_text(replies_page(replies()))
