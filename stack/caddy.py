"""Caddy, the edge in front of the API: finding or building it, running it.

The program is looked for in this order: ``HOLDFAST_CADDY``, ``caddy`` on PATH where it
is new enough, the cache, ``go install``. What it does is in ``deploy/Caddyfile``, the
same for production and for the stack.
"""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from stack.errors import StackError
from stack.places import cache_folder, exclusive
from stack.processes import Launch
from stack.temporal import BUILD_LIMIT_SECONDS, Say, run_with_progress

#: The same as the image's in docker-compose.yml; a test compares them.
VERSION = "2.11.9"

_GO_PACKAGE = f"github.com/caddyserver/caddy/v2/cmd/caddy@v{VERSION}"

#: The first that knows errors by their status (`handle_errors 502 503 504`) and a
#: status for files. What distributions ship is often older.
_OLDEST = (2, 8)

_DEPLOY = Path(__file__).resolve().parent.parent / "deploy"


def known_caddy() -> Path | None:
    """The program where it is already on this machine; None where it must be got.

    Raises:
        StackError: ``HOLDFAST_CADDY`` names something that is no program.
    """
    chosen = os.environ.get("HOLDFAST_CADDY")
    if chosen:
        if not os.access(chosen, os.X_OK):
            raise StackError(f"HOLDFAST_CADDY is {chosen}, which is no program.")
        return Path(chosen)
    on_path = shutil.which("caddy")
    if on_path and _is_new_enough(on_path):
        return Path(on_path)
    cached = _cached_program()
    return cached if os.access(cached, os.X_OK) else None


def find_caddy(say: Say = print) -> Path:
    """The program, built if need be; ``say`` gets the progress.

    Raises:
        StackError: no way led to it; says what to do.
    """
    known = known_caddy()
    if known:
        return known
    with exclusive(cache_folder() / "caddy.lock", say):
        # Another start may have built it while this one waited.
        return known_caddy() or _build(say)


def _is_new_enough(program: str) -> bool:
    try:
        finished = subprocess.run(
            [program, "version"], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return False
    found = re.match(r"v?(\d+)\.(\d+)", finished.stdout)
    return found is not None and (int(found[1]), int(found[2])) >= _OLDEST


def _cached_program() -> Path:
    return cache_folder() / "bin" / f"caddy-{VERSION}"


def _build(say: Say) -> Path:
    go = shutil.which("go")
    if go is None:
        raise StackError(
            "Caddy is missing, and without Go it cannot be built. Install the `caddy` "
            f"command, 2.{_OLDEST[1]} or newer (https://caddyserver.com/docs/install), "
            "or set HOLDFAST_CADDY to its path, or run without --edge."
        )
    target = cache_folder() / "build-caddy"
    failure = run_with_progress(
        "Building Caddy (about 2 minutes, once)",
        [go, "install", _GO_PACKAGE],
        BUILD_LIMIT_SECONDS,
        say,
        environment={**os.environ, "GOBIN": str(target)},
    )
    built = target / "caddy"
    if failure or not built.exists():
        raise StackError(f"Caddy cannot be built: {failure or 'no file came'}.")
    kept = _cached_program()
    kept.parent.mkdir(parents=True, exist_ok=True)
    built.replace(kept)
    return kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """A Caddy that is to run in front of an API, on this machine alone."""

    program: Path
    #: For what Caddy might want to keep; nothing without certificates.
    folder: Path
    #: Where customers come.
    port: int
    #: Where the API is.
    upstream_port: int

    def launch(self) -> Launch:
        """How to run it in the foreground."""
        config = ("--config", str(_DEPLOY / "Caddyfile"), "--adapter", "caddyfile")
        return Launch(
            command=[str(self.program), "run", *config],
            environment={
                # No setting of another shop reaches it: it shows a company's name.
                "PATH": os.environ.get("PATH", ""),
                "HOME": str(self.folder),
                "XDG_DATA_HOME": str(self.folder / "caddy"),
                "XDG_CONFIG_HOME": str(self.folder / "caddy"),
                "EDGE_SITE": f"http://:{self.port}",
                "EDGE_BIND": "127.0.0.1",
                "EDGE_UPSTREAM": f"127.0.0.1:{self.upstream_port}",
                "EDGE_PAGES": str(_DEPLOY),
            },
            folder=self.folder,
        )
