"""What guards every request, whichever route it is for: origin, size, headers.

Pure ASGI, from the outside in: `SecurityHeaders` (so that errors carry them too),
`api.failures.LastResort`, `BodyLimit`, `OwnPagesOnly`.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import webhooks

#: Pages load our own files and nothing else; the pay page adds Stripe.js when it is on.
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; "
    "base-uri 'none'; object-src 'none'"
)

_HEADERS = {
    "content-security-policy": CONTENT_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), usb=()",
    "cache-control": "no-store",
}

#: A year, and for every host below; asked for by browsers' preload lists too.
_HSTS = "max-age=31536000; includeSubDomains"

#: Where the address itself is a secret: it must not travel in a `Referer`.
SECRET_PATHS = ("/c/", "/account/sign-in/", "/support/setup/")

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})

#: No form of ours comes near it.
MOST_BODY_BYTES = 64 * 1024
#: An event carries a whole object of the processor's.
MOST_WEBHOOK_BYTES = 256 * 1024
#: Where mail comes back to, and how much of one is read.
MAIL_PATH = "/v1/mail"
MOST_MAIL_BYTES = 256 * 1024

_MOST_BYTES = {webhooks.PATH: MOST_WEBHOOK_BYTES, MAIL_PATH: MOST_MAIL_BYTES}


class ForeignForm(Exception):
    """An unsafe request that no page of ours sent."""


class BodyTooLarge(HTTPException):
    """More bytes than are read. An `HTTPException`, so that form parsers let it by.

    Attributes:
        most: How many bytes are read at this address.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        # The rest is on its way; only a closed connection spares us from reading it.
        super().__init__(413, headers={"connection": "close"})


class SecurityHeaders:
    """Puts the headers on every response; a route's own choice goes first."""

    def __init__(self, app: ASGIApp, *, is_https: bool) -> None:
        self._app = app
        self._is_https = is_https

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and add the headers to its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._add(MutableHeaders(scope=message), scope["path"])
            await send(message)

        await self._app(scope, receive, send_with_headers)

    def _add(self, headers: MutableHeaders, path: str) -> None:
        for name, value in _HEADERS.items():
            headers.setdefault(name, value)
        is_secret = path.startswith(SECRET_PATHS)
        headers.setdefault(
            "referrer-policy", "no-referrer" if is_secret else "same-origin"
        )
        if self._is_https:
            headers.setdefault("strict-transport-security", _HSTS)


class BodyLimit:
    """Refuses long bodies, said to be long or turning out to be."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and count its body as it is read."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = _MOST_BYTES.get(scope["path"], MOST_BODY_BYTES)
        said = Headers(scope=scope).get("content-length", "0")
        if not said.isascii() or not said.isdecimal() or int(said[:20]) > most:
            raise BodyTooLarge(most)
        read = 0

        async def receive_and_count() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > most:
                raise BodyTooLarge(most)
            return message

        await self._app(scope, receive_and_count, send)


class OwnPagesOnly:
    """Lets unsafe requests through only from our own pages; there is no token to steal.

    Browsers say where a request comes from, and pages cannot change what they say:
    `Sec-Fetch-Site`, and in older ones `Origin` or `Referer`.
    """

    def __init__(self, app: ASGIApp, *, public_url: str) -> None:
        self._app = app
        self._origin = _origin_of(public_url)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on if a page of ours can have sent it."""
        if scope["type"] == "http" and not self._may_pass(scope):
            raise ForeignForm
        await self._app(scope, receive, send)

    def _may_pass(self, scope: Scope) -> bool:
        if scope["method"] in _SAFE_METHODS:
            return True
        if is_v1(scope["path"]) or scope["path"] == webhooks.PATH:
            return True  # They carry a key or a signature, and no cookie.
        headers = Headers(scope=scope)
        site = headers.get("sec-fetch-site")
        if site is not None:
            return site in {"same-origin", "none"}
        origin = headers.get("origin")
        if origin == "null":
            # What a browser without `Sec-Fetch-Site` sends from our own pages that
            # allow no `Referer`. Their addresses are secrets, so whoever could forge
            # this form knows one, and needs no forgery.
            return str(scope["path"]).startswith(SECRET_PATHS)
        return _origin_of(origin or headers.get("referer", "")) == self._origin


def is_v1(path: str) -> bool:
    """Whether a path belongs to `/v1`, whose callers are programs with a key."""
    return path == "/v1" or path.startswith("/v1/")


def _origin_of(address: str) -> tuple[str, str] | None:
    """Return scheme and host with port; None for what is no web address."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return None
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        return None
    return parts.scheme, parts.netloc.lower()
