"""What each process of the stack is told: its addresses, its secrets, its command."""

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

from stack.caddy import Edge
from stack.places import DataFolder, Ports, Secrets
from stack.postgres import Cluster
from stack.processes import Launch
from stack.temporal import NAMESPACE, TemporalServer

#: The checkout. Children run from here, whatever folder the command was given in.
REPOSITORY = Path(__file__).resolve().parent.parent

#: Settings of other installations that must not reach the children of this one: the
#: shell may hold those of a real shop.
_FOREIGN_PREFIXES = ("HOLDFAST_", "STRIPE_", "TEMPORAL_", "PG")

#: What a person or a test may still turn in a stack by the shell. None of it leads to
#: another installation, and each is what somebody tries out on this machine.
_PASSED_ON = (
    "HOLDFAST_RATE_LIMIT_PER_MINUTE",  # All buyers of a test come from one address.
    "HOLDFAST_TRACES",  # With OTEL_*, which passes too: to look at traces.
    "HOLDFAST_PLANS",  # To see one's own plans in the shop.
)


@dataclass(slots=True)
class Addresses:
    """Every port of one stack, all on 127.0.0.1."""

    #: Where customers come: the edge's port, or without an edge the API's own.
    shop: int
    api: int
    api_metrics: int
    processor: int
    mailbox: int
    smtp: int
    application: int
    #: By worker's name; grows when a worker is added.
    worker_metrics: dict[str, int] = field(default_factory=dict)

    @classmethod
    def choose(
        cls, ports: Ports, *, api_port: int | None, has_edge: bool = False
    ) -> "Addresses":
        """The remembered ports, or free ones."""
        # The same with and without an edge, so that a link in yesterday's mail opens.
        shop = ports.get("api", wanted=api_port)
        return cls(
            shop=shop,
            api=ports.get("api_behind_edge") if has_edge else shop,
            api_metrics=ports.get("api_metrics"),
            processor=ports.get("processor"),
            mailbox=ports.get("mailbox"),
            smtp=ports.get("smtp"),
            application=ports.get("application"),
        )


