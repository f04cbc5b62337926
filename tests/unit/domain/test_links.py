"""Links: what is kept, shown and mailed leads to a page, and to nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.links import web_address


@pytest.mark.parametrize(
    "address",
    [
        "https://app.example/enter?user=1&x=2",
        "http://127.0.0.1:8000/welcome/x",
        "https://[::1]:8443/",
        "https://bücher.example/",
    ],
)
def test_the_address_of_a_page_is_taken_as_it_is(address: str) -> None:
    """A link carries exactly what was told."""
    assert web_address(address) == address


@pytest.mark.parametrize(
    "address",
    [
        None,
        "",
        "/path",
        "//evil.example",
        "javascript:alert(1)",
        "data:text/html,x",
        "ftp://app.example",
        "https://",
        "https:///x",
        "https://:443/x",
        "https://user@/x",
        "https://[bad",
        "https://app.example:0/",
        "https://app.example:99999/",
        "https://app.example:port/",
        "https://app.example/a b",
        "https://app.example/\r\nx",
        "https://app.example/\x00",
        "https://app.example/\ud800",
        " https://app.example",
    ],
)
def test_what_leads_to_no_page_is_no_link(address: str | None) -> None:
    """No link runs a script, leads nowhere or breaks a mail."""
    assert web_address(address) is None


@given(st.text())
def test_nothing_that_is_told_breaks_the_reader(rest: str) -> None:
    """Whatever stands behind the scheme, it is a link or none, and never an error."""
    address = f"https://{rest}"

    assert web_address(address) in {address, None}
