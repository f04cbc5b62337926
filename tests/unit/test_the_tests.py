"""What decides which tests run, and in which order."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from temporalio.testing import WorkflowEnvironment

from stack.doctor import find_chromium
from stack.testserver import TestServer
from tests.durability.conftest import place_in_order
from tests.workflows import conftest as of_workflows


def test_a_new_durability_test_comes_last() -> None:
    """A file that nobody has put in the list is collected, behind all others."""
    assert place_in_order("test_watching") < place_in_order("test_demo")
    assert place_in_order("test_demo") < place_in_order("test_written_today")


@pytest.mark.parametrize("command", ["chromium", "chromium-browser", "google-chrome"])
def test_every_name_of_the_browser_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """What doctor calls Chromium is what the browser tests drive."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_chromium() is None

    (tmp_path / command).touch(mode=0o755)

    assert find_chromium() == shutil.which(command)


@pytest.mark.parametrize(
    ("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)]
)
async def test_tests_that_skip_time_say_why_they_cannot_run(
    monkeypatch: pytest.MonkeyPatch, ci: str, outcome: type[BaseException]
) -> None:
    """Without Java and network they are skipped with both reasons; in CI they fail."""
    asked: list[dict[str, Any]] = []

    async def no_network(**options: Any) -> WorkflowEnvironment:
        asked.append(options)
        raise RuntimeError("no network")

    monkeypatch.setenv("CI", ci)
    missing = TestServer(None, "`java` is not installed.")
    monkeypatch.setattr(of_workflows, "find_test_server", lambda: missing)
    monkeypatch.setattr(WorkflowEnvironment, "start_time_skipping", no_network)

    with pytest.raises(outcome, match=r"java.* is not installed.*no network"):
        await of_workflows.start_skipping()
    assert asked == [{}]
