"""The edge's holding page, with its placeholders filled as Caddy fills them."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path

from settings import Settings

_PAGE = Path(__file__).parents[1] / "deploy" / "holding.html"

#: What the `Caddyfile` calls the places where the server may be dead.
PLACES = ("checkout", "opening", "shop", "account", "elsewhere")

_ACTION = re.compile(r"(\s*\{\{-.*?\}\}|\{\{.*?\}\})", re.DOTALL)
_CASE = re.compile(r'eq \$place "(\w+)"')


def holding_page(place: str, back: str, settings: Settings) -> str:
    """Return the page for a place, with a link back.

    Of Go's templates it knows as much as that page needs.

    Args:
        place: One of `PLACES`.
        back: Where the page that should be here is.
        settings: The company's names.
    """
    values = {
        "$back": back,
        "$company": settings.company_name,
        "$support": settings.support_email,
        "$hours": settings.support_hours,
        'placeholder "http.error.id" | html': "h7tq2m9xk",
    }
    written: list[str] = []
    # For every open `if`: whether this branch is written, and whether one was before.
    branches: list[tuple[bool, bool]] = []
    for part in _ACTION.split(_PAGE.read_text()):
        if not part.lstrip().startswith("{{"):
            if all(is_open for is_open, _ in branches):
                written.append(part)
            continue
        action = part.strip().strip("{}").strip("- \n")
        _branch(action, place, branches)
        if action in values and all(is_open for is_open, _ in branches):
            written.append(escape(values[action]))
    return "".join(written).lstrip()


def _branch(action: str, place: str, branches: list[tuple[bool, bool]]) -> None:
    """Go into a branch, to the next one, or out of it; other actions do nothing."""
    if action == "end":
        branches.pop()
    elif action.startswith("if "):
        is_open = place in _CASE.findall(action)
        branches.append((is_open, is_open))
    elif action.startswith("else"):
        _, was_open = branches.pop()
        fits = action == "else" or place in _CASE.findall(action)
        branches.append((fits and not was_open, fits or was_open))
