"""Running one of the sandbox's small web servers until a signal ends it."""

import asyncio
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp

#: Long polls end by themselves (see ``faults.Changes``); nothing else lasts.
_GRACE_SECONDS = 1


def serve(
    make: Callable[[Callable[[], bool]], ASGIApp], *, host: str, port: int
) -> None:
    """Serve the application that ``make`` builds.

    Args:
        make: gets a function that tells whether the server was asked to stop.
        host: address to listen on.
        port: port to listen on.
    """
    asyncio.run(_serve(make, host, port))


async def _serve(
    make: Callable[[Callable[[], bool]], ASGIApp], host: str, port: int
) -> None:
    stopping: list[uvicorn.Server] = []
    app = make(lambda: any(server.should_exit for server in stopping))
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host=host,
            port=port,
            http="h11",
            ws="none",
            access_log=False,
            log_level="warning",
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
    )
    stopping.append(server)
    await server.serve()
