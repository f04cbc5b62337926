"""Deployment files: they name real settings, real folders and pinned versions."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from settings import Settings
from stack.temporal import NAMESPACE, RETENTION, SEARCH_ATTRIBUTES

REPOSITORY = Path(__file__).parents[2]
COMPOSE = (REPOSITORY / "docker-compose.yml").read_text()
EXAMPLE = (REPOSITORY / ".env.example").read_text()
DOCKERFILE = (REPOSITORY / "deploy" / "Dockerfile").read_text()

SETTINGS = {
    name.upper()
    if name.startswith(("stripe_", "temporal_"))
    else f"HOLDFAST_{name.upper()}"
    for name in Settings.model_fields
}

#: What other containers than ours read.
OF_POSTGRES = {"HOLDFAST_OWNER_PASSWORD", "HOLDFAST_APP_PASSWORD"}
OF_TEMPORAL = {
    "TEMPORAL_DB_PASSWORD",
    "TEMPORAL_DEFAULT_NAMESPACE",
    "TEMPORAL_DISABLE_WRITE_ACTIONS",
}


def _block(name: str) -> str:
    """The text of one top-level or service block of the compose file."""
    found = re.search(
        rf"^(?P<indent> *){re.escape(name)}:.*\n(?:(?P=indent) .*\n|\s*\n|\s*#.*\n)*",
        COMPOSE,
        re.MULTILINE,
    )
    assert found, name
    return found[0]


def _names(text: str) -> set[str]:
    return set(re.findall(r"^ +([A-Z][A-Z0-9_]+):", text, re.MULTILINE))


def test_every_variable_is_a_real_setting() -> None:
    """A misspelt name in the compose file would silently be a default."""
    named = {
        name
        for name in _names(COMPOSE)
        if name.startswith(("HOLDFAST_", "STRIPE_", "TEMPORAL_"))
    }

    assert named - OF_POSTGRES - OF_TEMPORAL <= SETTINGS


def test_every_setting_reaches_api_and_worker() -> None:
    """What an operator writes into `.env` has its effect in the containers."""
    given = _names(_block("x-settings"))

    # Only what makes tables and accounts may hold the owner's password.
    assert SETTINGS - given == {"HOLDFAST_MIGRATION_DATABASE_URL"}
    for service in ("migrate", "operator"):
        assert "HOLDFAST_MIGRATION_DATABASE_URL" in _names(_block(service))
    assert 'restart: "no"' in _block("operator")
    assert "profiles:" in _block("operator")
    for service in ("api", "worker"):
        assert "<<: *settings" in _block(service)
        assert "OWNER_PASSWORD" not in _block(service)


def test_every_interpolated_name_is_in_the_example() -> None:
    """There is nothing to set that `.env.example` does not tell of."""
    used = set(re.findall(r"\$\{([A-Z0-9_]+)", COMPOSE))
    listed = set(re.findall(r"^(?:# )?([A-Z][A-Z0-9_]+)=", EXAMPLE, re.MULTILINE))

    assert used <= listed


def test_no_secret_stands_on_a_command_line() -> None:
    """`ps` shows arguments to everybody; the environment is its process's own."""
    for program in ("processor", "application"):
        main = REPOSITORY / "sandbox" / program / "__main__.py"
        read = set(re.findall(r"\bSANDBOX_[A-Z_]+", main.read_text()))

        assert read
        assert {n for n in _names(_block(program)) if n.startswith("SANDBOX_")} == read
    # Caddy's ports are published by the same kind of line.
    given = re.compile(r"^ +(?:- |command: ).*\$\{(?!EDGE_HTTPS?:).*$", re.MULTILINE)
    commands = given.findall(COMPOSE)
    assert commands == []


def test_ports_are_published_on_this_machine_alone() -> None:
    """Only the edge can be, and without settings not even that."""
    port = r"^ +- (?:\$\{EDGE_HTTPS?:-)?([\d.:]+:\d+)(?:\}:\d+)?$"
    published = re.findall(port, COMPOSE, re.MULTILINE)

    assert len(published) == 6
    assert all(address.startswith("127.0.0.1:") for address in published)
    for service in ("postgres", "temporal", "api", "worker", "migrate", "operator"):
        assert "ports:" not in _block(service)
    assert "\nnetworks:\n" in COMPOSE
    assert "  inner:\n    internal: true\n" in COMPOSE.split("\nnetworks:\n")[1]
    for service in ("postgres", "temporal"):
        assert "outer" not in _block(service)


