"""The pages that show the pictures: the gallery's index, and what the docs hold."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from gallery.camera import WIDTHS
from gallery.exhibits import Exhibit

#: How the families are called, in the order of `exhibits`.
TITLES = {
    "pages": "Pages",
    "account": "The account",
    "edge": "When the server is dead",
    "mails": "Mails",
}

#: By width of the pages: columns, and width and height of a tile of the contact sheet.
TILES = {1280: (8, 300, 234), 390: (13, 150, 290)}
_GAP = 16
#: Of each colour. Fewer of them, at the edges of letters, make the file much smaller.
_SHADES = 24

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def one_of_each(shown: Iterable[Exhibit]) -> tuple[Exhibit, ...]:
    """Return the first exhibit of each state."""
    first: dict[str, Exhibit] = {}
    for exhibit in shown:
        first.setdefault(exhibit.state, exhibit)
    return tuple(first.values())


def index_page(shown: Iterable[Exhibit], out: Path) -> str:
    """Return the page that shows all pictures that are in a folder."""
    return _TEMPLATES.get_template("index.html").render(
        families=_families(shown), widths=WIDTHS, titles=TITLES, out=out
    )


def sheet_page(shown: Iterable[Exhibit], width: int) -> str:
    """Return the contact sheet of a width, to be photographed at `sheet_width`."""
    columns, tile, height = TILES[width]
    shades = " ".join(f"{(step + 0.5) / _SHADES:.3f}" for step in range(_SHADES))
    return _TEMPLATES.get_template("sheet.html").render(
        families=_families(one_of_each(shown)),
        titles=TITLES,
        width=width,
        columns=columns,
        tile=tile,
        height=height,
        gap=_GAP,
        shades=shades,
    )


def sheet_width(width: int) -> int:
    """Return how wide the contact sheet for pages of a width is."""
    columns, tile, _ = TILES[width]
    return columns * tile + (columns + 1) * _GAP


def docs_page(shown: Iterable[Exhibit]) -> str:
    """Return the page of the docs, in Markdown: the sheets, and a line per state."""
    lines = [
        "# Every state a customer can see",
        "",
        "What the person feels, and what we say first in answer. "
        "`make gallery ARGS=--docs` writes this page",
        "and its pictures; `make gallery` alone writes every variant in full size "
        "into `.holdfast/gallery`.",
        "",
        *(f"![Every state at {w} px](images/contact-sheet-{w}.png)\n" for w in WIDTHS),
    ]
    for family, members in _families(one_of_each(shown)):
        lines += [f"## {TITLES[family]}", ""]
        lines += ["| State | They feel | We say |", "|---|---|---|"]
        lines += [f"| {e.name} | {e.feeling} | {_said(e)} |" for e in members] + [""]
    return "\n".join(lines)


def _said(exhibit: Exhibit) -> str:
    if not exhibit.subject or exhibit.subject == exhibit.claim.rstrip("."):
        return exhibit.claim
    return f"*{exhibit.subject}*: {exhibit.claim}"


def _families(shown: Iterable[Exhibit]) -> list[tuple[str, list[Exhibit]]]:
    grouped = groupby(shown, key=lambda exhibit: exhibit.family)
    return [(family, list(members)) for family, members in grouped]
