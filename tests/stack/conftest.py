"""A repository of stand-ins, so that the supervisor is tested without the product."""

import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

import pytest

from stack.driver import Stack, fresh_data_folder, run_stack

_PROCESSES = {
    "api/__main__.py": 'serve("api", "HOLDFAST_API_PORT")',
    "worker.py": 'serve("worker", "HOLDFAST_WORKER_METRICS_PORT")',
    "sandbox/processor.py": 'serve("processor")',
    "sandbox/mailbox.py": 'serve("mailbox")',
    "sandbox/application.py": 'serve("application")',
}

#: The first line of what the migration step must find in its environment.
_MIGRATE = """import os, sys
assert "holdfast_owner" in os.environ["HOLDFAST_MIGRATION_DATABASE_URL"]
assert "holdfast_app" in os.environ["HOLDFAST_DATABASE_URL"]
sys.exit(os.path.exists("broken-migrations") and "table checkouts is in the way")
"""


class RunStandins(Protocol):
    """Runs a stack of stand-ins on a data folder."""

    def __call__(self, data: Path, *options: str) -> AbstractContextManager[Stack]: ...


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that looks like the checkout to the supervisor."""
    root = tmp_path_factory.mktemp("repository")
    shutil.copy(Path(__file__).with_name("standin.py"), root)
    for name, call in _PROCESSES.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(f"from standin import serve\n{call}\n")
    (root / "database").mkdir()
    (root / "database/migrate.py").write_text(_MIGRATE)
    return root


@pytest.fixture(scope="session")
def run_standins(repository: Path) -> RunStandins:
    """``run_stack`` over the stand-ins."""
    program = ("-m", "tests.stack.run_standins", str(repository))

    @contextmanager
    def run(data: Path, *options: str) -> Iterator[Stack]:
        with run_stack(data, *options, program=program) as stack:
            yield stack
            # Temporal's own ordered stop takes more than a second, even when nobody
            # calls it any more. A test of stopping stops inside the block.
            if stack.process.poll() is None:
                stack.stop_child("temporal", roughly=True)

    return run


@pytest.fixture(scope="session")
def data() -> Iterator[Path]:
    """A data folder for stacks that run one after the other."""
    with fresh_data_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def stack(run_standins: RunStandins) -> Iterator[Stack]:
    """One stack for the tests of a file that leave it healthy."""
    with fresh_data_folder() as folder, run_standins(folder) as running:
        yield running
