"""Form-encoded parameters with bracket nesting, read with Stripe's own complaints."""

import hashlib
import re
from collections.abc import Collection
from typing import Any
from urllib.parse import parse_qsl, urlencode

from sandbox.processor import errors, money
from sandbox.processor.errors import Json

_PARTS = re.compile(r"([^\[\]]+)|\[([^\[\]]*)\]")
_INTEGER = re.compile(r"-?\d+")
#: https://docs.stripe.com/api/metadata
_METADATA_KEYS = 50
_METADATA_KEY_LENGTH = 40
_METADATA_VALUE_LENGTH = 500

Pairs = list[tuple[str, str]]


def pairs_of(encoded: str) -> Pairs:
    """Split a query string or a form body; empty values are kept, they unset."""
    return parse_qsl(encoded, keep_blank_values=True)


def fingerprint(*parts: str, pairs: Pairs) -> str:
    """Digest of the canonical parameters, whatever order they were sent in."""
    canonical = "\n".join((*parts, urlencode(sorted(pairs))))
    return hashlib.sha256(canonical.encode()).hexdigest()


def nest(pairs: Pairs) -> Json:
    """Turn ``metadata[a]=b`` and ``expand[]=c`` into a dict and a list."""
    tree: Json = {}
    for name, value in pairs:
        keys = [outer or inner for outer, inner in _PARTS.findall(name)]
        node = tree
        for key in keys[:-1]:
            below = node.setdefault(key, {})
            if not isinstance(below, dict):
                raise errors.invalid(f"Invalid object: {name}", param=keys[0])
            node = below
        # `expand[]=a&expand[]=b`: the empty key means "the next place".
        node[(keys[-1] if keys else name) or str(len(node))] = value
    return {name: _as_list(name, value) for name, value in tree.items()}


def _as_list(name: str, value: Any) -> Any:
    """A dict keyed 0, 1, 2 is a list; metadata keys are the merchant's own words."""
    is_list = isinstance(value, dict) and name != "metadata" and value
    if is_list and all(key.isdigit() for key in value):
        return [value[key] for key in sorted(value, key=int)]
    return value


class Parameters:
    """One request's parameters, read by name and type."""

    def __init__(self, tree: Json) -> None:
        self._tree = tree

    def __contains__(self, name: str) -> bool:
        """Tell whether the parameter was sent, even empty."""
        return name in self._tree

    def allow(self, known: Collection[str], unsupported: Collection[str] = ()) -> None:
        """Refuse names the endpoint does not have, and those the sandbox cannot do."""
        for name in self._tree:
            if name in known:
                continue
            if name in unsupported:
                raise errors.not_in_sandbox(name)
            raise errors.unknown_parameter(name)

    def value(self, name: str) -> Any:
        """The raw tree under the name, or None; an empty string counts as None."""
        return self._tree.get(name) or None

    def text(self, name: str) -> str | None:
        """A string, or None when absent or empty."""
        value = self.value(name)
        if value is not None and not isinstance(value, str):
            raise errors.invalid(f"Invalid string: {value}", param=name)
        return value

    def choice(self, name: str, allowed: Collection[str]) -> str | None:
        """One of the allowed strings, or None."""
        value = self.text(name)
        if value is not None and value not in allowed:
            expected = ", ".join(sorted(allowed))
            message = f"Invalid {name}: must be one of {expected}"
            raise errors.invalid(message, param=name)
        return value

    def flag(self, name: str) -> bool:
        """A boolean, false when absent."""
        return self.choice(name, ("true", "false")) == "true"

    def whole(self, name: str) -> int | None:
        """An integer, or None."""
        value = self.text(name)
        if value is None:
            return None
        if not _INTEGER.fullmatch(value):
            raise errors.invalid(
                f"Invalid integer: {value}",
                code="parameter_invalid_integer",
                param=name,
            )
        return int(value)

    def amount(self, name: str, currency: str) -> int | None:
        """An amount in minor units that a card can be charged with, or None."""
        value = self.whole(name)
        if value is None:
            return None
        if value < 1:
            raise errors.invalid(
                "This value must be greater than or equal to 1.",
                code="parameter_invalid_integer",
                param=name,
            )
        least = money.MINIMUM.get(currency, money.DEFAULT_MINIMUM)
        if value < least:
            raise errors.invalid(
                f"Amount must be at least {money.format_money(least, currency)} "
                f"{currency}",
                code="amount_too_small",
                param=name,
            )
        if value > money.MAXIMUM:
            raise errors.invalid(
                "Amount must be no more than "
                f"{money.format_money(money.MAXIMUM, currency)}",
                code="amount_too_large",
                param=name,
            )
        return value

    def currency(self) -> str | None:
        """A supported three-letter code in lower case, or None."""
        value = self.text("currency")
        if value is not None and value.lower() not in money.SUPPORTED:
            known = ", ".join(sorted(money.SUPPORTED))
            message = f"Invalid currency: {value}. The sandbox takes: {known}"
            raise errors.invalid(message, param="currency")
        return value.lower() if value else None

    def metadata(self, current: Json | None = None) -> Json:
        """The metadata after this request: merged, empty values removed."""
        sent = self._tree.get("metadata")
        if sent == "":
            return {}
        if sent is None:
            return dict(current or {})
        if not isinstance(sent, dict):
            raise errors.invalid("Invalid object", param="metadata")
        for key, value in sent.items():
            _check_metadata(key, value)
        merged = {**(current or {}), **sent}
        kept = {key: value for key, value in merged.items() if value != ""}
        if len(kept) > _METADATA_KEYS:
            message = f"Metadata can have at most {_METADATA_KEYS} keys."
            raise errors.invalid(message, param="metadata")
        return kept

    def words(self, name: str) -> list[str]:
        """A list of strings, empty when absent."""
        value = self.value(name) or []
        if not isinstance(value, list):
            raise errors.invalid("Invalid array", param=name)
        return [str(item) for item in value]


def _check_metadata(key: str, value: Any) -> None:
    if not isinstance(value, str):
        raise errors.invalid(
            "Metadata values must be strings", param=f"metadata[{key}]"
        )
    if len(key) > _METADATA_KEY_LENGTH:
        message = f"Metadata keys can be at most {_METADATA_KEY_LENGTH} characters."
        raise errors.invalid(message, param="metadata")
    if len(value) > _METADATA_VALUE_LENGTH:
        message = (
            "Metadata values can have up to "
            f"{_METADATA_VALUE_LENGTH} characters, but you passed in a value that is "
            f"{len(value)} characters."
        )
        raise errors.invalid(message, param=f"metadata[{key}]")
