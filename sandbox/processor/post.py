"""A small HTTP client for one address: posts a body and learns the status.

A general client costs ten times the processor time, and every payment causes three
events; benchmarks share two cores with this server.
"""

import asyncio
import ssl
from urllib.parse import urlsplit

_Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
_LONGEST_BODY = 65_536  # A receiver's reply is not read past this.


class BadReply(Exception):
    """The receiver's answer is not HTTP, or the connection ended before it."""


class Poster:
    """Posts to one address over connections that are kept open."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        is_secure = parts.scheme == "https"
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if is_secure else 80)
        self._ssl = ssl.create_default_context() if is_secure else None
        query = f"?{parts.query}" if parts.query else ""
        self._target = f"{parts.path or '/'}{query}"
        self._authority = parts.netloc.rpartition("@")[2]
        self._idle: list[_Connection] = []

    async def post(self, payload: bytes, headers: dict[str, str]) -> int:
        """Send the body; returns the status.

        Raises:
            OSError: The receiver could not be reached, or the connection broke.
            BadReply: It did not answer in HTTP.
        """
        message = self._head(headers, len(payload)) + payload
        while self._idle:
            try:
                return await self._exchange(self._idle.pop(), message)
            except (OSError, BadReply):
                continue  # It had been closed while idle; a fresh one will tell.
        fresh = await asyncio.open_connection(self._host, self._port, ssl=self._ssl)
        return await self._exchange(fresh, message)

    def close(self) -> None:
        """Close the connections that are kept open."""
        for _, writer in self._idle:
            writer.close()
        self._idle.clear()

    def _head(self, headers: dict[str, str], length: int) -> bytes:
        lines = [f"POST {self._target} HTTP/1.1", f"Host: {self._authority}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        lines += [f"Content-Length: {length}", "", ""]
        return "\r\n".join(lines).encode("latin-1")

    async def _exchange(self, connection: _Connection, message: bytes) -> int:
        reader, writer = connection
        is_reusable = False
        try:
            writer.write(message)
            await writer.drain()
            status, is_reusable = await _read_reply(reader)
            return status
        finally:
            if is_reusable:
                self._idle.append(connection)
            else:
                writer.close()


async def _read_reply(reader: asyncio.StreamReader) -> tuple[int, bool]:
    """The status, and whether the connection can carry another request."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise BadReply("the connection ended before an answer") from error
    first, *lines = head.split("\r\n")
    fields = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(":") for line in lines)
    }
    protocol, _, rest = first.partition(" ")
    if not protocol.startswith("HTTP/1.") or not rest[:3].isdigit():
        raise BadReply("the answer is not HTTP/1.1")
    length = fields.get("content-length", "")
    is_short = length.isdigit() and int(length) <= _LONGEST_BODY
    is_kept = protocol == "HTTP/1.1" and fields.get("connection", "").lower() != "close"
    if not (is_short and is_kept):
        return int(rest[:3]), False
    try:
        await reader.readexactly(int(length))
    except asyncio.IncompleteReadError:
        return int(rest[:3]), False
    return int(rest[:3]), True
