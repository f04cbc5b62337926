"""Metrics: one endpoint per process, names that Prometheus shows as written."""

from __future__ import annotations

import socket

import httpx
import pytest
from prometheus_client import REGISTRY

from observability import metrics


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_the_api_serves_its_metrics() -> None:
    """The endpoint shows what was counted, and can be stopped."""
    port = _free_port()
    stop = metrics.serve("127.0.0.1", port)
    try:
        metrics.PAGES_SHOWN.labels(page="success").inc()
        text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    finally:
        stop()

    assert 'holdfast_pages_shown_total{page="success"}' in text
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/metrics")


def test_a_taken_port_is_a_clear_error() -> None:
    """A second process on the port learns which address is taken."""
    port = _free_port()
    stop = metrics.serve("127.0.0.1", port)
    try:
        with pytest.raises(metrics.MetricsAddressTaken, match=f"127.0.0.1:{port}"):
            metrics.serve("127.0.0.1", port)
        with pytest.raises(metrics.MetricsAddressTaken, match=f"127.0.0.1:{port}"):
            metrics.worker_runtime("127.0.0.1", port)
    finally:
        stop()


def test_the_workers_metrics_share_the_sdks_endpoint() -> None:
    """Counters and seconds made through Temporal's meter show under their own names."""
    port = _free_port()
    # The endpoint lives as long as the runtime does.
    runtime = metrics.worker_runtime("127.0.0.1", port)
    meter = runtime.metric_meter
    meter.create_counter(metrics.CHECKOUTS.name, metrics.CHECKOUTS.description).add(
        1, {"outcome": "delivered"}
    )
    meter.create_histogram_float(
        metrics.CHARGE_TO_ACCESS_SECONDS.name,
        metrics.CHARGE_TO_ACCESS_SECONDS.description,
    ).record(0.07)

    text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    assert 'holdfast_checkouts_total{outcome="delivered"} 1' in text
    assert 'holdfast_charge_to_access_seconds_bucket{le="0.1"} 1' in text
    assert "holdfast_charge_to_access_seconds_sum 0.07" in text


def test_no_label_can_name_a_person_or_a_path() -> None:
    """Labels come from a short list of words with few values each."""
    allowed = {"page", "outcome", "by", "route", "method", "status", "step", "kind"}
    used = {
        label
        for collector in (
            metrics.PAGES_SHOWN,
            metrics.PAY_REQUESTS,
            metrics.STARTS,
            metrics.WITHDRAWN,
            metrics.WEBHOOKS,
            metrics.HTTP_REQUESTS,
        )
        for label in collector._labelnames
    }
    of_the_worker = [
        made
        for made in vars(metrics).values()
        if isinstance(made, metrics.WorkerMetric)
    ]
    assert metrics.CHECKOUTS in of_the_worker
    used |= {label for metric in of_the_worker for label in metric.labels}

    assert used <= allowed
    assert REGISTRY.get_sample_value("holdfast_withdrawn_total") is not None
