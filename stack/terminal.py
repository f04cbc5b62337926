"""What a person, or a program, sees of a running stack."""

import asyncio
import json
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

_NO_UI = "on PostgreSQL, without its UI; the dev server has one (--temporal dev)"


class Terminal:
    """Lines for people on one stream, JSON for programs on stdout.

    With ``as_json`` stdout carries one JSON object per line and nothing else; the
    human lines go to stderr.
    """

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json

    def say(self, line: str) -> None:
        """One line for a person, with the time it happened."""
        stream = sys.stderr if self._as_json else sys.stdout
        self._print(f"{time.strftime('%H:%M:%S')}  {line}", stream)

    def progress(self, line: str) -> None:
        """One line about work that may take minutes; programs hear that it goes on."""
        self.say(line)
        self.event("progress", {"line": line, "children": {}})

    @staticmethod
    def _print(text: str, stream: TextIO) -> None:
        # Whoever read us may be gone; the children must be kept up all the same.
        with suppress(OSError):
            print(text, file=stream, flush=True)

    def event(self, name: str, content: dict[str, Any]) -> None:
        """One event for a program; nothing without ``--json``."""
        if self._as_json:
            self._print(json.dumps({"event": name, **content}), sys.stdout)

    def welcome(self, addresses: dict[str, Any], seconds: float) -> None:
        """Where everything is, and what to try."""
        self.say(f"Holdfast is ready after {seconds:.1f} s.")
        if self._as_json:
            return
        self._print(
            f"""
  Shop               {addresses["shop"]}
  Mailbox            {addresses["mailbox"]}
  Acme, the product  {addresses["application"]}
  Temporal           {addresses["temporal_ui"] or _NO_UI}
  Payment processor  {addresses["processor"]}
  API key            {addresses["api_key"]}
  Data and logs      {addresses["data"]}

  Try this: buy the one-year plan in the shop. While it pays, pull the plug:
  kill -9 {addresses["children"].get("worker")}. It finishes all the same, and the
  receipt is in the mailbox. Ctrl-C stops everything.
""",
            sys.stdout,
        )


class Tail:
    """What a child writes to its log from now on, line by line."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._position = log.stat().st_size if log.exists() else 0
        self._rest = b""

    def fresh_lines(self) -> list[str]:
        """The whole lines written since the last call."""
        if not self._log.exists():
            return []
        with self._log.open("rb") as file:
            file.seek(self._position)
            fresh = file.read()
        self._position += len(fresh)
        *lines, self._rest = (self._rest + fresh).split(b"\n")
        return [line.decode(errors="replace") for line in lines]


async def follow(tail: Tail, name: str, terminal: Terminal) -> None:
    """Repeat a child's log on the terminal, for ever."""
    while True:
        for line in tail.fresh_lines():
            terminal.say(f"{name:12} | {line}")
        await asyncio.sleep(0.2)
