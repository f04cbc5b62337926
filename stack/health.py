"""Asking a child whether it does its work. None of these raises."""

import asyncio

import psycopg

from stack.postgres import Cluster, ensure_roles

#: Short: the question is asked again at once.
_LIMIT_SECONDS = 2.0

_HEADERS = "Host: 127.0.0.1\r\nConnection: close\r\n"
_OK = b"HTTP/1.1 200 "


async def takes_work(metrics_port: int) -> bool:
    """Whether a worker asks Temporal for tasks.

    Its metrics port opens more than a second before that, so a listening port says
    nothing; the SDK's own count of pollers does.
    """
    answer = await _get(metrics_port, "/metrics")
    return answer.startswith(_OK) and b"temporal_num_pollers" in answer


async def answers_ok(port: int, path: str) -> bool:
    """Whether a GET is answered with 200."""
    return (await _get(port, path)).startswith(_OK)


async def is_listening(port: int) -> bool:
    """Whether a connection is taken."""
    try:
        async with asyncio.timeout(_LIMIT_SECONDS):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


async def _get(port: int, path: str) -> bytes:
    """The answer as it came; empty when there is none.

    By hand, because this is asked often while the machine is busiest: an HTTP client
    that prepares for TLS would take the processor time of the very start it waits for.
    """
    try:
        async with asyncio.timeout(_LIMIT_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(f"GET {path} HTTP/1.1\r\n{_HEADERS}\r\n".encode())
                return await reader.read()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return b""


async def database_is_usable(cluster: Cluster) -> bool:
    """Whether sessions open and the roles exist; makes them on the first start."""
    try:
        await asyncio.to_thread(ensure_roles, cluster)
    except psycopg.Error:
        return False
    return True
