"""Which Temporal server a stack runs, and that a data folder stays with its choice."""

from enum import StrEnum

from stack.errors import StackError
from stack.places import DataFolder, Ports
from stack.postgres import Cluster
from stack.temporal import DATABASE_FILE, DevServer, Say, TemporalServer
from stack.temporal import find_temporal_cli as find_dev_server
from stack.temporal_postgres import CONFIG_FILE, ServerOnPostgres
from stack.temporal_programs import find_server_programs


class TemporalKind(StrEnum):
    """Which Temporal server the stack runs."""

    #: One program with a UI, its data in one SQLite file.
    DEV = "dev"
    #: As in production, on the stack's PostgreSQL; for benchmarks.
    POSTGRES = "postgres"


#: The file by which a folder shows that it was run with a kind.
_TRACES = {TemporalKind.DEV: DATABASE_FILE, TemporalKind.POSTGRES: CONFIG_FILE}


def get_temporal(kind: TemporalKind, folder: DataFolder, say: Say) -> None:
    """Get the programs, which may take minutes, before any port is chosen.

    Raises:
        StackError: they cannot be got, or the folder belongs to the other kind.
    """
    for other in TemporalKind:
        if other is not kind and (folder.root / _TRACES[other]).exists():
            raise StackError(
                f"The checkouts in {folder.root} are kept by the other Temporal "
                f"server. Run with --temporal {other}, or choose another folder with "
                "--data."
            )
    if kind is TemporalKind.POSTGRES:
        find_server_programs(say)
    else:
        find_dev_server(say)


def draw_temporal(
    kind: TemporalKind, folder: DataFolder, cluster: Cluster, ports: Ports
) -> TemporalServer:
    """Decide where the server runs; its programs are there by now."""
    if kind is TemporalKind.POSTGRES:
        programs = find_server_programs()
        return ServerOnPostgres.draw(programs, cluster, folder, ports)
    return DevServer(
        find_dev_server(),
        folder.root / DATABASE_FILE,
        ports.get("temporal"),
        ports.get("temporal_ui"),
    )
