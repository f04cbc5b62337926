"""The lint over everything that a page can say: states, notices, templates, scripts."""

from __future__ import annotations

import re
from html import unescape
from itertools import product
from pathlib import Path

import pytest

from domain.customer_view import CustomerFacts, customer_view
from domain.states import AccessState, DeclineClass, MoneyState, NotChargedReason
from tests.specimens.pages import NOW, PRICE, SPECIMENS, Specimen, specimen_settings
from tests.unit.page_words import (
    LEAST_EASE,
    faults_of,
    reading_ease,
    sentences_of,
)

API = Path(__file__).parents[2] / "api"


def said_by(html: str) -> str:
    """Return what stands in a page's main part, a sentence for each element."""
    main = re.search(r"<main.*?</main>", html, re.DOTALL)
    assert main is not None
    # What ends an element ends a thought, and a label is not a part of a sentence.
    text = re.sub(r"</(?:h1|h2|p|li|dt|dd|label|button|a|option|div)>", "\n", main[0])
    lines = unescape(re.sub(r"<[^>]+>", " ", text)).splitlines()
    spoken = (re.sub(r"\s+", " ", line).strip() for line in lines)
    return "\n".join(line for line in spoken if line)


@pytest.mark.parametrize("money", MoneyState)
def test_every_state_says_it_as_a_person_would(money: MoneyState) -> None:
    """No state, access, reason or decline has a banned word or a long sentence."""
    for access, reason, decline, hours in product(
        AccessState, [None, *NotChargedReason], [None, *DeclineClass], (0, 1, 30)
    ):
        view = customer_view(
            CustomerFacts(
                money=money,
                access=access,
                price=PRICE,
                plan_name="Acme one-year plan",
                now=NOW,
                reason=reason,
                decline=decline,
                pay_requested_at=NOW.replace(hour=3) if hours else NOW,
                charged_at=NOW.replace(hour=3) if hours else NOW,
                email_masked="m•••@example.com",
            )
        )
        for words in (view.title, view.headline, *view.sentences):
            assert faults_of(words) == []
        told = " ".join((view.headline, *view.sentences))
        assert reading_ease(told) >= LEAST_EASE, f"{view.state}: {told}"


@pytest.mark.parametrize("specimen", SPECIMENS, ids=lambda specimen: specimen.name)
def test_every_page_keeps_the_rules_for_words(specimen: Specimen) -> None:
    """The whole page, forms and hints included, is short, plain and free of alarm."""
    html = specimen.render(specimen_settings())

    lines = said_by(html).splitlines()
    assert [fault for line in lines for fault in faults_of(line)] == []
    prose = " ".join(line for line in lines if line.endswith((".", "?")))
    assert reading_ease(prose) >= LEAST_EASE, prose
    title = re.search(r"<title>(.*?)</title>", html)
    assert title is not None
    assert faults_of(unescape(title[1])) == []


def test_every_state_has_a_title_of_its_own() -> None:
    """Among many tabs, the beginning of the title tells what happened."""
    titles: dict[str, set[str]] = {}
    for specimen in SPECIMENS:
        html = specimen.render(specimen_settings())
        heading = re.search(r"<h1[^>]*>(.*?)</h1>", html, re.DOTALL)
        title = re.search(r"<title>(.*?)</title>", html)
        assert title is not None
        assert heading is not None
        titles.setdefault(title[1], set()).add(heading[1])

    assert {
        title: headings
        for title, headings in titles.items()
        # A title may leave out times and dates; it may not stand for two states.
        if len({re.sub(r"\d", "", heading) for heading in headings}) > 1
    } == {}


@pytest.mark.parametrize("path", sorted((API / "static").glob("*.js")), ids=str)
def test_what_scripts_say_keeps_the_rules_too(path: Path) -> None:
    """A sentence that a script shows is a sentence that a customer reads."""
    text = re.sub(r"//.*", "", path.read_text())
    for words in re.findall(r'"([A-Z][^"]+ [^"]+)"', text):
        assert faults_of(words) == [], words


@pytest.mark.parametrize(
    "words",
    [
        "Oops.",
        "Something went wrong.",
        "We are sorry for any inconvenience.",
        "Please try again later.",
        "You're in!",
        "A webhook was late.",
        "word " * 21,
    ],
)
def test_the_lint_sees_what_it_looks_for(words: str) -> None:
    """Each kind of fault, planted, is found."""
    assert faults_of(words)


def test_reading_ease_tells_plain_words_from_others() -> None:
    """The measure knows a customer's sentence from a lawyer's."""
    plain = "We received your $249.00. You do not need to pay again."
    heavy = (
        "Notwithstanding confirmation of authorisation, provisioning of entitlements "
        "necessitates additional reconciliation procedures."
    )

    assert reading_ease(plain) > 80
    assert reading_ease(heavy) < 0
    assert sentences_of(plain) == [
        "We received your $249.00.",
        "You do not need to pay again.",
    ]
