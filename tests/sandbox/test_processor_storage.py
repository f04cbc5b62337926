"""The processor's memory: a page of a list costs the same, however long the list is."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.processor.storage import Storage


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    """A storage of the test's own, with ten charges in each of a thousand seconds."""
    made = Storage(tmp_path / "processor.sqlite")
    with made.transaction():
        for number in range(10_000):
            made.put(
                {
                    "id": f"ch_{number}",
                    "object": "charge",
                    "created": number // 10,
                    "payment_intent": f"pi_{number}",
                }
            )
    yield made
    made.close()


def steps_of(storage: Storage, **filters: Any) -> int:
    """Count, in hundreds, what the database does for a page of a hundred charges."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    storage.connection.set_progress_handler(count, 100)
    storage.select("charge", limit=100, **filters)
    storage.connection.set_progress_handler(None, 0)
    return steps


def test_page_deep_in_a_list_costs_what_the_first_one_costs(storage: Storage) -> None:
    """Bounds and cursor are found by index: nothing before the page is read."""
    first = steps_of(storage)

    for second in (10, 500, 990):
        cursor = storage.position(f"ch_{second * 10 + 5}", "charge")
        for last in (second, 1_000):
            assert steps_of(storage, gte=0, lt=last, before=cursor) <= 2 * first
            assert steps_of(storage, gte=0, lt=last) <= 2 * first


def test_charge_of_an_intent_is_found_by_its_own_index(storage: Storage) -> None:
    """The newest charge of one PaymentIntent is no walk through all charges."""
    assert steps_of(storage, payment_intent="pi_17") <= 1


def test_file_of_an_earlier_version_is_opened(tmp_path: Path) -> None:
    """A sandbox that was in use keeps its objects, and lists them as before."""
    path = tmp_path / "processor.sqlite"
    earlier = Storage(path)
    earlier.put({"id": "ch_1", "object": "charge", "created": 1})
    earlier.connection.execute("DROP INDEX objects_by_age")
    earlier.connection.execute("CREATE INDEX objects_by_kind ON objects (kind, seq)")
    earlier.close()

    opened = Storage(path)

    assert [thing["id"] for thing in opened.select("charge", limit=10)] == ["ch_1"]
    opened.close()
