"""One stack for all of them, a purchase for each, and a table of the recoveries."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from stack.driver import Stack, fresh_data_folder, run_stack
from tests.conftest import RECOVERIES
from tests.durability.breaking import wait_until
from tests.durability.counting import Purchase, connect_owner, open_purchase
from tests.durability.reconciling import Drill, slow_the_processor
from tests.promises import unkept_promises

_HERE = Path(__file__).parent

#: Cheap ones first: what is broken shows early.
_ORDER = (
    "test_watching",
    "test_many_presses",
    "test_lost_replies",
    "test_bank_check",
    "test_large_answer",
    "test_nothing_leaks",
    "test_worker_killed",
    "test_plan_ends",
    "test_table_locked",
    "test_api_killed",
    "test_edge",
    "test_temporal_killed",
    "test_worker_frozen",
    "test_postgres_down",
    "test_disk_full",
    "test_no_webhooks",
    "test_reconciliation_hung",
    "test_temporal_emptied",
    "test_restored",
    "test_traces",
    "test_clock_off",
    "test_demo",
)

Recoveries = dict[str, float]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder, and put them in their order."""
    places = [n for n, item in enumerate(items) if _HERE in item.path.parents]
    ours = [items[place] for place in places]
    for item in ours:
        item.add_marker(pytest.mark.durability)
    ours.sort(key=lambda item: place_in_order(item.path.stem))
    for place, item in zip(places, ours, strict=True):
        items[place] = item


def place_in_order(stem: str) -> int:
    """Return a test file's place; one that is not listed comes last."""
    return _ORDER.index(stem) if stem in _ORDER else len(_ORDER)


@pytest.fixture
def recoveries(request: pytest.FixtureRequest) -> Iterator[Recoveries]:
    """The table; a test writes its seconds under what it did."""
    table: Recoveries = {}
    yield table
    request.node.user_properties.append((RECOVERIES, table))


@pytest.fixture(scope="package")
def stack() -> Iterator[Stack]:
    """The stack that all tests of this folder share and leave healthy."""
    with pytest.MonkeyPatch.context() as environment:
        # All buyers come from one address here.
        environment.setenv("HOLDFAST_RATE_LIMIT_PER_MINUTE", "100000")
        with fresh_data_folder() as data, run_stack(data) as running:
            yield running


@pytest.fixture(scope="module")
def drill() -> Iterator[Drill]:
    """A stack of a file's own, for what all checkouts of a shop go through at once.

    Its processor sends no webhooks, and its clock is a little slow; see `reconciling`.
    """
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HOLDFAST_RATE_LIMIT_PER_MINUTE", "100000")
        with fresh_data_folder() as data, run_stack(data) as running:
            slow_the_processor(running)
            drilled = Drill(running)
            drilled.pause_schedule()
            drilled.switch_webhooks("off")
            yield drilled


@pytest.fixture
def purchase(stack: Stack) -> Iterator[Purchase]:
    """A checkout of this test's own, watched; the stack is mended afterwards."""
    with open_purchase(stack) as opened:
        yield opened
    mend(stack)


@pytest.fixture(autouse=True)
def _promises_are_kept(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever was broken, every time that a mail named has its follow-up."""
    yield
    if "stack" in request.fixturenames:
        stack = request.getfixturevalue("stack")
        with connect_owner(stack) as database:
            # A run that is just being taken up has not planned its next word yet.
            wait_until(
                lambda: not unkept_promises(database),
                "every promise to have its follow-up",
            )


def mend(stack: Stack) -> None:
    """Take all faults away, and wait until the shop is ready for the next."""
    at = stack.at
    for server in (at.processor, at.application, at.mailbox):
        httpx.delete(f"{server}/sandbox/faults", trust_env=False)
    wait_until(lambda: _is_ready(at.api), "the API to be ready", limit_seconds=60)


def _is_ready(api: str) -> bool:
    try:
        return httpx.get(f"{api}/readyz", trust_env=False).is_success
    except httpx.TransportError:
        return False
