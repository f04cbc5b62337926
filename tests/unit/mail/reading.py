"""Reading mails as people and their programs do."""

from __future__ import annotations

import re
from email.message import EmailMessage
from html.parser import HTMLParser

from mail.letter import Letter

#: What separates sentences; the point of an abbreviation is not among our words.
_END = re.compile(r"(?<=[.?!])\s+")


class Seen(HTMLParser):
    """What a person sees of an HTML mail, and where its links lead."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.links: list[str] = []
        self.labels: list[str] = []
        self.tags: set[str] = set()
        self._hidden = 0
        self._in_link = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        style = dict(attrs).get("style") or ""
        if tag in {"style", "title"} or "display:none" in style:
            self._hidden += 1
        if tag == "a":
            self._in_link = True
            self.links.append(dict(attrs)["href"] or "")
            self.labels.append("")

    def handle_endtag(self, tag: str) -> None:
        if self._hidden and tag in {"style", "title", "div"}:
            self._hidden -= 1
        if tag == "a":
            self._in_link = False
        if tag in {"p", "h1", "th", "td"}:
            self.words.append("\n")

    def handle_data(self, data: str) -> None:
        if self._in_link:
            self.labels[-1] += data
        if not self._hidden:
            self.words.append(data)


def text_of(message: EmailMessage) -> str:
    """Return the variant in plain text."""
    part = message.get_body(("plain",))
    assert part is not None
    return str(part.get_content())


def html_of(message: EmailMessage) -> str:
    """Return the variant in HTML."""
    part = message.get_body(("html",))
    assert part is not None
    return str(part.get_content())


def seen(message: EmailMessage) -> Seen:
    """Return what a person sees of the HTML."""
    reader = Seen()
    reader.feed(html_of(message))
    return reader


def in_one_line(text: str) -> str:
    """Return a text without its line ends."""
    return " ".join(text.split())


def prose(letter: Letter) -> tuple[str, ...]:
    """Return the paragraphs that are read as sentences; no rows and no addresses."""
    aside = letter.aside and f"{letter.aside.label} {letter.aside.rest}"
    parts = (letter.headline, letter.note, *letter.paragraphs, *letter.closing, aside)
    return tuple(part for part in parts if part)


def sentences_in(*paragraphs: str) -> list[str]:
    """Split paragraphs into sentences."""
    return [
        sentence
        for paragraph in paragraphs
        for sentence in _END.split(paragraph.strip())
        if sentence
    ]


def grade(*paragraphs: str) -> float:
    """Return the school year that reads this: the Automated Readability Index.

    It counts characters and words only, so it needs no dictionary. Senter and Smith,
    "Automated Readability Index", 1967.
    """
    sentences = sentences_in(*paragraphs)
    words = [word for sentence in sentences for word in sentence.split()]
    characters = sum(len(re.findall(r"\w", word)) for word in words)
    per_word, per_sentence = characters / len(words), len(words) / len(sentences)
    return 4.71 * per_word + 0.5 * per_sentence - 21.43
