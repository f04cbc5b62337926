"""Steering a running stack through a UNIX socket in its data folder.

One JSON object per line, one JSON line back when it has happened:

    {"status": true}        the stack's addresses and its children's pids
    {"stop": "postgres"}    stopped, and kept down ("signal": "SIGKILL" to be rough)
    {"start": "postgres"}   up and healthy again
    {"add_worker": true}    one more worker, healthy; "name" and "pid" tell which

A refusal answers {"error": "a sentence"}.
"""

import asyncio
import hashlib
import json
import socket
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from stack.errors import StackError
from stack.places import DataFolder

Answer = dict[str, Any]
Handler = Callable[[dict[str, Any]], Awaitable[Answer]]

#: The kernel's limit for a socket's path is 108 bytes on Linux, 104 on macOS.
_PATH_LIMIT_BYTES = 100


def socket_path(folder: DataFolder) -> Path:
    """The socket of this data folder; elsewhere when the folder's path is long."""
    path = folder.control_socket
    if len(str(path).encode()) <= _PATH_LIMIT_BYTES:
        return path
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"holdfast-{digest}.sock"


class ControlServer:
    """Answers the commands of one stack. The run lock makes it the only one."""

    def __init__(self, folder: DataFolder, handle: Handler) -> None:
        self._path = socket_path(folder)
        self._handle = handle
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen; a socket file left by a killed run is replaced."""
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, self._path)
        self._path.chmod(0o600)

    def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()
        self._path.unlink(missing_ok=True)

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with suppress(ConnectionError):
            while line := await reader.readline():
                writer.write(json.dumps(await self._answer(line)).encode() + b"\n")
                await writer.drain()
        writer.close()

    async def _answer(self, line: bytes) -> Answer:
        try:
            command = json.loads(line)
            if not isinstance(command, dict):
                raise StackError("A command is a JSON object.")
            return await self._handle(command)
        except (ValueError, StackError) as error:
            return {"error": str(error)}


class Control:
    """A client for tests and the demo; each call returns when it has happened."""

    def __init__(self, data: Path) -> None:
        self._path = socket_path(DataFolder(data.expanduser().resolve()))

    def status(self) -> Answer:
        """The addresses and pids, as in the ready line."""
        return self._ask({"status": True})

    def stop(self, name: str, *, signal: str | None = None) -> Answer:
        """Stop a child and keep it down."""
        return self._ask({"stop": name, "signal": signal})

    def start(self, name: str) -> Answer:
        """Start a stopped child; it is healthy on return."""
        return self._ask({"start": name})

    def add_worker(self) -> Answer:
        """Start one more worker; its name and pid are in the answer."""
        return self._ask({"add_worker": True})

    def _ask(self, command: dict[str, Any]) -> Answer:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(150)
            connection.connect(str(self._path))
            connection.sendall(json.dumps(command).encode() + b"\n")
            with connection.makefile() as replies:
                line = replies.readline()
        answer: Answer = json.loads(line) if line else {"error": "The stack has ended."}
        if "error" in answer:
            raise StackError(answer["error"])
        return answer
