"""The programs of the Temporal server on PostgreSQL: found in the cache, or built.

There is nothing to download for them but source: ``go install`` builds ``server`` and
``sql`` (the tool that makes the tables) once per machine, into the cache beside the
dev server's. The tables of Temporal's list of workflows are kept there too, because
they are changed for the PostgreSQL of the embedded stack; see ``_without_btree_gin``.
"""

import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from stack.errors import StackError
from stack.places import cache_folder, exclusive
from stack.temporal import BUILD_LIMIT_SECONDS, Say, run_with_progress

_MODULE = "go.temporal.io/server"

#: Later patch releases want a Go that few machines have.
_VERSION = "v1.32.1"

_PACKAGES = tuple(
    f"{_MODULE}/{package}@{_VERSION}" for package in ("cmd/server", "cmd/tools/sql")
)

#: Where the module keeps what is changed for us.
_VISIBILITY_SCHEMA = Path("schema/postgresql/v12/visibility/versioned")

#: Asks for the folder of a module that was just built: no more than a look.
_ASK_LIMIT_SECONDS = 120


@dataclass(frozen=True, slots=True)
class ServerPrograms:
    """The folder with all that is needed, complete or not."""

    folder: Path

    @property
    def server(self) -> Path:
        """The server: all four services in one process."""
        return self.folder / "server"

    @property
    def sql(self) -> Path:
        """The tool that makes tables and brings them up to date."""
        return self.folder / "sql"

    @property
    def visibility_schema(self) -> Path:
        """The steps that make the tables of the list of workflows."""
        return self.folder / "visibility"

    @property
    def are_built(self) -> bool:
        """Whether both programs are there."""
        return os.access(self.server, os.X_OK) and os.access(self.sql, os.X_OK)

    @property
    def are_complete(self) -> bool:
        """Whether nothing is left to be got."""
        return self.are_built and self.visibility_schema.exists()


def known_server_programs() -> ServerPrograms | None:
    """The programs where they are already on this machine."""
    programs = _cached_programs()
    return programs if programs.are_complete else None


def find_server_programs(say: Say = print) -> ServerPrograms:
    """The programs, built if need be; ``say`` gets the progress.

    Raises:
        StackError: they cannot be built here; says what to do.
    """
    known = known_server_programs()
    if known:
        return known
    with exclusive(cache_folder() / "temporal-server.lock", say):
        # Another start may have built them while this one waited.
        return known_server_programs() or _get(say)


def _cached_programs() -> ServerPrograms:
    return ServerPrograms(cache_folder() / "bin-server")


def _get(say: Say) -> ServerPrograms:
    go = shutil.which("go")
    if go is None:
        raise StackError(
            "The Temporal server for PostgreSQL is missing, and without Go it cannot "
            "be built. Install Go 1.26 or newer, or run with the dev server: "
            "--temporal dev."
        )
    kept = _cached_programs()
    kept.folder.mkdir(parents=True, exist_ok=True)
    if not kept.are_built:
        _build(go, kept, say)
    _keep_schema(_module_folder(go) / _VISIBILITY_SCHEMA, kept.visibility_schema)
    return kept


def _build(go: str, kept: ServerPrograms, say: Say) -> None:
    target = ServerPrograms(cache_folder() / "build-server")
    failure = run_with_progress(
        "Building the Temporal server for PostgreSQL (about 5 minutes, once)",
        [go, "install", *_PACKAGES],
        BUILD_LIMIT_SECONDS,
        say,
        environment={**os.environ, "GOBIN": str(target.folder)},
    )
    if failure or not target.are_built:
        raise StackError(
            "The Temporal server for PostgreSQL cannot be built: "
            f"{failure or 'no file came'}."
        )
    target.sql.replace(kept.sql)
    target.server.replace(kept.server)


def _module_folder(go: str) -> Path:
    """The source the programs are built from; Go fetches it where it was cleared."""
    try:
        finished = subprocess.run(
            [go, "list", "-m", "-f", "{{.Dir}}", f"{_MODULE}@{_VERSION}"],
            # Outside of any Go module, whose own choice of versions would be asked.
            cwd=cache_folder(),
            capture_output=True,
            text=True,
            timeout=_ASK_LIMIT_SECONDS,
            check=True,
        )
    except subprocess.SubprocessError as error:
        reason = (getattr(error, "stderr", None) or str(error)).strip()
        raise StackError(f"Go cannot find {_MODULE}: {reason}") from error
    return Path(finished.stdout.strip())


def _keep_schema(source: Path, kept: Path) -> None:
    """Copy the steps, changed, to their place in one step."""
    with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
        draft = Path(folder) / "draft"
        # File by file: the source is read-only, and its modes would be copied.
        for file in (path for path in source.rglob("*") if path.is_file()):
            copy = draft / file.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(_without_btree_gin(file.read_text()))
        draft.rename(kept)


def _without_btree_gin(sql: str) -> str:
    """Tables for a PostgreSQL without the extension ``btree_gin``.

    The wheel does not bring it. Temporal wants it only to have the namespace inside
    the indexes over lists and texts; one stack has one namespace, so the same indexes
    without it find the same rows at the same cost. Columns stay as they are.
    """
    without = sql.replace("CREATE EXTENSION btree_gin;", "NULL;")
    return re.sub(r"(USING\s+GIN\s*\()\s*namespace_id\s*,\s*", r"\1", without)
