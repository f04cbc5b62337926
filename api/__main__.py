"""`python -m api`: settings, logs, database, Temporal, mail; then serve.

The composition root of this process. Nothing imports it.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import uvicorn
import uvloop

from settings import Settings, SettingsError, load_settings

if TYPE_CHECKING:
    from api.followers import Followers

#: With what the lifespan takes, the process is gone within five seconds of SIGTERM.
_SHUTDOWN_SECONDS = 3

_WRONG_SETTINGS = 2


def main() -> int:
    """Serve until told to stop; the exit code says whether the start went well."""
    try:
        settings = load_settings()
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return _WRONG_SETTINGS
    # Imported late, so that wrong settings are told at once.
    from observability import logs, metrics, tracing

    logs.configure(settings.log_format)
    tracing.configure(settings.traces, "holdfast-api")
    try:
        stop_metrics = metrics.serve(settings.metrics_host, settings.api_metrics_port)
    except metrics.MetricsAddressTaken as error:
        sys.stderr.write(f"{error}\n")
        return _WRONG_SETTINGS
    # uvicorn sends itself the signal again once it has shut down in order; by default
    # that would end the process as killed.
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.signal(signal.SIGINT, lambda *_: None)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_serve(settings))
    finally:
        stop_metrics()


class _Server(uvicorn.Server):
    """A server that ends its streams before it waits for the last answers."""

    def __init__(self, followers: Followers, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._followers = followers

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Shut down in order."""
        self._followers.close()
        await super().shutdown(sockets)


async def _serve(settings: Settings) -> int:
    from api.app import create_app
    from api.own_mail import ApiMailer
    from api.parts import Parts
    from database.engine import make_engine
    from domain.addresses import PageAddresses
    from mail.sender import SmtpMailer
    from observability import metrics, tracing
    from processor.stripe_adapter import StripeProcessor
    from workflows.desk import OnCallDesk
    from workflows.door import CheckoutDoor, connect

    client = await connect(
        settings.temporal_address,
        settings.temporal_namespace,
        runtime=metrics.client_runtime(),
        interceptors=tracing.temporal_interceptors(),
    )
    secrets = [key.get_secret_value() for key in settings.secret_keys]
    # The console looks with it; `api.parts.Processor` offers nothing else.
    processor = StripeProcessor.of(
        settings, PageAddresses(settings.public_url, secrets)
    )
    parts = Parts(
        settings=settings,
        engine=make_engine(
            settings.database_url.get_secret_value(),
            pool_size=settings.database_pool_size,
            application_name="holdfast-api",
        ),
        door=CheckoutDoor(client),
        mailer=ApiMailer(settings, SmtpMailer.of(settings)),
        clock=lambda: datetime.now(UTC),
        desk=OnCallDesk(client),
        processor=processor,
    )
    server = _Server(
        parts.followers,
        uvicorn.Config(
            tracing.instrument(create_app(parts)),
            host=settings.api_host,
            port=settings.api_port,
            proxy_headers=True,
            forwarded_allow_ips=settings.trusted_proxies,
            # Our own line tells more, and never an address.
            access_log=False,
            log_config=None,
            server_header=False,
            ws="none",
            lifespan="on",
            timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        ),
    )
    try:
        await server.serve()
    finally:
        await processor.close()
    return 0 if server.started else 1


if __name__ == "__main__":
    raise SystemExit(main())