def test_customers_come_through_the_edge_alone() -> None:
    """Caddy meets the API on a network of its own, and is on no inner one."""
    (subnet,) = re.findall(r"- subnet: (\S+)$", COMPOSE, re.MULTILINE)
    trusted = re.findall(r"HOLDFAST_TRUSTED_PROXIES:-([^}]+)\}", COMPOSE)
    networks = re.findall(r"^      - ([a-z]+)$", _block("caddy"), re.MULTILINE)

    assert trusted == [subnet]
    assert networks == ["edge", "front"]
    assert "EDGE_UPSTREAM: api.edge:8000" in _block("caddy")
    assert "- api.edge" in _block("api")
    others = ("postgres", "temporal", "worker", "migrate", "temporal-ui", "processor")
    for service in others:
        assert not re.search(
            r"^      (- )?(edge|front)\b", _block(service), re.MULTILINE
        )


def test_the_edge_is_told_only_what_it_reads() -> None:
    """A misspelt name would silently be a default."""
    files = [REPOSITORY / "deploy" / name for name in ("Caddyfile", "holding.html")]
    read = set()
    for file in files:
        read |= set(re.findall(r"(?:\{\$|env \")([A-Z][A-Z_]+)", file.read_text()))

    # It listens on every address of its container.
    assert read - {"EDGE_BIND"} == _names(_block("caddy"))


def test_every_image_has_a_version() -> None:
    """An update is a decision, not a restart."""
    images = re.findall(r"^ +image: (\S+)$", COMPOSE, re.MULTILINE)
    foreign = [image for image in images if not image.startswith("holdfast")]

    assert len(foreign) == 6
    assert all(re.search(r":\d+\.\d+", image) for image in foreign)
    # Server and the tool that makes its schema belong together.
    of_temporal = {i.split(":")[1] for i in foreign if "server" in i or "admin" in i}
    assert len(of_temporal) == 1


def test_our_containers_can_do_little() -> None:
    """No new privileges anywhere; ours write nowhere and hold no capability."""
    assert "no-new-privileges:true" in _block("x-service")
    for line in ("read_only: true", "cap_drop:", "- ALL", "<<: *service"):
        assert line in _block("x-product")
    written = COMPOSE.split("\nservices:\n")[1].split("\nnetworks:\n")[0]
    services = re.findall(r"^  ([a-z-]+):$", written, re.MULTILINE)
    assert len(services) == 13
    for service in services:
        assert re.search(r"<<: \*(service|product|try)", _block(service)), service
    assert "privileged" not in COMPOSE.replace("no-new-privileges", "")
    assert "docker.sock" not in COMPOSE


def test_the_image_holds_the_product_and_no_more() -> None:
    """Each package is copied; tests, secrets and the embedded stack are not."""
    product, tried = DOCKERFILE.split("AS try-packages")
    copied = set(re.findall(r"^COPY ([a-z]+) \1$", product, re.MULTILINE))
    expected = {
        "domain",
        "observability",
        "processor",
        "database",
        "mail",
        "activities",
        "workflows",
        "api",
        "operating",
    }

    assert copied == expected
    assert "COPY settings.py worker.py cli.py ./" in product
    assert set(re.findall(r"^COPY ([a-z]+) \1$", tried, re.MULTILINE)) == {"sandbox"}
    assert "COPY settings.py worker.py cli.py ./" in product
    assert "--require-hashes" in product
    assert "USER 10001" in product
    assert not re.search(r"secret|password|token|api_key", DOCKERFILE, re.IGNORECASE)
    ignored = (REPOSITORY / "deploy" / "Dockerfile.dockerignore").read_text()
    assert set(re.findall(r"^!([a-z]+)$", ignored, re.MULTILINE)) == (
        expected | {"sandbox"}
    )
    assert "\n*\n" in ignored
    assert "\n!cli.py\n" in ignored


def test_the_sandboxs_pins_are_those_that_are_tested() -> None:
    """The image for trying runs the same versions as the tests."""
    tested = (REPOSITORY / "requirements-dev.txt").read_text()
    tried = (REPOSITORY / "deploy" / "requirements-try.txt").read_text()
    lines = [line for line in tried.splitlines() if not line.startswith("#")]

    assert [line for line in lines if line.startswith("aiosmtpd==")]
    for line in lines:
        assert line.rstrip(" \\") in tested


def test_the_namespace_is_the_one_that_is_tested() -> None:
    """Name, retention and search attributes are those of the embedded stack."""
    script = (REPOSITORY / "deploy" / "temporal" / "namespace.sh").read_text()
    hours = int(RETENTION.total_seconds()) // 3600

    assert f"TEMPORAL_NAMESPACE: {NAMESPACE}\n" in COMPOSE
    assert f"RETENTION={hours}h\n" in script
    assert dict(re.findall(r"(\w+):(Keyword|Bool)", script)) == SEARCH_ATTRIBUTES


@pytest.mark.parametrize("environment", ["", "--env-file=.env.example"])
def test_compose_reads_the_file(environment: str) -> None:
    """The tool itself takes the file, with and without settings."""
    tool = shutil.which("docker-compose")
    if tool is None:
        pytest.skip("docker-compose is not installed")
    words = [tool, *([environment] if environment else []), "config", "-q"]
    done = subprocess.run(
        words, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
