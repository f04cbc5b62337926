"""Children that outlived a supervisor which was killed.

On Linux the kernel ends them (see ``processes``) within moments, but a new run may come
sooner. Elsewhere nobody does. Every start is noted in the data folder, and the next
run ends what is still there before it takes the same ports and files.
"""

import json
from contextlib import suppress

import psutil

from stack.places import DataFolder, write_private
from stack.processes import is_alive, wait_gone

#: A database that is asked to end gets this long to write its last page.
_PATIENCE_SECONDS = 5.0


class Leftovers:
    """The note of living children, by pid and the time each was started.

    The time tells a child from a stranger who got its pid later.
    """

    def __init__(self, folder: DataFolder) -> None:
        self._path = folder.root / "children.json"
        self._noted: dict[int, float] = {}

    def note(self, pid: int) -> None:
        """Remember a child that was just started."""
        with suppress(psutil.NoSuchProcess):
            self._noted[pid] = psutil.Process(pid).create_time()
        self._noted = {p: at for p, at in self._noted.items() if psutil.pid_exists(p)}
        # A full disk must cost the note, not the child.
        with suppress(OSError):
            write_private(self._path, {str(p): at for p, at in self._noted.items()})

    def forget(self) -> None:
        """All children were stopped in order."""
        self._path.unlink(missing_ok=True)

    def end(self) -> list[int]:
        """End the children of a killed run. Their pids are returned."""
        leftovers = self._living()
        for process in leftovers:
            with suppress(psutil.NoSuchProcess):
                process.terminate()
                process.resume()  # A frozen one would never see the request.
        stubborn = wait_gone(leftovers, _PATIENCE_SECONDS)
        for process in stubborn:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        wait_gone(stubborn, _PATIENCE_SECONDS)
        return [process.pid for process in leftovers]

    def _living(self) -> list[psutil.Process]:
        try:
            noted = json.loads(self._path.read_text())
        except (FileNotFoundError, ValueError):
            return []
        found = []
        for pid, started_at in noted.items():
            with suppress(psutil.NoSuchProcess):
                process = psutil.Process(int(pid))
                if process.create_time() == started_at and is_alive(process):
                    found.append(process)
        return found
