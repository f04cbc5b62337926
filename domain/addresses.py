"""The customer's addresses: made from a secret, so that mails can name them later.

The database keeps a digest of each token and the id of the secret that made it. To
rotate the secret, a new one is put in front of the old: new checkouts use the new one,
old addresses keep working.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")

#: Enough to tell an installation's few secrets apart; says nothing of their text.
_KEY_ID_LENGTH = 8


class AddressKeyMissing(Exception):
    """The secret that made this address is no longer in the settings. Put it back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageToken:
    """The unguessable part of a checkout's address: 256 bits, URL-safe.

    Attributes:
        token: What stands in the address. Never stored, never logged.
        key_id: Which secret made it; stored beside its digest.
    """

    token: str
    key_id: str


class PageAddresses:
    """Makes the addresses of checkout pages.

    Args:
        public_url: Scheme and host of the shop, without a slash at the end.
        secrets: The installation's secrets, newest first.
    """

    def __init__(self, public_url: str, secrets: Sequence[str]) -> None:
        self._public_url = public_url
        self._secrets = {key_id_of(secret): secret for secret in secrets}
        self._newest = key_id_of(secrets[0])

    def new_token(self, checkout_id: UUID) -> PageToken:
        """Return the token of a new checkout, made with the newest secret."""
        return PageToken(
            token=self._token(checkout_id, self._newest), key_id=self._newest
        )

    def digest(self, checkout_id: UUID, key_id: str) -> bytes:
        """Return what is stored of a checkout's token, to make a lost row anew.

        Raises:
            AddressKeyMissing: The secret with this id is not in the settings.
        """
        return token_digest(self._token(checkout_id, key_id))

    def page(self, checkout_id: UUID, key_id: str) -> str:
        """Return the address of a checkout's page.

        Raises:
            AddressKeyMissing: The secret with this id is not in the settings.
        """
        return f"{self._public_url}/c/{self._token(checkout_id, key_id)}"

    def bank_return(self, checkout_id: UUID, key_id: str) -> str:
        """Return where the bank sends the buyer back to.

        Raises:
            AddressKeyMissing: The secret with this id is not in the settings.
        """
        return f"{self.page(checkout_id, key_id)}/return"

    def seal(self, key_id: str, text: str) -> str:
        """Return what proves that a text is ours, in hexadecimal.

        Raises:
            AddressKeyMissing: The secret with this id is not in the settings.
        """
        secret = self._secrets.get(key_id)
        if secret is None:
            raise AddressKeyMissing(key_id)
        return hmac.new(
            secret.encode(), b"checkout-record:" + text.encode(), "sha256"
        ).hexdigest()

    def _token(self, checkout_id: UUID, key_id: str) -> str:
        secret = self._secrets.get(key_id)
        if secret is None:
            raise AddressKeyMissing(key_id)
        mac = hmac.new(secret.encode(), b"checkout-page:" + checkout_id.bytes, "sha256")
        return base64.urlsafe_b64encode(mac.digest()).rstrip(b"=").decode()


def key_id_of(secret: str) -> str:
    """Name one of an installation's secrets without telling anything of its text."""
    digest = hashlib.sha256(b"key-id:" + secret.encode())
    return digest.hexdigest()[:_KEY_ID_LENGTH]


def is_token(text: str) -> bool:
    """Whether a text can be a token of ours: 256 bits in URL-safe base64."""
    return _TOKEN.fullmatch(text) is not None


def token_digest(token: str) -> bytes:
    """Return what is stored of a token: SHA-256 suffices for 256 random bits."""
    return hashlib.sha256(token.encode()).digest()
