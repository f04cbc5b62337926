"""The how-to of the on-call desk: its lines can be used as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from domain import due
from domain.rota import People, parse_channels, who_would_hear
from settings import Settings

HOWTO = Path(__file__).parents[2] / "docs" / "howto" / "on-call.md"
TEXT = HOWTO.read_text()
LINES = dict(re.findall(r"^ *HOLDFAST_ON_CALL_([A-Z]+)=(.+)$", TEXT, re.MULTILINE))


def test_the_lines_of_the_howto_are_understood() -> None:
    """Who copies them has a desk in which everybody can be reached."""
    people = People.parse(LINES["HOURS"], LINES["ROTA"], LINES["HOLIDAYS"])
    channels = parse_channels(LINES["CHANNELS"])

    assert people.names == ("Dana", "Eli")
    assert who_would_hear(people, channels) is None


def test_the_howto_names_real_settings() -> None:
    """A misspelt name would silently be a default."""
    named = set(re.findall(r"HOLDFAST_[A-Z_]+", TEXT))

    assert named <= {f"HOLDFAST_{name.upper()}" for name in Settings.model_fields}


@pytest.mark.parametrize(
    ("sentence", "minutes"),
    [
        ("After 5 minutes the second person is paged", due.SECOND_AFTER),
        ("After 15 minutes checkout pauses by itself", due.PAUSE_AFTER),
        ("end by themselves after 15 quiet minutes", due.RESOLVE_AFTER),
        ("still lasts 15 minutes after a `resolve` is told again", due.RAISE_AFTER),
    ],
)
def test_the_howto_promises_what_the_desk_does(sentence: str, minutes: object) -> None:
    """The numbers that people rely on are those of the code."""
    (number,) = re.findall(r"\d+", sentence)

    assert sentence in TEXT
    assert str(minutes) == f"0:{int(number):02d}:00"
