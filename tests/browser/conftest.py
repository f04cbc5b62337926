"""One stack and one Chromium for all of them, and a fresh visitor for each test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from stack.doctor import find_chromium
from stack.driver import Stack, fresh_data_folder, run_stack
from tests.browser.visiting import LIMIT_SECONDS, Visitor
from tests.durability.breaking import wait_until
from tests.durability.counting import connect_owner
from tests.promises import unkept_promises

_HERE = Path(__file__).parent
_CHROMIUM = find_chromium()

#: It shall ask nobody outside, and it may run as root in a container without a GPU.
_OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)

#: A folder for a picture of every page at both widths; for people who look at them.
_PICTURES = os.environ.get("BROWSER_PICTURES")


class Visit(Protocol):
    """Opens a browser of its own for one more visitor."""

    def __call__(self, **options: Any) -> Visitor: ...


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder; without a browser none of them can run."""
    for item in items:
        if _HERE not in item.path.parents:
            continue
        item.add_marker(pytest.mark.browser)
        if _CHROMIUM is None:
            reason = "there is no Chromium on this machine's path"
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="package")
def stack() -> Iterator[Stack]:
    """The stack that all tests of this folder share and leave healthy."""
    with pytest.MonkeyPatch.context() as environment:
        # All visitors come from one address here.
        environment.setenv("HOLDFAST_RATE_LIMIT_PER_MINUTE", "100000")
        with fresh_data_folder() as data, run_stack(data) as running:
            yield running


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """The system's Chromium.

    Of this package only: Playwright's loop stands in the way of asynchronous tests.
    """
    expect.set_options(timeout=LIMIT_SECONDS * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=_CHROMIUM,
            args=_OPTIONS,
            # People's browsers keep the page they leave, and show it again on Back.
            ignore_default_args=["--disable-back-forward-cache"],
        )
        yield browser
        browser.close()


@pytest.fixture
def visit(stack: Stack, chromium: Browser) -> Iterator[Visit]:
    """Open as many browsers as a test wants; none of them may have complained."""
    visitors: list[Visitor] = []
    pictures = Path(_PICTURES) if _PICTURES else None

    with ExitStack() as cleanup:

        def open_one(**options: Any) -> Visitor:
            context = chromium.new_context(**options)
            cleanup.callback(context.close)
            runs_scripts = options.get("java_script_enabled", True)
            visitors.append(
                Visitor(context, stack, pictures, runs_scripts=runs_scripts)
            )
            return visitors[-1]

        yield open_one
        for visitor in visitors:
            visitor.assert_undisturbed()


@pytest.fixture(autouse=True)
def _promises_are_kept(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a test did, every time that a mail named has its follow-up."""
    yield
    if "stack" in request.fixturenames:
        stack = request.getfixturevalue("stack")
        with connect_owner(stack) as database:
            wait_until(
                lambda: not unkept_promises(database),
                "every promise to have its follow-up",
            )


@pytest.fixture
def visitor(visit: Visit) -> Visitor:
    """A buyer with a browser."""
    return visit()
