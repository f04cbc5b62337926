"""Who may do what in the console, and what makes a password good enough.

The second factor is derived, as the addresses of checkouts are: the database keeps a
salt and the name of the installation's secret, so that a copy of the database alone
gives nobody a code.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from urllib.parse import quote, urlencode

from domain.addresses import key_id_of

#: What an account may be called: also what the audit, cases and refunds say.
STAFF_NAME = re.compile(r"[a-z][a-z0-9-]{1,30}")

#: With a second factor eight would do (ASVS 6.2.1); twelve leave out nearly every
#: password of the lists that are tried first.
MIN_PASSWORD = 12
#: Longer ones only cost time to digest.
MAX_PASSWORD = 128
#: Fewer different characters than this are a pattern, not a password.
_MIN_DIFFERENT = 5

#: 160 bits, as RFC 4226 recommends.
_TOTP_BYTES = 20

#: What the first guesses of this length are made of.
_GUESSED_FIRST = (
    "password",
    "passw0rd",
    "qwerty",
    "azerty",
    "asdfgh",
    "123456",
    "abcdef",
    "letmein",
    "welcome",
    "iloveyou",
    "monkey",
    "dragon",
    "football",
    "baseball",
    "sunshine",
    "princess",
    "superman",
    "trustno1",
    "admin",
    "changeme",
    "secret",
    "support",
    "checkout",
    "holdfast",
)
#: With a guessed word taken out, this much must be left.
_LEFT_WITHOUT_WORD = 8


class Role(StrEnum):
    """What an account is for."""

    #: Looks at everything and changes nothing.
    READ = "read"
    #: Works on cases.
    SUPPORT = "support"
    #: Works on cases, and sees what everybody did.
    OWNER = "owner"


class Access(StrEnum):
    """What a page of the console asks of whoever wants it."""

    #: Nothing: it leads in.
    PUBLIC = "public"
    #: Any account.
    READ = "read"
    #: An account that may change something.
    ACT = "act"
    #: An owner's account.
    OWN = "own"


_ALLOWED: dict[Role, frozenset[Access]] = {
    Role.READ: frozenset({Access.PUBLIC, Access.READ}),
    Role.SUPPORT: frozenset({Access.PUBLIC, Access.READ, Access.ACT}),
    Role.OWNER: frozenset(Access),
}


class StaffKeyMissing(Exception):
    """The secret that made an account's codes left the settings. Reset the account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeSource:
    """What the database keeps of a second factor.

    Attributes:
        key_id: Which of the installation's secrets makes it.
        salt: Random; another one makes another factor.
    """

    key_id: str
    salt: bytes


class StaffSecrets:
    """Makes what only this installation can: codes' secrets and browsers' marks.

    Args:
        secrets: The installation's secrets, newest first.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        self._secrets = {key_id_of(secret): secret for secret in secrets}
        self.newest = key_id_of(secrets[0])

    def totp_secret(self, source: CodeSource) -> str:
        """Return the secret of an account's codes, in base32.

        Raises:
            StaffKeyMissing: The settings no longer hold the secret it is made from.
        """
        digest = self._digest(source, "staff-code")[:_TOTP_BYTES]
        return base64.b32encode(digest).decode()

    def browser_mark(self, source: CodeSource) -> str:
        """Return what a browser keeps that has signed in to an account before.

        It opens nothing. Whoever has it is counted apart from strangers, so that their
        tries cannot keep the account's owner out.

        Raises:
            StaffKeyMissing: As above.
        """
        digest = self._digest(source, "staff-browser")
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    def _digest(self, source: CodeSource, purpose: str) -> bytes:
        secret = self._secrets.get(source.key_id)
        if secret is None:
            raise StaffKeyMissing(source.key_id)
        message = f"{purpose}:".encode() + source.salt
        return hmac.new(secret.encode(), message, "sha256").digest()


def may(role: Role, access: Access) -> bool:
    """Say whether an account of this role gets what asks for this access."""
    return access in _ALLOWED[role]


def enrolment_uri(name: str, issuer: str, totp_secret: str) -> str:
    """Return what authenticator apps read.

    https://github.com/google/google-authenticator/wiki/Key-Uri-Format
    """
    label = quote(f"{issuer}:{name}", safe=":")
    return f"otpauth://totp/{label}?" + urlencode(
        {"secret": totp_secret, "issuer": issuer}, quote_via=quote
    )


def password_problem(password: str, known: Iterable[str] = ()) -> str | None:
    """Say what makes a password too easy, in a sentence; None when nothing does.

    Args:
        password: What somebody would like.
        known: Names that others know: of the account, of the company.
    """
    if len(password) < MIN_PASSWORD:
        return f"Please take {MIN_PASSWORD} characters or more."
    if len(password) > MAX_PASSWORD:
        return f"Please take {MAX_PASSWORD} characters or fewer."
    plain = password.casefold()
    if len(set(plain)) < _MIN_DIFFERENT or _is_run(plain):
        return "That is a pattern, which is guessed early. Please take another one."
    words = {word.casefold() for word in known if len(word) > 2}  # noqa: PLR2004  # "Al" is in too many words.
    for word in (*_GUESSED_FIRST, *sorted(words)):
        if word in plain and len(plain.replace(word, "")) < _LEFT_WITHOUT_WORD:
            return f"“{word}” is guessed early. Please take another one."
    return None


def _is_run(text: str) -> bool:
    """Say whether each character follows from the one before: `abcdefghijkl`."""
    steps = {ord(after) - ord(before) for before, after in pairwise(text)}
    return len(steps) == 1
