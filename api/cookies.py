"""Our cookies: one way to set and to read them, so that all are guarded alike."""

from __future__ import annotations

from typing import Literal

from starlette.requests import HTTPConnection
from starlette.responses import Response

from domain.addresses import is_token
from settings import Settings


def read_cookie(
    request: HTTPConnection, settings: Settings, purpose: str
) -> str | None:
    """Return a cookie's value; None for none and for what we cannot have set."""
    value = request.cookies.get(_name(settings, purpose), "")
    return value if is_token(value) else None


def set_cookie(
    response: Response,
    settings: Settings,
    purpose: str,
    value: str,
    seconds: int,
    *,
    samesite: Literal["lax", "strict"] = "lax",
) -> None:
    """Have the browser keep a value that no script and no other site can read.

    Args:
        response: Carries it.
        settings: Say under which address we are reached.
        purpose: A part of its name.
        value: 43 characters of URL-safe base64.
        seconds: How long it is kept; 0 takes it away.
        samesite: `strict` is not even sent when a link elsewhere leads here.
    """
    response.set_cookie(
        _name(settings, purpose),
        value,
        max_age=seconds,
        path="/",
        secure=_is_https(settings),
        httponly=True,
        samesite=samesite,
    )


def _name(settings: Settings, purpose: str) -> str:
    """`__Host-` cookies cannot be set by another host or over plain HTTP."""
    name = f"holdfast-{purpose}"
    return f"__Host-{name}" if _is_https(settings) else name


def _is_https(settings: Settings) -> bool:
    return settings.public_url.startswith("https://")
