"""What the stack's processes are told, and how."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stack.environment import REPOSITORY, Addresses, Blueprint
from stack.places import DataFolder, Ports, Secrets
from stack.processes import Launch


@pytest.fixture
def blueprint(tmp_path: Path) -> Blueprint:
    """A stack's plan; nothing of it is started."""
    servers: Any = SimpleNamespace(
        app_url="postgresql://app",
        owner_url="postgresql://owner",
        address="t:1",
        ui=None,
    )
    return Blueprint(
        folder=DataFolder(tmp_path),
        secrets=Secrets.random(),
        addresses=Addresses(
            shop=1,
            api=8,
            api_metrics=2,
            processor=3,
            mailbox=4,
            smtp=5,
            application=6,
            worker_metrics={"worker-1": 7},
        ),
        cluster=servers,
        temporal=servers,
    )


def _launches(blueprint: Blueprint) -> list[Launch]:
    return [
        blueprint.migrations(),
        blueprint.api(),
        blueprint.worker("worker-1"),
        blueprint.processor(),
        blueprint.mailbox(),
        blueprint.application(),
    ]


def test_no_secret_stands_in_the_list_of_processes(blueprint: Blueprint) -> None:
    """Other accounts of the machine can read arguments; they learn nothing there."""
    secrets = dataclasses.asdict(blueprint.secrets).values()

    for launch in _launches(blueprint):
        line = " ".join(launch.command)
        assert not any(secret in line for secret in secrets), line


def test_both_sides_know_the_same_secrets(blueprint: Blueprint) -> None:
    """What the sandbox checks and signs with is what the product was told."""
    product = blueprint.product_environment()
    processor = blueprint.processor().environment
    application = blueprint.application().environment

    assert processor["SANDBOX_API_KEY"] == product["STRIPE_API_KEY"]
    assert processor["SANDBOX_WEBHOOK_SECRET"] == product["STRIPE_WEBHOOK_SECRETS"]
    assert (
        application["SANDBOX_APPLICATION_SECRET"]
        == product["HOLDFAST_PROVISIONING_SECRET"]
    )
    assert "SANDBOX_API_KEY" not in blueprint.mailbox().environment


def test_customers_are_sent_to_the_edge(blueprint: Blueprint) -> None:
    """Links and webhooks lead to where customers come; the API listens behind it."""
    product = blueprint.product_environment()
    processor = blueprint.processor().command

    assert product["HOLDFAST_PUBLIC_URL"] == blueprint.published()["shop"]
    assert product["HOLDFAST_API_PORT"] == "8"
    assert "http://127.0.0.1:1/webhooks/stripe" in processor


def test_a_link_opens_with_and_without_an_edge(tmp_path: Path) -> None:
    """The shop keeps its port, whoever listens there today."""
    ports = Ports(DataFolder.open(tmp_path), print)
    alone = Addresses.choose(ports, api_port=None)
    behind = Addresses.choose(ports, api_port=None, has_edge=True)

    assert alone.shop == alone.api == behind.shop
    assert behind.api != behind.shop


@pytest.mark.parametrize(
    ("program", "given", "missing"),
    [
        ("processor", {}, "SANDBOX_API_KEY"),
        ("processor", {"SANDBOX_API_KEY": "sk_test_1"}, "SANDBOX_WEBHOOK_SECRET"),
        ("application", {}, "SANDBOX_APPLICATION_SECRET"),
    ],
)
def test_a_missing_secret_is_named(
    tmp_path: Path, program: str, given: dict[str, str], missing: str
) -> None:
    """A sandbox program without its secret does not start, and says which one."""
    words = [sys.executable, "-m", f"sandbox.{program}", "--port", "0"]
    words += ["--data", str(tmp_path / "data.db")]
    if program == "processor":
        words += ["--webhook-url", "http://127.0.0.1:1"]

    done = subprocess.run(
        words, cwd=REPOSITORY, env=given, capture_output=True, text=True, check=False
    )

    assert done.returncode == 2
    assert f"{missing} or --" in done.stderr


#: Prints what API and worker make of their environment.
_SHOW = """
from settings import load_settings
shown = {"company_name", "support_hours", "rate_limit_per_minute", "stripe_api_base"}
print(load_settings().model_dump_json(include=shown))
"""


def test_settings_of_another_shop_stay_outside(
    blueprint: Blueprint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the shell's settings nor a `.env` reach a child, but for a few."""
    (tmp_path / ".env").write_text("HOLDFAST_COMPANY_NAME=Of the file\n")
    monkeypatch.setenv("HOLDFAST_SUPPORT_HOURS", "Of the shell")
    monkeypatch.setenv("STRIPE_API_BASE", "http://of-the-shell")
    monkeypatch.setenv("HOLDFAST_RATE_LIMIT_PER_MINUTE", "123")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "passes")

    environment = blueprint.product_environment()
    shown = subprocess.run(
        [sys.executable, "-c", _SHOW],
        cwd=tmp_path,
        env={
            **environment,
            "PYTHONPATH": str(REPOSITORY),
            "HOLDFAST_DATABASE_URL": "postgresql+psycopg://app",
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout) == {
        "company_name": "Acme",
        "support_hours": "Monday to Friday, 09:00 to 17:00 UTC",
        "rate_limit_per_minute": 123,
        "stripe_api_base": "http://127.0.0.1:3",
    }
    assert environment["OTEL_SERVICE_NAME"] == "passes"
