"""The server: the applications behind one port, and how it starts and stops."""

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import AsyncIterator, Generator
from http import HTTPStatus
from pathlib import Path
from typing import Any, cast

import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from uvicorn.protocols.http.h11_impl import H11Protocol

from sandbox.processor import control
from sandbox.processor.api import Api, Receive, Scope, Send
from sandbox.processor.clock import Clock
from sandbox.processor.control import Control
from sandbox.processor.errors import ApiError
from sandbox.processor.faults import Faults
from sandbox.processor.idempotency import Keys
from sandbox.processor.pages import Pages
from sandbox.processor.storage import Storage
from sandbox.processor.switches import Switches
from sandbox.processor.timers import Timers
from sandbox.processor.webhooks import Webhooks
from sandbox.processor.work import Options, World

_GRACE_SECONDS = 1
_KEEP_ALIVE_SECONDS = 75
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class DroppableProtocol(H11Protocol):
    """HTTP/1.1 that hands each request its transport.

    ASGI has no way to end a connection without an answer, which is what a lost reply
    is. The server's state is copied into every request's scope, so it travels there.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Remember the transport where the application finds it."""
        self.app_state = {**self.app_state, "transport": transport}
        super().connection_made(transport)


class Processor:
    """The whole application: Stripe's API, the control API and the pages."""

    def __init__(self, options: Options, data: Path) -> None:
        storage = Storage(data)
        self.world = World(
            options=options,
            storage=storage,
            clock=Clock(storage),
            switches=Switches(storage),
        )
        self.faults = Faults(storage)
        self._keys = Keys(self.world)
        self._webhooks = Webhooks(self.world)
        self._timers = Timers(self.world, self._webhooks.wake)
        self._api = Api(self.world, self.faults, self._keys, self._on_change)
        self._site = self._make_site()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send Stripe's paths to the API and everything else to the site."""
        if scope["type"] == "http" and scope["path"].startswith("/v1/"):
            await self._api(scope, receive, send)
        elif _is_cross_site_change(scope):
            refusal = PlainTextResponse("Not from another site.", HTTPStatus.FORBIDDEN)
            await refusal(scope, receive, send)
        else:
            await self._site(scope, receive, send)

    def _on_change(self) -> None:
        self._timers.wake()
        self._webhooks.wake()

    def _make_site(self) -> Starlette:
        parts: dict[str, Any] = {
            "faults": self.faults,
            "keys": self._keys,
            "timers": self._timers,
            "webhooks": self._webhooks,
        }
        controls = Control(self.world, **parts)
        pages = Pages(self.world, **parts)
        return Starlette(
            routes=[*controls.routes(), *pages.routes()],
            exception_handlers={
                ValueError: control.explain,
                ApiError: control.explain,
            },
            lifespan=self._lifespan,
        )

    @contextlib.asynccontextmanager
    async def _lifespan(self, _site: Starlette) -> AsyncIterator[None]:
        self._keys.prune()
        running = asyncio.create_task(
            control.run_for_ever(self._timers, self._webhooks)
        )
        try:
            yield
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            self.world.storage.close()


class Server(uvicorn.Server):
    """Uvicorn that lets held requests go when it is told to stop, and ends with 0."""

    def __init__(self, config: uvicorn.Config, processor: Processor) -> None:
        super().__init__(config)
        self._processor = processor

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Stop on the first signal; uvicorn's own would raise it again at the end."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._stop)
        try:
            yield
        finally:
            for number in _SIGNALS:
                loop.remove_signal_handler(number)

    def _stop(self) -> None:
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen and say so in one line, which supervisors wait for."""
        await super().startup(sockets)
        if self.started:
            url = self._processor.world.options.public_url
            sys.stdout.write(f"sandbox processor ready on {url}\n")
            sys.stdout.flush()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End held requests and long polls first: nobody is left to release them."""
        await self._processor.faults.stop()
        await super().shutdown(sockets)


def _is_cross_site_change(scope: Scope) -> bool:
    """Tell whether another site's page asks a browser here to change something."""
    if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
        return False
    return (b"sec-fetch-site", b"cross-site") in scope["headers"]


def listen(host: str, port: int) -> socket.socket:
    """Take the port, or raise OSError.

    The protocol is named on purpose: asyncio turns Nagle's algorithm off only for
    sockets that name it, and every reply would be 40 ms late.
    """
    (family, kind, protocol, _, address), *_ = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
    )
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener


def serve(options: Options, *, data: Path, listener: socket.socket) -> None:
    """Serve on a bound socket until SIGTERM or SIGINT."""
    processor = Processor(options, data)
    config = uvicorn.Config(
        cast(Any, processor),
        http=DroppableProtocol,
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        ws="none",
    )
    Server(config, processor).run(sockets=[listener])
