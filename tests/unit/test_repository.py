"""What may never stand in the repository."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: Keys that open something real, by the shape that their makers give them.
SECRETS = {
    "a live key of the processor": r"\b[sr]k_live_[A-Za-z0-9]{16,}",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "a cloud access key": r"\bAKIA[0-9A-Z]{16}\b",
    "a token of a code host": r"\bgh[pousr]_[A-Za-z0-9]{30,}",
    "a password in an address": r"postgresql(\+psycopg)?://[a-z_]+:(?!\$)[^@\s:'\"{}]"
    r"{12,}@(?!127\.0\.0\.1|localhost)",
}


def _tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"],  # noqa: S607  # Whichever git the developer has.
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("this is not a checkout of the repository")
    names = listed.stdout.decode().split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("what", SECRETS)
def test_no_secret_is_in_the_repository(what: str) -> None:
    """No file that is tracked holds a key that opens something real."""
    pattern = re.compile(SECRETS[what])
    found = [
        path.relative_to(ROOT).as_posix()
        for path in _tracked()
        if path != Path(__file__)
        and pattern.search(path.read_text(encoding="utf-8", errors="ignore"))
    ]

    assert found == []


@pytest.mark.parametrize(
    ("what", "planted"),
    [
        ("a live key of the processor", "sk_" + "live_" + "a1" * 12),
        ("a private key", "-----BEGIN RSA " + "PRIVATE KEY-----"),
        ("a cloud access key", "AKIA" + "A1B2" * 4),
        ("a token of a code host", "ghp_" + "a1" * 18),
        ("a password in an address", "postgresql://app:" + "p4" * 8 + "@db.internal/x"),
    ],
)
def test_the_scan_sees_what_it_looks_for(what: str, planted: str) -> None:
    """A planted secret of each kind is noticed."""
    assert re.search(SECRETS[what], f"key = {planted}")
