"""Addresses that a link may carry: one rule for what is kept, shown and mailed."""

from __future__ import annotations

from urllib.parse import urlsplit


def web_address(text: str | None) -> str | None:
    """Return an address that a link may carry; None for whatever is none.

    It names a host, by http or https, and holds no blank and no control character:
    `javascript:` and the like may run a script, and `https:///x` leads nowhere.
    """
    if not text or not text.isprintable() or " " in text:
        return None
    try:
        parts = urlsplit(text)
        # Reading the port checks it.
        is_web = parts.scheme in {"http", "https"} and parts.port != 0
    except ValueError:
        return None
    return text if is_web and parts.hostname else None
