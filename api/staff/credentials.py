"""Passwords and one-time codes: the only code that looks at either."""

from __future__ import annotations

import asyncio
import hmac
import secrets
from datetime import datetime
from functools import cached_property

import pyotp
from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

#: Argon2id with 46 MiB and two passes: OWASP asks for 19 MiB with two, or 46 with one.
#: https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html
_HASHER = PasswordHasher(time_cost=2, memory_cost=46 * 1024, parallelism=1)

#: Digests made at the same time, so that a flood of them cannot fill the memory.
_AT_ONCE = 2

#: Length of a code's half minute, and how many of them the clocks may be apart.
_STEP_SECONDS = 30
_STEPS_APART = (-1, 0, 1)
_CODE_LENGTH = 6


class Passwords:
    """Digests passwords, off the event loop."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def digest(self, password: str) -> str:
        """Return what the database keeps of a password."""
        async with self._turns:
            return await asyncio.to_thread(_HASHER.hash, password)

    async def match(self, stored: str | None, password: str) -> bool:
        """Say whether a password is the right one.

        Args:
            stored: The digest; None for an account that has none or does not exist.
                Just as much work is done for it, so that the time tells nothing.
            password: What was typed.
        """
        async with self._turns:
            is_same = await asyncio.to_thread(_match, stored or self._nobodys, password)
        return is_same and stored is not None

    def is_outdated(self, stored: str) -> bool:
        """Say whether a digest was made with less work than is asked for now."""
        return _HASHER.check_needs_rehash(stored)

    @cached_property
    def _nobodys(self) -> str:
        return _HASHER.hash(secrets.token_urlsafe())


def _match(stored: str, password: str) -> bool:
    try:
        return _HASHER.verify(stored, password)
    except (Argon2Error, InvalidHashError):
        return False


def step_of_code(totp_secret: str, typed: str, now: datetime) -> int | None:
    """Return the half minute that a code belongs to; None when it is no code of ours.

    All three that may be meant are compared, whichever fits, so that the time says
    nothing. That a code is used once is the database's word (`spend_code`).

    Args:
        totp_secret: In base32.
        typed: With or without a blank in the middle.
        now: One half minute before and after it is taken too.
    """
    code = "".join(typed.split()).encode("utf-8", "replace")
    totp = pyotp.TOTP(totp_secret, digits=_CODE_LENGTH, interval=_STEP_SECONDS)
    here = int(now.timestamp()) // _STEP_SECONDS
    found: int | None = None
    for apart in _STEPS_APART:
        if hmac.compare_digest(totp.generate_otp(here + apart).encode(), code):
            found = here + apart
    return found
