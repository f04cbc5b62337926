"""Settings: documented, and refused by name and without their values when wrong."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

from settings import (
    Environment,
    Settings,
    SettingsError,
    load_on_call,
    load_settings,
)

REPOSITORY = Path(__file__).parents[2]

SECRET = "Xq3vXo01pZcKf9LmN7bTs5RwYhU2jGdEaI8"
GOOD = {
    "HOLDFAST_ENVIRONMENT": "development",
    "HOLDFAST_PUBLIC_URL": "http://127.0.0.1:8000",
    "HOLDFAST_SECRET_KEYS": SECRET,
    "HOLDFAST_DATABASE_URL": "postgresql+psycopg://holdfast_app:hunter22@db/holdfast",
    "STRIPE_API_KEY": "sk_test_4eC39HqLyjWDarjtT1zdp7dc",
    "HOLDFAST_PROVISIONING_URL": "https://app.acme.test/holdfast",
    "HOLDFAST_PROVISIONING_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "HOLDFAST_APPLICATION_URL": "https://app.acme.test/",
}
LIVE = GOOD | {
    "HOLDFAST_ENVIRONMENT": "production",
    "HOLDFAST_PUBLIC_URL": "https://shop.acme.test",
    "STRIPE_API_KEY": "sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc",
    "STRIPE_PUBLISHABLE_KEY": "pk_live_4eC39HqLyjWDarjtT1zdp7dc",
    "STRIPE_WEBHOOK_SECRETS": "whsec_4eC39HqLyjWDarjtT1zdp7dc",
    "HOLDFAST_COMPANY_NAME": "Northwind",
    "HOLDFAST_SUPPORT_EMAIL": "help@northwind.test",
    "HOLDFAST_SUPPORT_NAME": "Nell",
    "HOLDFAST_MAIL_FROM": "Northwind, Inc. <pay@northwind.test>",
}
PLAN = '{"plan_id":"a","name":"A","amount_minor":100,"currency":"usd","months":1}'


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither this shell's settings nor a `.env` of the folder reach a test."""
    import os

    for name in list(os.environ):
        if name.startswith(("HOLDFAST_", "STRIPE_", "TEMPORAL_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def _load(monkeypatch: pytest.MonkeyPatch, values: dict[str, str]) -> Settings:
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return load_settings()


def _names() -> set[str]:
    """The names of all settings, as an operator writes them."""
    return {
        name.upper()
        if name.startswith(("stripe_", "temporal_"))
        else f"HOLDFAST_{name.upper()}"
        for name in Settings.model_fields
    }


def test_good_settings_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """What must be given suffices; all else has a default."""
    settings = _load(monkeypatch, GOOD)

    assert settings.environment is Environment.DEVELOPMENT
    assert not settings.is_live
    assert [str(plan.price) for plan in settings.plan_by_id().values()] == ["$249.00"]


def test_production_settings_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Live keys belong to production."""
    assert _load(monkeypatch, LIVE).is_live


def test_lists_are_comma_separated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets are listed newest first, with or without blanks."""
    other = SECRET[::-1]
    settings = _load(monkeypatch, GOOD | {"HOLDFAST_SECRET_KEYS": f"{SECRET}, {other}"})

    assert [key.get_secret_value() for key in settings.secret_keys] == [SECRET, other]


def test_an_empty_list_is_an_empty_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line without a value in `.env` is no secret."""
    settings = _load(
        monkeypatch, GOOD | {"HOLDFAST_API_KEYS": "", "STRIPE_WEBHOOK_SECRETS": ""}
    )

    assert settings.api_keys == []
    assert settings.stripe_webhook_secrets == []


def test_an_empty_address_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """An optional setting that stands empty in `.env` is not set."""
    empty = dict.fromkeys(
        (
            "STRIPE_API_BASE",
            "STRIPE_PUBLISHABLE_KEY",
            "HOLDFAST_SMTP_USERNAME",
            "HOLDFAST_SMTP_PASSWORD",
            "HOLDFAST_MIGRATION_DATABASE_URL",
        ),
        "",
    )

    assert not _load(
        monkeypatch,
        LIVE | empty | {"STRIPE_PUBLISHABLE_KEY": LIVE["STRIPE_PUBLISHABLE_KEY"]},
    ).stripe_api_base


@pytest.mark.parametrize("name", sorted(GOOD.keys() - {"HOLDFAST_ENVIRONMENT"}))
def test_a_missing_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Without a setting that must be given, the start is refused by its name."""
    with pytest.raises(SettingsError, match=name):
        _load(monkeypatch, {k: v for k, v in GOOD.items() if k != name})


@pytest.mark.parametrize(
    ("base", "name", "value", "sentence"),
    [
        (GOOD, "HOLDFAST_SECRET_KEYS", "", "HOLDFAST_SECRET_KEYS: it is not set"),
        (LIVE, "HOLDFAST_SUPPORT_NAME", "Dana", "HOLDFAST_SUPPORT_NAME is the example"),
        (GOOD, "HOLDFAST_SECRET_KEYS", "short-one", "shorter than 32"),
        (GOOD, "HOLDFAST_SECRET_KEYS", f"{SECRET},short-one", "shorter than 32"),
        (GOOD, "HOLDFAST_SECRET_KEYS", f"change-me{SECRET}", "well-known example"),
        (GOOD, "HOLDFAST_SECRET_KEYS", "abab" * 12, "well-known example"),
        (GOOD, "HOLDFAST_API_KEYS", "short-one", "HOLDFAST_API_KEYS holds"),
        (GOOD, "HOLDFAST_PROVISIONING_SECRET", SECRET, "whsec_"),
        (GOOD, "HOLDFAST_PROVISIONING_SECRET", "", "HOLDFAST_PROVISIONING_SECRET"),
        (GOOD, "HOLDFAST_PROVISIONING_SECRET", "whsec_", "base64 of 16 bytes"),
        (GOOD, "HOLDFAST_PROVISIONING_SECRET", "whsec_c2hvcnQ=", "base64 of 16 bytes"),
        (GOOD, "HOLDFAST_PROVISIONING_SECRET", f"whsec_{'a-b_' * 9}", "base64 of 16"),
        (GOOD, "STRIPE_WEBHOOK_SECRETS", SECRET, "STRIPE_WEBHOOK_SECRETS"),
        (GOOD, "STRIPE_WEBHOOK_SECRETS", "whsec_", "fewer than 16 characters"),
        (GOOD, "STRIPE_WEBHOOK_SECRETS", f"whsec_{'x7' * 7}", "fewer than 16 charact"),
        (
            GOOD,
            "STRIPE_WEBHOOK_SECRETS",
            f"{LIVE['STRIPE_WEBHOOK_SECRETS']},whsec_q7z",
            "fewer than 16 characters",
        ),
        (GOOD, "STRIPE_PUBLISHABLE_KEY", "pk_live_4eC39HqL", "begin with pk_test_"),
        (GOOD, "STRIPE_PUBLISHABLE_KEY", "sk_test_4eC39HqL", "begin with pk_test_"),
        (LIVE, "STRIPE_PUBLISHABLE_KEY", "pk_test_4eC39HqL", "begin with pk_live_"),
        (GOOD, "HOLDFAST_DATABASE_URL", "postgresql://u:hunter22@db/x", "postgresql+"),
        (GOOD, "HOLDFAST_MIGRATION_DATABASE_URL", "postgres://u:hunter22@db/x", "+psy"),
        (GOOD, "HOLDFAST_MAIL_FROM", "Acme payments", "holds no mail address"),
        (GOOD, "HOLDFAST_MAIL_FROM", "Acme <a@b.test> c", "holds no mail address"),
        (GOOD, "HOLDFAST_MAIL_FROM", "a@b.test, c@d.test", "holds no mail address"),
        (GOOD, "HOLDFAST_PLANS", f"[{PLAN},{PLAN}]", "the same plan_id twice"),
        (LIVE, "HOLDFAST_COMPANY_NAME", "Acme", "is the example's"),
        (LIVE, "HOLDFAST_COMPANY_NAME", "", "is the example's"),
        (LIVE, "HOLDFAST_SUPPORT_EMAIL", "", "is the example's"),
        (LIVE, "HOLDFAST_MAIL_FROM", "", "is the example's"),
        (LIVE, "HOLDFAST_MAIL_FROM", "Us <pay@acme.test>", "is the example's"),
        (GOOD, "HOLDFAST_SECRET_KEYS", ",", "HOLDFAST_SECRET_KEYS is empty"),
        (GOOD, "STRIPE_API_KEY", "", "STRIPE_API_KEY: it is not set"),
        (GOOD, "STRIPE_API_KEY", "pk_test_abc", "STRIPE_API_KEY must begin"),
        (GOOD, "STRIPE_API_KEY", LIVE["STRIPE_API_KEY"], "STRIPE_API_KEY is live"),
        (GOOD, "STRIPE_API_KEY", "rk_live_4eC39HqL", "STRIPE_API_KEY is live"),
        (LIVE, "STRIPE_API_KEY", GOOD["STRIPE_API_KEY"], "STRIPE_API_KEY is a test"),
        (LIVE, "STRIPE_API_BASE", "http://sandbox:9", "STRIPE_API_BASE points"),
        (LIVE, "HOLDFAST_PUBLIC_URL", "http://shop", "HOLDFAST_PUBLIC_URL is not"),
        (LIVE, "STRIPE_PUBLISHABLE_KEY", "", "STRIPE_PUBLISHABLE_KEY is empty"),
        (LIVE, "STRIPE_WEBHOOK_SECRETS", "", "STRIPE_WEBHOOK_SECRETS is empty"),
        (GOOD, "HOLDFAST_PUBLIC_URL", "shop", "HOLDFAST_PUBLIC_URL"),
        (GOOD, "HOLDFAST_PUBLIC_URL", "http://shop/path", "HOLDFAST_PUBLIC_URL"),
        (GOOD, "HOLDFAST_PROVISIONING_URL", "ftp://app", "HOLDFAST_PROVISIONING_URL"),
        (GOOD, "HOLDFAST_APPLICATION_URL", "app", "HOLDFAST_APPLICATION_URL"),
        (GOOD, "HOLDFAST_APPLICATION_URL", "https:///x", "not a web address"),
        (GOOD, "HOLDFAST_APPLICATION_URL", "https://[app", "not a web address"),
        (GOOD, "HOLDFAST_STATEMENT_DESCRIPTOR", "acme", "HOLDFAST_STATEMENT_DESCRIP"),
        (GOOD, "HOLDFAST_SUPPORT_EMAIL", "nobody", "HOLDFAST_SUPPORT_EMAIL"),
        (GOOD, "HOLDFAST_API_PORT", "0", "HOLDFAST_API_PORT"),
        (GOOD, "HOLDFAST_API_PORT", "70000", "HOLDFAST_API_PORT"),
        (GOOD, "HOLDFAST_SMTP_PORT", "many", "HOLDFAST_SMTP_PORT"),
        (GOOD, "HOLDFAST_DATABASE_POOL_SIZE", "0", "HOLDFAST_DATABASE_POOL_SIZE"),
        (GOOD, "HOLDFAST_RATE_LIMIT_PER_MINUTE", "0", "HOLDFAST_RATE_LIMIT_PER"),
        (GOOD, "HOLDFAST_ENVIRONMENT", "staging", "HOLDFAST_ENVIRONMENT"),
        (GOOD, "HOLDFAST_LOG_FORMAT", "xml", "HOLDFAST_LOG_FORMAT"),
        (GOOD, "HOLDFAST_TRACES", "perhaps", "HOLDFAST_TRACES"),
        (GOOD, "HOLDFAST_SUPPORT_HOURS", "always", "HOLDFAST_SUPPORT_HOURS is not"),
        (GOOD, "HOLDFAST_ON_CALL_HOURS", "always", "HOLDFAST_ON_CALL_HOURS is not"),
        (GOOD, "HOLDFAST_ON_CALL_ROTA", "Dana", "Dana, Eli from 2026-11-02"),
        (GOOD, "HOLDFAST_ON_CALL_HOLIDAYS", "Christmas", "2026-12-24 to 2026-12-27"),
        (GOOD, "HOLDFAST_ON_CALL_HOLIDAYS", "2026-12-31 Dan", "Dan is away but not"),
        (GOOD, "HOLDFAST_ON_CALL_CHANNELS", "ntfys://hunter22", "entry 1 is not like"),
        (GOOD, "HOLDFAST_ON_CALL_HEARTBEAT_URL", "hunter22", "not a web address"),
        (GOOD, "HOLDFAST_ON_CALL_HEARTBEAT_MINUTES", "0", "HEARTBEAT_MINUTES"),
        (GOOD, "HOLDFAST_ON_CALL_NIGHT_PAGES", "-1", "HOLDFAST_ON_CALL_NIGHT_PAGES"),
        (GOOD, "HOLDFAST_PLANS", "[]", "HOLDFAST_PLANS"),
        (GOOD, "HOLDFAST_PLANS", "no json", "HOLDFAST_PLANS"),
        (
            GOOD,
            "HOLDFAST_PLANS",
            '[{"plan_id":"a","name":"A","amount_minor":-1,"currency":"usd","months":1}]',
            "HOLDFAST_PLANS",
        ),
        (
            GOOD,
            "HOLDFAST_PLANS",
            f"[{PLAN.replace('usd', 'kwd')}]",
            "KWD has three decimals",
        ),
    ],
)
def test_a_wrong_setting_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch,
    base: dict[str, str],
    name: str,
    value: str,
    sentence: str,
) -> None:
    """The start is refused with a sentence that names the setting, never a secret."""
    with pytest.raises(SettingsError) as refused:
        _load(monkeypatch, base | {name: value})

    text = str(refused.value)
    assert sentence in text
    assert name in text
    secrets = [
        *(part for part in value.split(",") if "SECRET" in name or "KEY" in name),
        "hunter22",
        SECRET,
        base["STRIPE_API_KEY"],
    ]
    for secret in secrets:
        # The prefix is public, and the sentence names it.
        hidden = secret.removeprefix("whsec_")
        assert not hidden or hidden not in text


def test_a_file_of_another_name_is_read_instead(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`HOLDFAST_ENV_FILE` names the file, and the folder's own is left alone."""
    (tmp_path / ".env").write_text("HOLDFAST_COMPANY_NAME=Of the folder\n")
    (tmp_path / "other").write_text("HOLDFAST_COMPANY_NAME=Of the other\n")

    assert _load(monkeypatch, GOOD).company_name == "Of the folder"
    named = {"HOLDFAST_ENV_FILE": str(tmp_path / "other")}
    assert _load(monkeypatch, named).company_name == "Of the other"
    assert _load(monkeypatch, {"HOLDFAST_ENV_FILE": ""}).company_name == "Acme"


def test_a_plan_takes_nothing_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A variable called `NAME`, as many shells have one, is no plan's name."""
    nameless = PLAN.replace('"name":"A",', "")
    monkeypatch.setenv("NAME", "my-laptop")

    with pytest.raises(SettingsError, match="HOLDFAST_PLANS, 0, name"):
        _load(monkeypatch, GOOD | {"HOLDFAST_PLANS": f"[{nameless}]"})


@pytest.mark.parametrize(
    "sender", ["pay@acme.test", "<pay@acme.test>", "Acme, Inc. <pay@acme.test>"]
)
def test_a_sender_may_have_a_name(monkeypatch: pytest.MonkeyPatch, sender: str) -> None:
    """Each way to write a sender that the mailer reads is taken."""
    assert _load(monkeypatch, GOOD | {"HOLDFAST_MAIL_FROM": sender}).mail_from == sender


def test_settings_never_print_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever logs the settings logs no secret."""
    printed = repr(_load(monkeypatch, LIVE))

    for name in ("SECRET_KEYS", "DATABASE_URL", "PROVISIONING_SECRET"):
        assert LIVE[f"HOLDFAST_{name}"] not in printed
    assert LIVE["STRIPE_API_KEY"] not in printed
    assert LIVE["STRIPE_WEBHOOK_SECRETS"] not in printed


def test_who_is_told_can_be_read_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """`doctor` says whether anybody would hear, whatever else is not set yet."""
    assert (load_on_call().on_call_gap or "").startswith("Nobody would be told")

    monkeypatch.setenv("HOLDFAST_ON_CALL_ROTA", "Dana, Eli from 2026-11-02")
    monkeypatch.setenv("HOLDFAST_ON_CALL_CHANNELS", "all.page=ntfys://host/hunter22")
    read = load_on_call()

    assert read.on_call_gap is None
    assert read.on_call_people.names == ("Dana", "Eli")
    assert "hunter22" not in repr(read) + repr(read.on_call_ways)
    monkeypatch.setenv("HOLDFAST_ON_CALL_ROTA", "Dana")
    with pytest.raises(SettingsError, match="HOLDFAST_ON_CALL_ROTA"):
        load_on_call()


def test_lines_are_read_once_and_not_by_every_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the start has understood is kept: pages and probes do not read it again."""
    settings = _load(monkeypatch, GOOD)

    for name in ("support_times", "on_call_people", "on_call_ways"):
        assert getattr(settings, name) is getattr(settings, name)


@pytest.mark.parametrize("minutes", [None, 5])
def test_without_a_watcher_there_is_no_beat(
    monkeypatch: pytest.MonkeyPatch, minutes: int | None
) -> None:
    """An address that is not set is asked for nothing."""
    url = {"HOLDFAST_ON_CALL_HEARTBEAT_URL": "https://watch.test/x"} if minutes else {}
    setup = _load(monkeypatch, GOOD | url).on_call_setup

    assert setup.beat_every == (timedelta(minutes=minutes) if minutes else None)
    assert setup.link == "http://127.0.0.1:8000/support"


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_every_setting_is_documented_where_it_stands(name: str) -> None:
    """Each setting has a text, which is its documentation."""
    text = Settings.model_fields[name].description

    assert text
    assert text.rstrip().endswith(".")


def test_the_example_lists_every_setting_and_no_other() -> None:
    """`.env.example` is complete and true."""
    text = (REPOSITORY / ".env.example").read_text()
    listed = set(re.findall(r"^(?:# )?([A-Z][A-Z0-9_]+)=", text, re.MULTILINE))
    compose_only = {
        "POSTGRES_PASSWORD",
        "HOLDFAST_OWNER_PASSWORD",
        "HOLDFAST_APP_PASSWORD",
        "TEMPORAL_DB_PASSWORD",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "EDGE_SITE",
        "EDGE_HTTP",
        "EDGE_HTTPS",
    }

    assert listed - compose_only == _names()


def test_the_example_shows_the_defaults() -> None:
    """A commented line of `.env.example` shows what happens without it."""
    text = (REPOSITORY / ".env.example").read_text()
    shown = dict(re.findall(r"^# ([A-Z][A-Z0-9_]+)=(.*)$", text, re.MULTILINE))
    for field, info in Settings.model_fields.items():
        name = field.upper()
        name = name if name in shown else f"HOLDFAST_{name}"
        if name not in shown or field == "plans":
            continue
        default = info.get_default()
        expected = "" if default in (None, []) else str(default)
        expected = expected.lower() if isinstance(default, bool) else expected
        assert shown[name] == expected, name


def test_the_example_holds_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Copied as it stands, the example is refused instead of run without secrets."""
    text = (REPOSITORY / ".env.example").read_text()
    values = dict(re.findall(r"^([A-Z][A-Z0-9_]+)=(.*)$", text, re.MULTILINE))

    with pytest.raises(SettingsError, match="SECRET_KEYS"):
        _load(monkeypatch, values)
    for name, value in values.items():
        if re.search(r"SECRET|KEY|PASSWORD|DATABASE", name):
            assert value == "", name
