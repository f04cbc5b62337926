"""The time-skipping Temporal test server: three days of sleep in half a second.

It is looked for in this order: ``TEMPORAL_TEST_SERVER``, the cache, Maven. Without any,
tests that skip time use what the SDK downloads by itself, or are skipped with the
reason given here.
"""

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stack.errors import StackError
from stack.places import cache_folder, exclusive
from stack.temporal import run_with_progress

VERSION = "1.38.0"

#: 38 MB of libraries; minutes on a slow line.
FETCH_LIMIT_SECONDS = 600

_PROJECT = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>holdfast</groupId><artifactId>test-server</artifactId><version>1</version>
  <packaging>pom</packaging>
  <dependencies><dependency>
    <groupId>io.temporal</groupId><artifactId>temporal-test-server</artifactId>
    <version>{VERSION}</version>
  </dependency></dependencies>
</project>
"""

_SCRIPT = """#!/bin/sh
# Quick to start and light beside other tests: it never lives long enough for more.
exec java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \\
    -cp "$(dirname "$0")/lib/*" io.temporal.testserver.TestServer "$@"
"""


@dataclass(frozen=True, slots=True)
class TestServer:
    """Where the test server is, or why there is none.

    Attributes:
        program: give it to ``start_time_skipping(test_server_existing_path=...)``.
        reason: one sentence when ``program`` is None.
    """

    #: pytest collects classes called Test...; this one is none.
    __test__ = False

    program: Path | None
    reason: str = ""


def known_test_server() -> Path | None:
    """The test server where it is already on this machine."""
    chosen = os.environ.get("TEMPORAL_TEST_SERVER")
    if chosen:
        if not os.access(chosen, os.X_OK):
            raise StackError(f"TEMPORAL_TEST_SERVER is {chosen}, which is no program.")
        return Path(chosen)
    cached = _cached_script()
    return cached if cached.exists() and shutil.which("java") else None


def find_test_server(say: Callable[[str], None] = print) -> TestServer:
    """The test server, fetched through Maven if need be."""
    known = known_test_server()
    if known:
        return TestServer(known)
    for tool in ("java", "mvn"):
        if shutil.which(tool) is None:
            return TestServer(None, f"`{tool}` is not installed.")
    with exclusive(cache_folder() / "temporal-test-server.lock", say):
        # Another test run may have fetched it while this one waited.
        known = known_test_server()
        return TestServer(known) if known else _fetch(say)


def _cached_script() -> Path:
    return cache_folder() / "temporal-test-server" / VERSION / "temporal-test-server"


def _fetch(say: Callable[[str], None]) -> TestServer:
    place = _cached_script().parent
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent) as folder:
        draft = Path(folder) / "draft"
        draft.mkdir()
        project = draft / "pom.xml"
        project.write_text(_PROJECT)
        goal = "dependency:copy-dependencies"
        failure = run_with_progress(
            "Fetching Temporal's time-skipping test server",
            ["mvn", "-q", "-B", "-f", str(project), goal, "-DoutputDirectory=lib"],
            FETCH_LIMIT_SECONDS,
            say,
        )
        if failure:
            return TestServer(None, f"Maven could not fetch it: {failure}")
        script = draft / _cached_script().name
        script.write_text(_SCRIPT)
        script.chmod(0o755)
        draft.rename(place)
    return TestServer(_cached_script())
