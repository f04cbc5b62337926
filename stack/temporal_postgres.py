"""The Temporal server on PostgreSQL, as a production runs it, for benchmarks.

It keeps everything in two databases of the stack's own cluster, under a role of its
own, which sees nothing of the product's; the product's roles see nothing of Temporal's.
All four services run in one process. No UI comes with it.
"""

import subprocess
import time
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from stack.errors import StackError
from stack.places import DataFolder, Ports, write_private
from stack.postgres import (
    TEMPORAL_ROLE,
    Cluster,
    accepts_connections,
    create_closed_database,
    ensure_role,
    has_database,
)
from stack.processes import Launch
from stack.temporal import neutral_environment
from stack.temporal_programs import ServerPrograms

DATABASE = "temporal"
VISIBILITY_DATABASE = "temporal_visibility"

#: In the data folder: what the server is told, its password too.
CONFIG_FILE = "temporal-server.yaml"
_DYNAMIC_CONFIG_FILE = "temporal-dynamic.yaml"

#: Fixed when the databases are made. Each shard writes one thing after the other and
#: has queue readers that ask PostgreSQL even when idle. Four keep the cores of one
#: machine busy; the hundreds of a cluster would only ask more often.
HISTORY_SHARDS = 4

#: Each service opens pools of its own, so the server may hold four times as many: 96
#: of the cluster's 200. Under 32 checkouts at once it used 44.
_SESSIONS_PER_SERVICE = 20
_VISIBILITY_SESSIONS_PER_SERVICE = 4

_SERVICES = ("frontend", "history", "matching", "worker")

#: As in deploy/temporal/dynamic-config.yaml, except for the last.
_DYNAMIC_CONFIG = {
    "system.enableActivityEagerExecution": True,
    "system.enableEagerWorkflowStart": True,
    # Its services learn of a new search attribute on this beat; the first start waits
    # for it (see SERVICES_LEARN_SECONDS in ``temporal``).
    "system.namespaceCacheRefreshInterval": "1s",
}

#: At a restart PostgreSQL may have died too; it is back within a second or two. No
#: longer, because an ordered stop waits for this.
_POSTGRES_PATIENCE_SECONDS = 5.0

