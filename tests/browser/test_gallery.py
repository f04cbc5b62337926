"""`make gallery` as a person runs it, for two of its exhibits."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def _width(picture: Path) -> int:
    """Return the width that a PNG's header names."""
    head = picture.read_bytes()[:24]
    assert head.startswith(b"\x89PNG")
    (width,) = struct.unpack(">I", head[16:20])
    return int(width)


def test_a_page_and_a_mail_are_pictured_and_shown(tmp_path: Path) -> None:
    """Both widths, light and dark, and an index that leads to each; no stack runs."""
    finished = subprocess.run(
        [
            *(sys.executable, "-m", "gallery", "--out", str(tmp_path)),
            *("--only", "pages/unknown", "mails/refund-failed"),
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    pictures = {
        str(path.relative_to(tmp_path)): _width(path)
        for path in tmp_path.rglob("*.png")
    }
    index = (tmp_path / "index.html").read_text()

    assert finished.returncode == 0, finished.stderr
    assert pictures == {
        "pages/unknown-1280.png": 1280,
        "pages/unknown-1280-dark.png": 1280,
        "pages/unknown-390.png": 390,
        "pages/unknown-390-dark.png": 390,
        "mails/refund-failed-1280.png": 1280,
        "mails/refund-failed-390.png": 390,
    }
    assert all(f'src="{picture}"' in index for picture in pictures)
    assert "Anxious for not knowing, and tempted to try once more." in index
    assert "Your $249.00 came back to us" in index
