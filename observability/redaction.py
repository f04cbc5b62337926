"""The last net under logs and traces: what must never leave the process is cut out.

Nobody should log an e-mail address, a secret or a card number. This module assumes that
somebody will, in an exception's text if nowhere else. It works on text alone, so that
it holds for our lines, the libraries' lines and tracebacks alike.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

REMOVED = "[removed]"

#: A person reads log lines; more than this is cut. Also bounds the patterns' work.
MOST_CHARACTERS = 20_000

#: Deeper nesting than this is written as one text.
_MOST_LEVELS = 4

#: A key with one of these words names something that is not for a log.
_SECRET_WORDS = frozenset(
    {"email", "emails", "token", "tokens", "secret", "secrets", "signature"}
    | {"password", "passwords", "passwd", "authorization", "cookie", "cookies"}
    | {"apikey", "pan", "cvc", "cvv"}
)
_SECRET_PAIRS = ("api_key", "card_number", "e_mail")

#: Ids and trace ids are matched first, so that their digits are not taken for a card;
#: then thirteen digits or more, with single blanks or hyphens between them.
_CARD = re.compile(
    r"(?P<id>[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|\b[0-9a-f]{32}\b)"
    r"|(?P<digits>\d(?:[ -]?\d){12,})"
)
_CARD_LENGTHS = range(13, 20)
#: A longer run of digits is no card with something behind it.
_MOST_DIGITS = 64

#: In this order; each is bounded, so that a long text takes linear time.
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    # User and password in an address of a server.
    (re.compile(r"://[^\s/@]{1,512}@"), f"://{REMOVED}@"),
    # Addresses, also percent-encoded as in a query string.
    (
        re.compile(r"[^\s@<>\"'(),;:=&?/\\\[\]{}]{1,64}(?:@|%40)[\w.\-\[\]]{1,253}"),
        REMOVED,
    ),
    # The processor's keys, webhook secrets, card tokens and client secrets.
    (re.compile(r"(?<![A-Za-z0-9])[sr]k_(?:test|live)_\w+"), REMOVED),
    (re.compile(r"whsec_[\w+/=-]+|ctoken_\w+|\w{1,64}_secret_\w+"), REMOVED),
    (
        re.compile(r"\b(bearer|basic)\s+[\w+/=.~-]{12,}", re.IGNORECASE),
        rf"\1 {REMOVED}",
    ),
    (
        re.compile(r"\b(token|secret|password|signature)=[^&\s\"']+", re.IGNORECASE),
        rf"\1={REMOVED}",
    ),
    # The unguessable part of a customer's address.
    (re.compile(r"/c/[\w-]{20,}"), f"/c/{REMOVED}"),
    # The same token without its address: 43 characters of URL-safe base64.
    (
        re.compile(r"(?<![\w-])(?=[\w-]*[A-Z])(?=[\w-]*\d)[\w-]{43}(?![\w-])"),
        REMOVED,
    ),
)

#: Characters that end a line, move the cursor or turn the reading direction.
_CONTROL = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)


def is_secret_key(key: str) -> bool:
    """Say whether a field of this name must not be written at all.

    The id of something secret is none: `email_id` is the outbox row's.
    """
    name = key.lower().replace("-", "_")
    words = set(name.split("_"))
    if name.endswith("_id"):
        return False
    return bool(words & _SECRET_WORDS) or any(pair in name for pair in _SECRET_PAIRS)


def redact_text(text: str, *, keep_lines: bool = False) -> str:
    """Cut out secrets and personal data, and make control characters visible.

    Args:
        text: Anything.
        keep_lines: Leave line ends alone; for tracebacks.
    """
    text = _shorten(text)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    text = _CARD.sub(_without_card, text)
    return _CONTROL.sub(
        lambda found: "\n" if keep_lines and found[0] == "\n" else _escaped(found[0]),
        text,
    )


def redact(value: object, *, level: int = 0) -> object:
    """Cut secrets out of a value of any kind; what is no plain value becomes text."""
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        text = redact_text(str(value))
        return value if text == str(value) else text
    if level < _MOST_LEVELS and isinstance(value, Mapping):
        return {
            redact_text(str(key)): redact(item, level=level + 1)
            for key, item in value.items()
            if not is_secret_key(str(key))
        }
    if level < _MOST_LEVELS and isinstance(value, list | tuple | set | frozenset):
        return [redact(item, level=level + 1) for item in value]
    return redact_text(str(value))


def _shorten(text: str) -> str:
    if len(text) <= MOST_CHARACTERS:
        return text
    # Without its last word: half a secret would no longer look like one.
    kept = re.sub(r"\S{1,512}\Z", "", text[:MOST_CHARACTERS])
    return f"{kept} [{len(text) - len(kept)} characters cut]"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def _without_card(found: re.Match[str]) -> str:
    if found["digits"] is None:
        return found[0]
    digits = re.sub(r"[ -]", "", found["digits"])[:_MOST_DIGITS]
    windows = (
        digits[start : start + length]
        for length in _CARD_LENGTHS
        for start in range(len(digits) - length + 1)
    )
    return REMOVED if any(_passes_luhn(window) for window in windows) else found[0]


def _passes_luhn(digits: str) -> bool:
    """Say whether the last digit is the check digit that card numbers end in."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 else 1)
        total += value - 9 if value > 9 else value  # noqa: PLR2004  # Digit sum.
    return total % 10 == 0
