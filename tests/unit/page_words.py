"""The rules for words that a customer reads, as a few lines that can be run."""

from __future__ import annotations

import re

#: Jargon, blame, alarm, and words that say nothing. GOV.UK bans several of them too:
#: https://design-system.service.gov.uk/patterns/problem-with-the-service-pages/
BANNED = re.compile(
    r"\boops|something went wrong|technical|webhook|workflow|order record|\b50\d\b|!|"
    r"unfortunately|inconvenience|stripe|server error|\berrors?\b|exception|"
    r"try again later|please be patient|bear with us|maintenance|invalid|timeout|"
    r"hurry|don't worry|kindly|we apologi[sz]e",
    re.IGNORECASE,
)

MOST_WORDS = 20

#: Flesch: 60 is plain English, read with ease by a fifteen-year-old.
LEAST_EASE = 60.0

_SENTENCE = re.compile(r"(?<=[.?:])\s+")
_VOWELS = re.compile(r"[aeiouy]+")


def sentences_of(words: str) -> list[str]:
    """Return the sentences of a text, with a word in each."""
    parts = _SENTENCE.split(words.strip())
    return [part for part in parts if re.search(r"\w", part)]


def reading_ease(words: str) -> float:
    """Return the Flesch reading ease: 100 is very easy, 0 is for lawyers.

    Syllables are counted by their vowels, without a silent e: near enough for a limit.
    Amounts, times and addresses are read at a glance, so they count as one syllable.
    """
    sentences = sentences_of(words)
    tokens = [token for sentence in sentences for token in sentence.split()]
    syllables = sum(_syllables(token) for token in tokens)
    return (
        206.835 - 1.015 * len(tokens) / len(sentences) - 84.6 * syllables / len(tokens)
    )


def _syllables(token: str) -> int:
    letters = re.sub(r"[^a-z]", "", token.lower())
    if not letters or re.search(r"[\d@]", token):
        return 1
    groups = len(_VOWELS.findall(letters))
    is_silent = letters.endswith("e") and not letters.endswith("le") and groups > 1
    return max(1, groups - is_silent)


def faults_of(words: str) -> list[str]:
    """Return what is wrong with a text; empty when a person would say it so."""
    found = [f"banned: {match.group()}" for match in BANNED.finditer(words)]
    found += [
        f"too long: {sentence}"
        for sentence in sentences_of(words)
        if len(sentence.split()) > MOST_WORDS
    ]
    return found