def local(port: int) -> str:
    """The address of a page on this machine."""
    return f"http://127.0.0.1:{port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Blueprint:
    """All that is decided before the first process starts."""

    folder: DataFolder
    secrets: Secrets
    addresses: Addresses
    cluster: Cluster
    temporal: TemporalServer
    #: In front of the API; None to let customers come to the API itself.
    edge: Edge | None = None
    #: Where the product's code is; tests put stand-ins there.
    repository: Path = REPOSITORY

    def product_environment(self) -> dict[str, str]:
        """The settings of API and worker, as an operator would write them."""
        known, at = self.secrets, self.addresses
        application = local(at.application)
        return {
            **_neutral_environment(),
            "HOLDFAST_ENVIRONMENT": "development",
            "HOLDFAST_DATABASE_URL": self.cluster.app_url,
            "HOLDFAST_PUBLIC_URL": local(at.shop),
            "HOLDFAST_API_HOST": "127.0.0.1",
            "HOLDFAST_API_PORT": str(at.api),
            "HOLDFAST_API_METRICS_PORT": str(at.api_metrics),
            "HOLDFAST_SECRET_KEYS": known.secret_key,
            "HOLDFAST_API_KEYS": known.api_key,
            "TEMPORAL_ADDRESS": self.temporal.address,
            "TEMPORAL_NAMESPACE": NAMESPACE,
            "STRIPE_API_KEY": known.stripe_api_key,
            "STRIPE_API_BASE": local(at.processor),
            "STRIPE_WEBHOOK_SECRETS": known.stripe_webhook_secret,
            "HOLDFAST_PROVISIONING_URL": f"{application}/holdfast/entitlements",
            "HOLDFAST_PROVISIONING_SECRET": known.provisioning_secret,
            "HOLDFAST_APPLICATION_URL": application,
            "HOLDFAST_SMTP_HOST": "127.0.0.1",
            "HOLDFAST_SMTP_PORT": str(at.smtp),
            "HOLDFAST_MAIL_FROM": "Acme payments <pay@acme.test>",
            "HOLDFAST_LOG_FORMAT": "console",
            **self._first_worker(),
            **self._console(),
        }

    def migrations(self) -> Launch:
        """The one-shot step that brings the schema up to date."""
        environment = self.product_environment()
        environment["HOLDFAST_MIGRATION_DATABASE_URL"] = self.cluster.owner_url
        return self._python("-m", "database.migrate", environment=environment)

    def api(self) -> Launch:
        """The shop's pages and the JSON API."""
        return self._python("-m", "api", environment=self.product_environment())

    def worker(self, name: str) -> Launch:
        """One worker; each serves its metrics on a port of its own."""
        environment = self.product_environment()
        port = self.addresses.worker_metrics[name]
        environment["HOLDFAST_WORKER_METRICS_PORT"] = str(port)
        return self._python("worker.py", environment=environment)

    def processor(self) -> Launch:
        """The sandbox's payment processor."""
        return self._sandbox(
            "processor",
            *("--host", "127.0.0.1"),
            *("--port", str(self.addresses.processor)),
            *("--merchant", "Acme"),
            *("--webhook-url", f"{local(self.addresses.shop)}/webhooks/stripe"),
            secrets={
                "SANDBOX_API_KEY": self.secrets.stripe_api_key,
                "SANDBOX_WEBHOOK_SECRET": self.secrets.stripe_webhook_secret,
            },
        )

    def mailbox(self) -> Launch:
        """The sandbox's mail server with a page to read it."""
        return self._sandbox(
            "mailbox",
            *("--smtp-port", str(self.addresses.smtp)),
            *("--http-port", str(self.addresses.mailbox)),
        )

    def application(self) -> Launch:
        """The company's demo application."""
        return self._sandbox(
            "application",
            *("--port", str(self.addresses.application)),
            secrets={"SANDBOX_APPLICATION_SECRET": self.secrets.provisioning_secret},
        )

    def published(self) -> dict[str, object]:
        """The addresses for people and programs outside the stack."""
        at = self.addresses
        first_worker = next(iter(at.worker_metrics.values()), None)
        return {
            "shop": local(at.shop),
            # The same as the shop without an edge.
            "api": local(at.api),
            "processor": local(at.processor),
            "mailbox": local(at.mailbox),
            "smtp": f"127.0.0.1:{at.smtp}",
            "application": local(at.application),
            # None where the server has no UI.
            "temporal_ui": self.temporal.ui,
            "temporal_address": self.temporal.address,
            "temporal_namespace": NAMESPACE,
            "database_url": self.cluster.app_url,
            "owner_database_url": self.cluster.owner_url,
            "api_metrics": f"{local(at.api_metrics)}/metrics",
            "worker_metrics": first_worker and f"{local(first_worker)}/metrics",
            "api_key": self.secrets.api_key,
            "data": str(self.folder.root),
        }

    def _first_worker(self) -> dict[str, str]:
        """API and migrations read the same settings, so they need some port there."""
        ports = list(self.addresses.worker_metrics.values())
        return {"HOLDFAST_WORKER_METRICS_PORT": str(ports[0])} if ports else {}

    def _console(self) -> dict[str, str]:
        """Where the console's links to the Temporal UI lead, if there is one."""
        ui = self.temporal.ui
        if ui is None:
            return {}
        return {"HOLDFAST_CONSOLE_TEMPORAL_URL": ui.partition("/namespaces/")[0]}

    def _python(self, *arguments: str, environment: dict[str, str]) -> Launch:
        return Launch(
            command=[sys.executable, *arguments],
            environment=environment,
            folder=self.repository,
        )

    def _sandbox(
        self, name: str, *arguments: str, secrets: dict[str, str] | None = None
    ) -> Launch:
        """Secrets go by the environment: `ps` shows arguments to every account."""
        data = str(self.folder.root / f"{name}.db")
        return self._python(
            *("-m", f"sandbox.{name}", "--data", data, *arguments),
            environment=_neutral_environment() | (secrets or {}),
        )


def _neutral_environment() -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _PASSED_ON or not name.startswith(_FOREIGN_PREFIXES)
    }
    return {
        **kept,
        # Children run in the checkout, where a `.env` may hold a real shop's settings.
        "HOLDFAST_ENV_FILE": "",
        # Logs are read while the process lives, and above all after it was killed.
        "PYTHONUNBUFFERED": "1",
    }
