"""The gallery shows everything: a state without an example is missed here."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from domain.customer_view import CATALOGUE, Page
from domain.emails import EmailKind
from gallery.__main__ import DOCS_PAGE, main
from gallery.camera import DARK, WIDTHS
from gallery.exhibits import exhibits
from gallery.holding import PLACES, holding_page
from gallery.sheets import TITLES, docs_page
from tests.specimens.pages import specimen_settings
from tests.unit.test_edge_files import CADDYFILE

_STATES = {exhibit.state for exhibit in exhibits()}


@pytest.mark.parametrize("page", Page)
def test_every_page_hangs_there(page: Page) -> None:
    """A page that somebody may see is one that we have looked at."""
    assert page in {CATALOGUE[state].page for state in _STATES & CATALOGUE.keys()}


@pytest.mark.parametrize("state", CATALOGUE)
def test_every_state_of_the_catalogue_hangs_there(state: str) -> None:
    """The moments of one page look different; each has its picture."""
    assert state in _STATES


@pytest.mark.parametrize("kind", EmailKind)
def test_every_kind_of_mail_hangs_there(kind: EmailKind) -> None:
    """A mail that can leave is one that we have looked at."""
    assert f"mail-{kind}" in _STATES


@pytest.mark.parametrize("place", PLACES)
def test_the_holding_page_is_filled_in_as_the_edge_does(place: str) -> None:
    """No placeholder is left, and one claim stands in each place."""
    html = holding_page(place, "/back?a&b", specimen_settings())

    assert html.startswith("<!doctype html>")
    assert "{{" not in html
    assert 'id="again" href="/back?a&amp;b"' in html
    assert len(re.findall("<h1>", html)) == 1
    assert len(re.findall("<title>", html)) == 1


def test_the_holding_page_hangs_there_for_each_place_the_edge_knows() -> None:
    """A place that is new in the Caddyfile needs a picture too."""
    assert set(re.findall(r"import holding (\w+) ", CADDYFILE)) == set(PLACES)


def test_each_exhibit_can_be_told_from_all_others() -> None:
    """No picture overwrites another, and each says for whom it is."""
    shown = exhibits()
    pictures = Counter(exhibit.picture(WIDTHS[0]) for exhibit in shown)

    assert set(pictures.values()) == {1}
    assert all(exhibit.feeling and exhibit.claim for exhibit in shown)
    assert list(dict.fromkeys(exhibit.family for exhibit in shown)) == list(TITLES)
    assert {f"{exhibit.family}/{exhibit.name}" for exhibit in shown} >= DARK


def test_the_docs_say_what_the_pages_say() -> None:
    """Whoever changes a claim or a state runs `make gallery ARGS=--docs`."""
    assert DOCS_PAGE.read_text() == docs_page(exhibits())


@pytest.mark.parametrize("width", WIDTHS)
def test_a_contact_sheet_is_light_enough_to_be_read_online(width: int) -> None:
    """Every clone of the repository carries it."""
    sheet = DOCS_PAGE.parent / "images" / f"contact-sheet-{width}.png"

    assert sheet.stat().st_size < 900_000


@pytest.mark.parametrize(
    "arguments",
    [["--only", "pages/nowhere"], ["--docs", "--only", "pages/unknown"]],
    ids=["unknown-name", "docs-of-a-few"],
)
def test_a_wish_that_cannot_be_met_is_refused(arguments: list[str]) -> None:
    """A gallery with a hole in it is not written without a word."""
    with pytest.raises(SystemExit) as refused:
        main(arguments)

    assert refused.value.code == 2
