"""Metrics of both processes, for Prometheus.

The API's are `prometheus_client` objects, served by `serve`. The worker's go through
Temporal's meter, so that one endpoint shows them beside the SDK's own and a replayed
workflow does not count twice; here stand only their names. No label holds an id, an
address or a path: each has a few known values.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client import Counter, Gauge, Histogram, start_http_server
from temporalio.common import MetricMeter
from temporalio.runtime import (
    LogForwardingConfig,
    LoggingConfig,
    PrometheusConfig,
    Runtime,
    TelemetryConfig,
    TelemetryFilter,
)

#: A page that answers in milliseconds and a call that hangs for 20 seconds.
_HTTP_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

#: From "at once" to "support had to help the next day".
_ACCESS_BUCKETS = (
    *(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
    *(120.0, 600.0, 3_600.0, 21_600.0, 86_400.0),
)

#: Labels: page (`domain.customer_view.Page`). `received` and `unknown` over all pages
#: is the rate of buyers who met trouble.
PAGES_SHOWN = Counter(
    "holdfast_pages_shown", "Checkout pages shown, by page.", ["page"]
)

#: Labels: outcome (`new`, `repeated`, `too_many`, `paused`).
PAY_REQUESTS = Counter(
    "holdfast_pay_requests", "Presses on Pay, by what they came to.", ["outcome"]
)

#: Labels: by (`request`, `starter_loop`), outcome (`started`, `deferred`).
STARTS = Counter(
    "holdfast_starts",
    "Tries to start a checkout's workflow, by who tried and what came of it.",
    ["by", "outcome"],
)

#: Buyers who were told "not charged" because Temporal could not be reached.
WITHDRAWN = Counter(
    "holdfast_withdrawn", "Requests to pay that were taken back before any charge."
)

#: Labels: outcome (`accepted`, `repeated`, `refused`, ...).
WEBHOOKS = Counter(
    "holdfast_webhooks", "Webhooks received, by what was done with them.", ["outcome"]
)

RECONCILIATION_AGE = Gauge(
    "holdfast_reconciliation_age_seconds",
    "Seconds since up to when the processor's books were last compared with ours.",
)

#: Open streams and waiting requests of `/v1`; they are not among the requests below.
FOLLOWERS = Gauge(
    "holdfast_followers", "Clients that follow a checkout in this moment."
)

#: Labels: route (the template, never the path), method, status.
HTTP_REQUESTS = Histogram(
    "holdfast_http_request_seconds",
    "Seconds from a request's arrival to the end of its answer.",
    ["route", "method", "status"],
    buckets=_HTTP_BUCKETS,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerMetric:
    """A metric that workflows and activities make through Temporal's meter.

    Seconds are recorded as floats with `create_histogram_float`.

    Attributes:
        name: As Prometheus shows it; counters get `_total` behind it.
        description: What it counts; shown as its help text.
        labels: Its labels, each with a few known values.
    """

    name: str
    description: str
    labels: tuple[str, ...] = ()


CHECKOUTS = WorkerMetric(
    name="holdfast_checkouts",
    description="Attempts to pay that came to an end, by how.",
    labels=("outcome",),
)
CHARGE_TO_ACCESS_SECONDS = WorkerMetric(
    name="holdfast_charge_to_access_seconds",
    description="Seconds from the charge to open access.",
)
ROUNDS = WorkerMetric(
    name="holdfast_rounds",
    description="Durable rounds beyond the first, by the step that needed them.",
    labels=("step",),
)
RETRIES = WorkerMetric(
    name="holdfast_retries",
    description="Tries of a step that failed, as the workflow saw them; a whole round "
    "counts once.",
    labels=("step",),
)
MAILS = WorkerMetric(
    name="holdfast_mails",
    description="Mails given to the mail server, by kind and outcome.",
    labels=("kind", "outcome"),
)
ATTENTION = WorkerMetric(
    name="holdfast_attention",
    description="Checkouts marked as needing a person, by the step that is stuck.",
    labels=("step",),
)
DISCREPANCIES = WorkerMetric(
    name="holdfast_discrepancies",
    description="Differences between the processor and us that a run found, by kind.",
    labels=("kind",),
)


def count(
    meter: MetricMeter, metric: WorkerMetric, *, by: int = 1, **labels: str
) -> None:
    """Count `by` more of `metric`, on a workflow's or an activity's meter."""
    meter.create_counter(metric.name, metric.description).add(by, labels)


class MetricsAddressTaken(Exception):
    """The address for metrics cannot be listened on; the message names it."""


def serve(host: str, port: int) -> Callable[[], None]:
    """Serve `/metrics` of this process in a thread; return what stops it.

    Raises:
        MetricsAddressTaken: Another process listens there, or the host is not ours.
    """
    try:
        server, thread = start_http_server(port, addr=host)
    except OSError as error:
        msg = f"metrics cannot be served on {host}:{port}: {error.strerror or error}"
        raise MetricsAddressTaken(msg) from None

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop


def worker_runtime(host: str, port: int) -> Runtime:
    """Return the Temporal runtime of a worker, with its metrics on one endpoint.

    The SDK's own log lines come through our pipeline. Keep the runtime: its endpoint
    goes with it.

    Raises:
        MetricsAddressTaken: Another process listens there, or the host is not ours.
    """
    prometheus = PrometheusConfig(
        bind_address=f"{host}:{port}",
        counters_total_suffix=True,
        # Our names say their unit already; a suffix would say it twice.
        unit_suffix=False,
        durations_as_seconds=True,
        histogram_bucket_overrides={CHARGE_TO_ACCESS_SECONDS.name: _ACCESS_BUCKETS},
    )
    telemetry = TelemetryConfig(
        logging=_forwarded_logs(), metrics=prometheus, attach_service_name=False
    )
    try:
        return Runtime(telemetry=telemetry)
    except (RuntimeError, ValueError) as error:
        msg = f"metrics cannot be served on {host}:{port}: {error}"
        raise MetricsAddressTaken(msg) from None


def client_runtime() -> Runtime:
    """Return the Temporal runtime of the API: no metrics, its logs in our pipeline."""
    return Runtime(telemetry=TelemetryConfig(logging=_forwarded_logs()))


def _forwarded_logs() -> LoggingConfig:
    """The SDK's core would write to the terminal by itself, past the last net."""
    return LoggingConfig(
        filter=TelemetryFilter(core_level="WARN", other_level="ERROR"),
        forwarding=LogForwardingConfig(logger=logging.getLogger("temporalio.core")),
    )
