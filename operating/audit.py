"""The audit of staff from the command line."""

from __future__ import annotations

import sys

from database.audit import Verdict, parse_link, verify
from operating.database import in_transaction


def check(database_url: str, noted: str | None) -> int:
    """Walk the chain; the exit code says whether it holds."""
    try:
        link = None if noted is None else parse_link(noted)
    except ValueError as error:
        sys.stderr.write(f"--noted is a row's number and hash, as 42:9f86…: {error}\n")
        return 2
    verdict = in_transaction(database_url, lambda connection: verify(connection, link))
    sys.stdout.write(_in_words(verdict) + "\n")
    return 1 if verdict.faults else 0


def _in_words(verdict: Verdict) -> str:
    if verdict.faults:
        return "\n".join(("The chain is broken.", *verdict.faults))
    if verdict.head is None:
        return "Nothing was done so far: the chain is empty."
    return (
        f"The chain holds: {verdict.rows} rows.\n"
        "Note the newest elsewhere, and give it to --noted next time:\n"
        f"  {verdict.head}"
    )
