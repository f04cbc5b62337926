"""Fixtures: one sandbox processor and one webhook receiver for all of its tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sandbox.processor_server import Buyer, Processor, Receiver


@pytest.fixture(scope="session")
def receiver() -> Iterator[Receiver]:
    """A webhook endpoint on a free port."""
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture(scope="session")
def _running(
    receiver: Receiver, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Processor]:
    data = tmp_path_factory.mktemp("processor") / "processor.sqlite"
    processor = Processor(data=data, webhook_url=receiver.url)
    processor.start()
    yield processor
    processor.close()


@pytest.fixture
def processor(_running: Processor) -> Iterator[Processor]:
    """The shared server, every switch turned back before and after."""
    _running.calm()
    yield _running
    _running.calm()


@pytest.fixture
def own_processor(tmp_path: Path) -> Iterator[Processor]:
    """A server of the test's own, to be killed at will; it sends no webhooks."""
    processor = Processor(data=tmp_path / "processor.sqlite")
    processor.start()
    yield processor
    processor.close()


@pytest.fixture
def buyer(processor: Processor) -> Buyer:
    """The official SDK against the shared server."""
    return Buyer(processor.client())
