"""A client of a stream that reads each event as it comes; httpx waits for the end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.types import Message

from tests.api.doubles import BEARER, Shop

#: No event of these tests takes longer, also on a busy machine.
_PATIENCE_SECONDS = 20


@dataclass
class Follower:
    """One open stream.

    Attributes:
        status: HTTP status, once the answer has begun.
        headers: Its headers.
    """

    shop: Shop
    path: str
    sent_headers: dict[str, str]
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    _blocks: asyncio.Queue[str | None] = field(default_factory=asyncio.Queue)
    _has_left: asyncio.Event = field(default_factory=asyncio.Event)
    _rest: str = ""

    async def run(self) -> None:
        """Be the server's side of this connection, from request to end."""
        path, _, query = self.path.partition("?")
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "https",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [
                (name.lower().encode(), value.encode())
                for name, value in (BEARER | self.sent_headers).items()
            ],
            "client": ("127.0.0.1", 1),
            "server": ("shop.example", 443),
        }
        try:
            await self.shop.app(scope, self._receive, self._send)
        finally:
            self._blocks.put_nowait(None)

    async def block(self) -> str | None:
        """Wait for the next block of lines; None when the stream has ended."""
        async with asyncio.timeout(_PATIENCE_SECONDS):
            return await self._blocks.get()

    async def event(self) -> tuple[str, str, dict[str, Any]]:
        """Wait for the next event: its name, id and data. Comments are passed over."""
        while (block := await self.block()) is not None:
            if block.startswith((":", "retry:")):
                continue
            lines = dict(line.split(": ", 1) for line in block.split("\n"))
            data: dict[str, Any] = json.loads(lines["data"])
            return lines["event"], lines.get("id", ""), data
        msg = "the stream has ended"
        raise AssertionError(msg)

    async def rest(self) -> list[str]:
        """Wait for the end; return what still came."""
        blocks = []
        while (block := await self.block()) is not None:
            blocks.append(block)
        return blocks

    def leave(self) -> None:
        """Close the connection, as a closed browser does."""
        self._has_left.set()

    async def _receive(self) -> Message:
        await self._has_left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {n.decode(): v.decode() for n, v in message["headers"]}
            return
        self._rest += message.get("body", b"").decode()
        *blocks, self._rest = self._rest.split("\n\n")
        for block in blocks:
            self._blocks.put_nowait(block)


@asynccontextmanager
async def follow(shop: Shop, path: str, **headers: str) -> AsyncIterator[Follower]:
    """Open a stream and keep it open; leave it in the end."""
    follower = Follower(
        shop, path, {n.replace("_", "-"): value for n, value in headers.items()}
    )
    task = asyncio.create_task(follower.run())
    try:
        yield follower
    finally:
        follower.leave()
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await task
