"""The holding page as a file: small, alone, and known to its own content policy."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import pytest

from api import notices
from api.security import CONTENT_POLICY
from settings import Settings
from stack.caddy import VERSION

REPOSITORY = Path(__file__).parents[2]
CADDYFILE = (REPOSITORY / "deploy" / "Caddyfile").read_text()
PAGE = (REPOSITORY / "deploy" / "holding.html").read_text()
STYLE = (REPOSITORY / "api" / "static" / "style.css").read_text()

#: What one answer's first packets hold.
MOST_BYTES = 14 * 1024

BANNED = (
    "oops", "went wrong", "inconvenience", "unfortunately", "try again", "technical",
    "error", "sorry", "!", "gateway",
)  # fmt: skip


def _policy() -> dict[str, str]:
    (policy,) = re.findall(
        r'Content-Security-Policy "(default[^"]+sha256[^"]+)"', CADDYFILE
    )
    return dict(part.strip().split(" ", 1) for part in policy.split(";"))


def _inside(tag: str) -> str:
    (body,) = re.findall(rf"<{tag}>(.*?)</{tag}>", PAGE, re.DOTALL)
    return str(body)


def _words() -> str:
    told = re.sub(
        r"<style>.*?</style>|<script>.*?</script>|\{\{.*?\}\}",
        "",
        PAGE,
        flags=re.DOTALL,
    )
    return re.sub(r"<[^>]*>", " ", told).lower()


@pytest.mark.parametrize("tag", ["script", "style"])
def test_the_policy_allows_the_pages_own_and_nothing_else(tag: str) -> None:
    """One style, one script, each by the hash of what stands in the page."""
    body = _inside(tag)
    digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()

    assert "{{" not in body
    assert _policy()[f"{tag}-src"] == f"'sha256-{digest}'"
    assert not re.search(r"\s(style|on[a-z]+)=", PAGE)


def test_the_policy_is_no_wider_than_the_apis() -> None:
    """Beside the hashes it is the API's own policy, or less."""
    known = dict(part.strip().split(" ", 1) for part in CONTENT_POLICY.split(";"))
    ours = _policy()

    assert set(ours) == set(known)
    for name in set(ours) - {"script-src", "style-src"}:
        assert ours[name] in {known[name], "'none'", "data:"}


def test_the_page_needs_nothing_but_itself() -> None:
    """Small, without a file from anywhere, and it does not reload by itself."""
    assert len(PAGE.encode()) < MOST_BYTES
    assert not re.search(r"\bsrc=|@import|url\(|http-equiv", PAGE)
    assert re.findall(r'<link rel="(\w+)" href="data:', PAGE) == ["icon"]
    assert PAGE.count("<link ") == 1


def test_the_words_are_those_of_the_api() -> None:
    """The dead server's page and the living one's say the same."""
    known = (notices.holding(None), notices.NOT_STARTED, notices.ORDERS_HIDDEN)
    for notice in known:
        assert f"<h1>{notice.headline}</h1>" in PAGE
        assert f"<title>{notice.headline.removesuffix('.')} · " in PAGE
    for sentence in (*known[0].sentences, *known[2].sentences):
        assert f"<p>{sentence}</p>" in PAGE
    for sentence in known[1].sentences:
        assert sentence in PAGE


@pytest.mark.parametrize("phrase", BANNED)
def test_no_banned_phrase_is_on_the_page(phrase: str) -> None:
    """It neither jokes nor blames, and sends nobody away to pay once more."""
    assert phrase not in _words()


def test_the_colours_are_those_of_the_shop() -> None:
    """Light and dark are taken from the shop's own style."""
    ours = re.findall(r"(--[a-z-]+): (#[0-9a-f]{6});", _inside("style"))
    shops = re.findall(r"(--[a-z-]+): (#[0-9a-f]{6});", STYLE)

    assert set(ours) == {pair for pair in shops if pair[0] != "--card"}


def test_the_company_is_called_as_in_the_settings() -> None:
    """Where nothing is set, edge and API show the same name, address and hours."""
    defaults = dict(re.findall(r'env "HOLDFAST_(\w+)" \| default "([^"]+)"', PAGE))

    assert defaults == {
        name.upper(): Settings.model_fields[name].default
        for name in ("company_name", "support_email", "support_hours")
    }


def test_the_image_is_the_version_that_is_tested() -> None:
    """Production runs the Caddy that the stack builds."""
    compose = (REPOSITORY / "docker-compose.yml").read_text()

    assert f"image: caddy:{VERSION}" in compose