_SCHEMA_LIMIT_SECONDS = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOnPostgres:
    """A server on PostgreSQL that is to run, and where.

    Attributes:
        programs: what it is run and set up with.
        cluster: where it keeps everything.
        folder: where its configuration is written.
        ports: by service; each has one for calls and one to find the others.
    """

    programs: ServerPrograms
    cluster: Cluster
    folder: DataFolder
    ports: dict[str, tuple[int, int]]

    @classmethod
    def draw(
        cls,
        programs: ServerPrograms,
        cluster: Cluster,
        folder: DataFolder,
        ports: Ports,
    ) -> "ServerOnPostgres":
        """Decide its ports. Clients find it where they would find the dev server."""
        calls = {name: f"temporal_{name}" for name in _SERVICES} | {
            "frontend": "temporal"
        }
        return cls(
            programs=programs,
            cluster=cluster,
            folder=folder,
            ports={
                name: (ports.get(calls[name]), ports.get(f"temporal_{name}_membership"))
                for name in _SERVICES
            },
        )

    @property
    def address(self) -> str:
        """Where workers and clients connect."""
        return f"127.0.0.1:{self.ports['frontend'][0]}"

    @property
    def ui(self) -> None:
        """There is none."""
        return

    @property
    def needs_postgres(self) -> bool:
        """Everything is there."""
        return True

    def prepare(self) -> None:
        """Make the databases where they are missing; write the configuration.

        Raises:
            StackError: PostgreSQL does not answer, or the tables cannot be made.
        """
        _await_postgres(self.cluster)
        try:
            self._make_missing_databases()
        except (psycopg.Error, subprocess.TimeoutExpired) as error:
            raise StackError(f"its databases cannot be prepared: {error}") from error
        write_private(self.folder.root / CONFIG_FILE, self._config())
        write_private(
            self.folder.root / _DYNAMIC_CONFIG_FILE,
            {name: [{"value": value}] for name, value in _DYNAMIC_CONFIG.items()},
        )

    def launch(self) -> Launch:
        """How to run it in the foreground."""
        return Launch(
            command=[
                *(str(self.programs.server), "--allow-no-auth"),
                *("--config-file", str(self.folder.root / CONFIG_FILE), "start"),
            ],
            environment=neutral_environment(),
            folder=self.folder.root,
        )

    def _make_missing_databases(self) -> None:
        with self.cluster.connect() as connection:
            password = self.cluster.secrets.temporal_password
            ensure_role(connection, TEMPORAL_ROLE, password)
            for name in (DATABASE, VISIBILITY_DATABASE):
                if not has_database(connection, name):
                    self._make_database(connection, name)
        with self.cluster.connect(DATABASE) as inside:
            # A killed server leaves its addresses, and after a change of ports the
            # next would look for itself there for 20 s. It is the only one, by our
            # lock.
            inside.execute("DELETE FROM cluster_membership")

    def _make_database(self, connection: psycopg.Connection[Any], name: str) -> None:
        """Make a database beside its place, then move it there in one step.

        A start killed half-way leaves a draft that the next one throws away; half a
        schema could not be continued.
        """
        draft = f"{name}_draft"
        known, drawn = sql.Identifier(name), sql.Identifier(draft)
        connection.execute(
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(drawn)
        )
        create_closed_database(connection, draft, owner=TEMPORAL_ROLE)
        self._run_sql_tool(draft, "setup-schema", "--version", "0.0")
        steps = ["--schema-name", f"postgresql/v12/{DATABASE}"]
        if name == VISIBILITY_DATABASE:
            steps = ["--schema-dir", str(self.programs.visibility_schema)]
        self._run_sql_tool(draft, "update-schema", *steps)
        with self.cluster.connect(draft) as inside:
            # The server looks for the version under the name of its database.
            inside.execute("UPDATE schema_version SET db_name = %s", [name])
        connection.execute(
            sql.SQL("ALTER DATABASE {} RENAME TO {}").format(drawn, known)
        )

    def _run_sql_tool(self, database: str, *arguments: str) -> None:
        finished = subprocess.run(
            [
                str(self.programs.sql),
                *("--endpoint", "127.0.0.1", "--port", str(self.cluster.port)),
                *("--plugin", "postgres12", "--user", TEMPORAL_ROLE),
                *("--database", database, *arguments),
            ],
            # Not among the arguments, which every user of the machine can read.
            env={
                **neutral_environment(),
                "SQL_PASSWORD": self.cluster.secrets.temporal_password,
            },
            capture_output=True,
            text=True,
            timeout=_SCHEMA_LIMIT_SECONDS,
            check=False,
        )
        if finished.returncode != 0:
            reason = "\n".join((finished.stdout + finished.stderr).splitlines()[-3:])
            raise StackError(f"Temporal's database cannot be made:\n{reason}")

    def _config(self) -> dict[str, object]:
        """The server's own form. It reads YAML, of which JSON is a part."""
        return {
            "log": {"stdout": True, "level": "error"},
            "persistence": {
                "defaultStore": "default",
                "visibilityStore": "visibility",
                "numHistoryShards": HISTORY_SHARDS,
                "datastores": {
                    "default": self._store(DATABASE, _SESSIONS_PER_SERVICE),
                    "visibility": self._store(
                        VISIBILITY_DATABASE, _VISIBILITY_SESSIONS_PER_SERVICE
                    ),
                },
            },
            "global": {"membership": {"broadcastAddress": "127.0.0.1"}},
            "services": {
                name: {
                    "rpc": {
                        "grpcPort": calls,
                        "membershipPort": membership,
                        "bindOnLocalHost": True,
                    }
                }
                for name, (calls, membership) in self.ports.items()
            },
            "clusterMetadata": self._cluster_metadata(),
            "dcRedirectionPolicy": {"policy": "noop"},
            "dynamicConfigClient": {
                "filepath": str(self.folder.root / _DYNAMIC_CONFIG_FILE),
                "pollInterval": "60s",
            },
        }

    def _store(self, database: str, sessions: int) -> dict[str, object]:
        return {
            "sql": {
                "pluginName": "postgres12",
                "databaseName": database,
                "connectAddr": f"127.0.0.1:{self.cluster.port}",
                "connectProtocol": "tcp",
                "user": TEMPORAL_ROLE,
                "password": self.cluster.secrets.temporal_password,
                "maxConns": sessions,
                "maxIdleConns": sessions,
                "maxConnLifetime": "1h",
            }
        }

    def _cluster_metadata(self) -> dict[str, object]:
        """What a server wants to know of its cluster, even when it is alone."""
        return {
            "enableGlobalNamespace": False,
            "failoverVersionIncrement": 10,
            "masterClusterName": "active",
            "currentClusterName": "active",
            "clusterInformation": {
                "active": {
                    "enabled": True,
                    "initialFailoverVersion": 1,
                    "rpcName": "frontend",
                    "rpcAddress": self.address,
                }
            },
        }


def _await_postgres(cluster: Cluster) -> None:
    deadline = time.monotonic() + _POSTGRES_PATIENCE_SECONDS
    while not accepts_connections(cluster):
        if time.monotonic() > deadline:
            raise StackError("PostgreSQL does not answer, and it needs it")
        time.sleep(0.05)
