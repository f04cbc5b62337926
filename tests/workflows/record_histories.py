"""`python -m tests.workflows.record_histories`: keep the history of every path anew.

The paths are those of the tests in this folder: each test's runs are kept under its
name. All are recorded in skipped time; those that need no waiting are recorded on a
real server as well. What was recorded before is replaced once all tests have passed.
Arguments are passed on to pytest, as `--deselect` for a test that cannot pass today.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from temporalio.client import Client, WorkflowHandle, WorkflowHistory
from temporalio.testing import WorkflowEnvironment
from temporalio.worker._workflow_instance import _WorkflowInstanceImpl

from stack.temporal import TemporalHandle, start_temporal
from tests.workflows.histories import FOLDER, REAL, SKIPPED, steps, write

_HERE = Path(__file__).parent
#: It tells its workflow that the history has grown, which no history then says.
_CANNOT_REPLAY = "a_grown_history_is_left_behind"

_NOT_PATHS = ("test_histories.py", "test_reconciliation_at_scale.py")

#: Tests that wait for nothing, so that a real server carries them out in seconds.
_SHORT = (
    "all_well_takes_each_step_once",
    "lost_reply_after_charge",
    "bank_answer_is_taken_up",
    "decline_then_another_card",
    "declined_payment_that_succeeds_later",
    "repair_of_a_declined_checkout",
    "run_that_resumes_looks",
    "repair_of_a_finished_checkout",
    "every_kind_is_found",
    "charge_without_order_is_delivered",
    "lost_checkout_is_made_again",
    "run_after_the_repairs",
    "kill_switch",
    "run_under_way",
    "year_that_is_over",
    "knocks_again_are_one_end",
)

_TRIES = 3

_ORIGINAL_CANCEL = _WorkflowInstanceImpl._timer_handle_cancelled
_ORIGINAL_START = Client.start_workflow


class Recorder:
    """A pytest plugin that keeps what the workflows of each test went through."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        #: Tests that did not pass.
        self.failed: set[str] = set()
        self._kept: dict[tuple[str, ...], str] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Begin with the purchase: what others share with it is kept under its name."""
        items.sort(key=lambda item: item.path.name != "test_checkout.py")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember what must be run again."""
        if report.failed:
            self.failed.add(report.nodeid)

    @pytest.fixture(autouse=True)
    async def _recorded(
        self,
        request: pytest.FixtureRequest,
        skipping: WorkflowEnvironment,
        _timers_run_out: None,
    ) -> AsyncIterator[None]:
        """Write down which workflows a test starts; keep their histories at its end."""
        started: dict[str, WorkflowHandle[Any, Any]] = {}

        async def start(client: Client, *given: Any, **more: Any) -> Any:
            handle = await _ORIGINAL_START(client, *given, **more)
            started[str(handle.result_run_id or handle.first_execution_run_id)] = handle
            return handle

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Client, "start_workflow", start)
            self.prepare(patch)
            yield
        if _CANNOT_REPLAY in request.node.name:
            return
        kinds: Counter[str] = Counter()
        for run_id, handle in started.items():
            part = skipping.client.get_workflow_handle(handle.id, run_id=run_id)
            history = await part.fetch_history()
            if self._is_known(history):
                continue
            kind = _kind_of(handle.id)
            kinds[kind] += 1
            name = f"{_name_of(request)}.{kind}-{kinds[kind]}.json"
            write(self._folder / name, history)

    def prepare(self, patch: pytest.MonkeyPatch) -> None:
        """Change nothing: a test runs as it always does."""

    def _is_known(self, history: WorkflowHistory) -> bool:
        """Whether the same steps, in the same order, are kept from another run."""
        run_id = self._kept.setdefault(steps(history), history.run_id)
        return run_id != history.run_id


class OnRealServer(Recorder):
    """The same on a real server, with timers that are cancelled."""

    def __init__(self, folder: Path, data: Path) -> None:
        super().__init__(folder)
        self._data = data
        self._server: TemporalHandle | None = None
        patch = pytest.MonkeyPatch()
        patch.setattr(WorkflowEnvironment, "start_time_skipping", self._start)

    async def _start(self, **_options: Any) -> WorkflowEnvironment:
        if self._server is None:
            self._server = await start_temporal(self._data)
        return WorkflowEnvironment.from_client(self._server.client)

    def prepare(self, patch: pytest.MonkeyPatch) -> None:
        """Cancel timers as the product does."""
        patch.setattr(
            _WorkflowInstanceImpl, "_timer_handle_cancelled", _ORIGINAL_CANCEL
        )

    def stop(self) -> None:
        """End the server."""
        if self._server is not None:
            self._server.stop()


def _kind_of(workflow_id: str) -> str:
    kinds = {"reconciliation": "run", "on-call": "desk"}
    return next(
        (kind for name, kind in kinds.items() if workflow_id.startswith(name)),
        "checkout",
    )


def _name_of(request: pytest.FixtureRequest) -> str:
    module = request.path.stem.removeprefix("test_")
    test = re.sub(r"\W+", "-", request.node.name.removeprefix("test_")).strip("-")
    return f"{module}.{test}"


def _run(recorder: Recorder, *options: str) -> None:
    """Run the tests; on a busy machine a server may not start at the first try."""
    chosen = [str(_HERE), *(f"--ignore={_HERE / name}" for name in _NOT_PATHS)]
    for _ in range(_TRIES):
        recorder.failed.clear()
        arguments = [*chosen, "-q", "-p", "no:cacheprovider", *options]
        if pytest.main(arguments, plugins=[recorder]) == pytest.ExitCode.OK:
            return
        chosen = list(recorder.failed)
    sys.exit("A test did not pass: nothing was replaced.")


def main() -> NoReturn:
    """Record everything, then put it in the place of what was there."""
    with tempfile.TemporaryDirectory() as place:
        fresh = Path(place)
        _run(Recorder(fresh / SKIPPED.name), *sys.argv[1:])
        real = OnRealServer(fresh / REAL.name, fresh / "temporal")
        try:
            _run(real, "-k", " or ".join(_SHORT), *sys.argv[1:])
        finally:
            real.stop()
        shutil.rmtree(FOLDER, ignore_errors=True)
        for folder in (SKIPPED, REAL):
            shutil.copytree(fresh / folder.name, folder)
    sys.exit(0)


if __name__ == "__main__":
    main()
