"""Every setting of Holdfast, read once by the composition roots and validated there.

Names in the environment are the field names in capitals with the prefix `HOLDFAST_`,
but for `TEMPORAL_*` and `STRIPE_*`, which keep the names their own tools use. A `.env`
file in the working folder is read too; `HOLDFAST_ENV_FILE` names another, and empty it
means none. A wrong value stops the start with a sentence.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from datetime import timedelta
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Self

import pydantic_settings
from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from domain.due import Setup
from domain.links import web_address
from domain.money import Money, is_written_right
from domain.plans import Plan
from domain.rota import Channel, People, Rota, parse_channels, who_would_hear
from domain.working_hours import HoursNotUnderstood, WorkingHours

#: Shorter secrets can be guessed; 32 characters of base64 carry 192 bits.
_SECRET_MIN_LENGTH = 32

#: What Stripe and Standard Webhooks put in front of a signing secret.
_SIGNING_PREFIX = "whsec_"

#: Characters behind the prefix; whoever guesses the secret can forge events.
_SIGNING_MIN_LENGTH = 16

#: Bytes that the Standard Webhooks secret stands for, in base64.
_SIGNING_MIN_BYTES = 16

#: The one driver that is installed; SQLAlchemy would ask for another.
_DATABASE_SCHEME = "postgresql+psycopg://"

_ADDRESS = r"[^\s@<>,;]+@[^\s@<>,;]+"
_SENDER = re.compile(rf"[^<>\r\n]*<(?P<inner>{_ADDRESS})>|(?P<bare>{_ADDRESS})")

#: Who sells and answers where nobody has said so: fit for trying alone.
_EXAMPLE_COMPANY = "Acme"
_EXAMPLE_SUPPORT = "support@acme.test"
_EXAMPLE_SUPPORT_NAME = "Dana"
_EXAMPLE_SENDER = "pay@acme.test"


def _read_address(url: str) -> str:
    if web_address(url) is None:
        raise ValueError("it is not a web address")
    return url


WebAddress = Annotated[str, AfterValidator(_read_address)]

#: Values that appear in examples, and so are known to everybody.
_KNOWN_SECRETS = ("change-me", "changeme", "secret", "development", "example")


class Environment(StrEnum):
    """Where this process runs; decides which keys and addresses are acceptable."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


class LogFormat(StrEnum):
    """How log lines look."""

    CONSOLE = "console"
    JSON = "json"


class PlanSetting(BaseModel):
    """One plan for sale, as written in `HOLDFAST_PLANS`."""

    model_config = ConfigDict(extra="forbid")

    plan_id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")
    name: str = Field(min_length=1, max_length=80)
    amount_minor: int = Field(gt=0, lt=100_000_000)
    currency: str = Field(pattern=r"^[a-z]{3}$")
    months: int = Field(gt=0, le=120)

    @field_validator("currency")
    @classmethod
    def _check_currency(cls, currency: str) -> str:
        if is_written_right(currency):
            return currency
        msg = (
            f"{currency.upper()} has three decimals, and amounts are written with two "
            "here: customers would read ten times the price. Use another currency."
        )
        raise ValueError(msg)

    def as_plan(self) -> Plan:
        """Return the plan as the domain knows it."""
        return Plan(
            plan_id=self.plan_id,
            name=self.name,
            price=Money(amount_minor=self.amount_minor, currency=self.currency),
            months=self.months,
        )


def _plain(name: str) -> AliasChoices:
    """Keep the name that the tool itself uses in the environment."""
    return AliasChoices(name, name.lower())


class OnCallSettings(BaseSettings):
    """Who is told when something is wrong; a part of `Settings` that stands alone."""

    model_config = SettingsConfigDict(
        env_prefix="HOLDFAST_",
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        use_attribute_docstrings=True,
        populate_by_name=True,
        hide_input_in_errors=True,
    )

    on_call_hours: str = "Monday to Friday, 08:00 to 20:00 UTC"
    """When messages about trouble are welcome. Outside of these hours only a page may
    come. Written like `Monday to Friday, 08:00 to 20:00 Europe/Lisbon`."""

    on_call_rota: str = ""
    """Who is first and who is second, changing places each Monday: `Dana, Eli from
    2026-11-02`. Empty, whoever reads the channels of `all` is told."""

    on_call_holidays: str = ""
    """Who is away, entries between semicolons: `2026-12-24 to 2026-12-27; 2026-12-31
    Dana`. Without a name everybody is, and nobody is woken."""

    on_call_channels: SecretStr = SecretStr("")
    """Where people are told, as addresses of apprise with blanks between:
    `Dana.page=... Dana.push=... all.digest=mailto://...`. Without any, alerts stand in
    the log alone."""

    on_call_night_pages: int = Field(default=2, ge=0, le=31)
    """How often in a month somebody may be woken; after that the machine pauses new
    payments instead."""

    on_call_heartbeat_url: SecretStr | None = None
    """Address of an outside watcher, which is asked for every few minutes and calls
    when it hears nothing. Empty, nobody notices that everything is gone."""

    on_call_heartbeat_minutes: int = Field(default=5, ge=1, le=60)
    """How often the watcher hears of us; let it wait for three times as long."""

    @field_validator("on_call_heartbeat_url")
    @classmethod
    def _read_watcher(cls, url: SecretStr | None) -> SecretStr | None:
        if url:
            _read_address(url.get_secret_value())
        return url

    @model_validator(mode="after")
    def _read_on_call_lines(self) -> Self:
        """Refuse at the start what would be found out at night."""
        for name, read in (
            ("HOLDFAST_ON_CALL_HOURS", lambda: WorkingHours.parse(self.on_call_hours)),
            ("HOLDFAST_ON_CALL_ROTA", self._read_rota),
            ("HOLDFAST_ON_CALL_HOLIDAYS", lambda: self.on_call_people),
            ("HOLDFAST_ON_CALL_CHANNELS", lambda: self.on_call_ways),
        ):
            try:
                read()
            except ValueError as error:
                msg = f"{name} is not understood: {error}."
                raise ValueError(msg) from error
        return self

    def _read_rota(self) -> Rota | None:
        line = self.on_call_rota.strip()
        return Rota.parse(line) if line else None

    @cached_property
    def on_call_people(self) -> People:
        """Who is there when."""
        return People.parse(
            self.on_call_hours, self.on_call_rota, self.on_call_holidays
        )

    @cached_property
    def on_call_ways(self) -> tuple[Channel, ...]:
        """Where people are told."""
        return parse_channels(self.on_call_channels.get_secret_value())

    @cached_property
    def on_call_gap(self) -> str | None:
        """What is wrong with the ways to people, in a sentence; None if nothing is."""
        return who_would_hear(self.on_call_people, self.on_call_ways)


class Settings(OnCallSettings):
    """What an operator can turn. Each field's text is its documentation."""

    model_config = SettingsConfigDict(
        env_prefix="HOLDFAST_",
        env_file=".env",
        # `NAME=` in a .env file means "not set", as it does to a reader.
        env_ignore_empty=True,
        extra="ignore",
        use_attribute_docstrings=True,
        populate_by_name=True,
        hide_input_in_errors=True,
    )

    environment: Environment = Environment.PRODUCTION
    """`production`, or `development` on a machine where no real money moves."""

    company_name: str = _EXAMPLE_COMPANY
    """The seller's name, as pages and mails write it."""

    statement_descriptor: str = Field(
        default="ACME PLAN", pattern=r"^[A-Z0-9 *.]{5,22}$"
    )
    """What the buyer's bank statement shows. Stripe allows 5 to 22 characters."""

    support_email: str = Field(default=_EXAMPLE_SUPPORT, pattern=r"^\S+@\S+$")
    """Where customers write to; shown on every page."""

    support_hours: str = "Monday to Friday, 09:00 to 17:00 UTC"
    """When support answers; shown beside the address, and promises count by it. Written
    like `Monday to Friday, 09:00 to 17:00 Europe/Lisbon`."""

    support_name: str = Field(
        default=_EXAMPLE_SUPPORT_NAME, min_length=1, max_length=40
    )
    """First name of a real person in support. Mails name them when a person takes over,
    and one asks in their name whether the buyer got in."""

    plans: list[PlanSetting] = Field(
        default=[
            PlanSetting(
                plan_id="one-year",
                name="Acme one-year plan",
                amount_minor=24900,
                currency="usd",
                months=12,
            )
        ],
        min_length=1,
    )
    """What is for sale, as a JSON list. The first plan is shown at `/`, the others are
    sold through `/v1`."""

    public_url: WebAddress = Field(pattern=r"^https?://[^/\s]+$")
    """Scheme and host under which customers reach the shop; links in mails use it."""

    api_host: str = "127.0.0.1"
    """Address on which the API listens."""

    api_port: int = Field(default=8000, gt=0, lt=65536)
    """Port on which the API listens."""

    api_metrics_port: int = Field(default=9101, gt=0, lt=65536)
    """Port of the API's Prometheus metrics; keep it inside your network."""

    worker_metrics_port: int = Field(default=9102, gt=0, lt=65536)
    """Port of the worker's Prometheus metrics; keep it inside your network."""

    metrics_host: str = "127.0.0.1"
    """Address on which both metrics ports listen."""

    trusted_proxies: str = "127.0.0.1"
    """Comma-separated addresses whose `X-Forwarded-For` is believed."""

    rate_limit_per_minute: int = Field(default=60, gt=0)
    """Checkouts and payments that one address may start on pages in a minute, per
    process."""

    secret_keys: Annotated[list[SecretStr], NoDecode]
    """Comma-separated, newest first; each 32 characters or more. They make the
    addresses of checkouts. To rotate, put a new key in front."""

    api_keys: Annotated[list[SecretStr], NoDecode] = []
    """Comma-separated keys that open `/v1`; each 32 characters or more."""

    database_url: SecretStr
    """PostgreSQL of the application role, as `postgresql+psycopg://user:...@host/db`.
    Over a network add `?sslmode=verify-full`, so that both sides are who they say."""

    migration_database_url: SecretStr | None = None
    """PostgreSQL of the owning role; only the migration step needs it."""

    database_pool_size: int = Field(default=10, gt=0, le=200)
    """Connections that one process keeps at the most."""

    temporal_address: str = Field(
        default="127.0.0.1:7233", validation_alias=_plain("TEMPORAL_ADDRESS")
    )
    """Temporal's gRPC address. TLS and API key come from the SDK's own
    `TEMPORAL_*` settings or its configuration file."""

    temporal_namespace: str = Field(
        default="default", validation_alias=_plain("TEMPORAL_NAMESPACE")
    )
    """Temporal namespace; its retention should be 30 days or more."""

    console_temporal_url: WebAddress | None = None
    """Where owners open the Temporal UI, as `https://temporal.example`. Set, each case
    in the console links to its workflow there; keep the UI itself inside your network.
    """

    console_processor_url: WebAddress = "https://dashboard.stripe.com"
    """The processor's own pages for you; the console links each payment there."""

    stripe_api_key: SecretStr = Field(validation_alias=_plain("STRIPE_API_KEY"))
    """Secret or restricted key of the processor: `sk_test_` in development only."""

    stripe_account_is_shared: bool = Field(
        default=False, validation_alias=_plain("STRIPE_ACCOUNT_IS_SHARED")
    )
    """Others charge on this account too. A payment that names no checkout of ours is
    then theirs; on an account of our own it becomes a case."""

    stripe_publishable_key: str | None = Field(
        default=None, validation_alias=_plain("STRIPE_PUBLISHABLE_KEY")
    )
    """Set, the pay page uses Stripe.js; empty, it offers the sandbox's test methods.
    `pk_live_` beside a live `STRIPE_API_KEY`, `pk_test_` beside a test one."""

    stripe_api_base: str | None = Field(
        default=None, validation_alias=_plain("STRIPE_API_BASE")
    )
    """Address of a Stripe-compatible sandbox; empty for Stripe itself."""

    stripe_webhook_secrets: Annotated[list[SecretStr], NoDecode] = Field(
        default=[], validation_alias=_plain("STRIPE_WEBHOOK_SECRETS")
    )
    """Comma-separated signing secrets of the webhook endpoint (`whsec_...`), newest
    first."""

    provisioning_url: WebAddress
    """Where the company's application is told to open access."""

    provisioning_secret: SecretStr
    """Standard Webhooks secret that signs those calls: `whsec_` and base64 of 16 bytes
    or more."""

    application_url: WebAddress
    """Where a customer enters the company's application."""

    smtp_host: str = "127.0.0.1"
    """Mail server."""

    smtp_port: int = Field(default=587, gt=0, lt=65536)
    """Its port."""

    smtp_username: str | None = None
    """Login at the mail server; empty for none."""

    smtp_password: SecretStr | None = None
    """Password at the mail server."""

    smtp_starttls: bool = False
    """Whether the connection to the mail server is upgraded to TLS."""

    mail_from: str = f"Acme payments <{_EXAMPLE_SENDER}>"
    """Sender of every mail; a mailbox that somebody reads."""

    log_format: LogFormat = LogFormat.JSON
    """`json` in containers, `console` for a person."""

    traces: bool = False
    """Send OpenTelemetry traces by OTLP to `OTEL_EXPORTER_OTLP_ENDPOINT`."""

    @model_validator(mode="before")
    @classmethod
    def _split_lists(cls, values: dict[str, object]) -> dict[str, object]:
        """Turn comma-separated secrets into lists, and refuse an empty one by name."""
        for name in ("secret_keys", "api_keys", "stripe_webhook_secrets"):
            for key in (name, name.upper()):
                if isinstance(text := values.get(key), str):
                    parts = (part.strip() for part in text.split(","))
                    values[key] = [part for part in parts if part]
        return values

    @model_validator(mode="after")
    def _read_support_hours(self) -> Self:
        try:
            _ = self.support_times
        except HoursNotUnderstood as error:
            msg = f"HOLDFAST_SUPPORT_HOURS is not understood: {error}"
            raise ValueError(msg) from error
        return self

    @model_validator(mode="after")
    def _refuse_weak_secrets(self) -> Self:
        if not self.secret_keys:
            msg = "HOLDFAST_SECRET_KEYS is empty: set at least one secret."
            raise ValueError(msg)
        for name, secrets in (
            ("HOLDFAST_SECRET_KEYS", self.secret_keys),
            ("HOLDFAST_API_KEYS", self.api_keys),
        ):
            for secret in secrets:
                _refuse_weak(name, secret.get_secret_value())
        for secret in self.stripe_webhook_secrets:
            behind = _behind_prefix("STRIPE_WEBHOOK_SECRETS", secret)
            if len(behind) < _SIGNING_MIN_LENGTH:
                msg = (
                    "STRIPE_WEBHOOK_SECRETS holds a secret with fewer than "
                    f"{_SIGNING_MIN_LENGTH} characters behind {_SIGNING_PREFIX}."
                )
                raise ValueError(msg)
        _refuse_unusable_signer(self.provisioning_secret)
        return self

    @model_validator(mode="after")
    def _refuse_what_fails_later(self) -> Self:
        """Refuse at the start what the first buyer would stumble over."""
        for name, url in (
            ("HOLDFAST_DATABASE_URL", self.database_url),
            ("HOLDFAST_MIGRATION_DATABASE_URL", self.migration_database_url),
        ):
            if url and not url.get_secret_value().startswith(_DATABASE_SCHEME):
                msg = f"{name} must begin with {_DATABASE_SCHEME}."
                raise ValueError(msg)
        if not _sender_address(self.mail_from):
            msg = (
                "HOLDFAST_MAIL_FROM holds no mail address. "
                "Write it as: Name <name@your.domain>"
            )
            raise ValueError(msg)
        if len(self.plan_by_id()) < len(self.plans):
            msg = (
                "HOLDFAST_PLANS holds the same plan_id twice: orders name a plan by it."
            )
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _refuse_wrong_world(self) -> Self:
        """Keep real money out of development and test keys out of production."""
        key = self.stripe_api_key.get_secret_value()
        is_test = key.startswith(("sk_test_", "rk_test_"))
        is_live = key.startswith(("sk_live_", "rk_live_"))
        if not (is_test or is_live):
            msg = (
                "STRIPE_API_KEY must begin with sk_test_, rk_test_, sk_live_, rk_live_."
            )
            raise ValueError(msg)
        if self.environment is Environment.DEVELOPMENT and is_live:
            msg = (
                "STRIPE_API_KEY is live, but HOLDFAST_ENVIRONMENT is development. "
                "Use a test key, or set the environment to production."
            )
            raise ValueError(msg)
        if self.environment is Environment.PRODUCTION:
            self._refuse_examples_in_production(is_test=is_test)
        expected = "pk_live_" if is_live else "pk_test_"
        if not (self.stripe_publishable_key or expected).startswith(expected):
            msg = (
                f"STRIPE_PUBLISHABLE_KEY must begin with {expected}, because "
                f"STRIPE_API_KEY is a {'live' if is_live else 'test'} key."
            )
            raise ValueError(msg)
        return self

    def _refuse_examples_in_production(self, *, is_test: bool) -> None:
        problems = {
            "HOLDFAST_COMPANY_NAME is the example's": (
                self.company_name == _EXAMPLE_COMPANY
            ),
            "HOLDFAST_SUPPORT_EMAIL is the example's": (
                self.support_email == _EXAMPLE_SUPPORT
            ),
            "HOLDFAST_MAIL_FROM is the example's": (
                _sender_address(self.mail_from) == _EXAMPLE_SENDER
            ),
            "HOLDFAST_SUPPORT_NAME is the example's": (
                self.support_name == _EXAMPLE_SUPPORT_NAME
            ),
            "STRIPE_API_KEY is a test key": is_test,
            "STRIPE_API_BASE points at a sandbox": self.stripe_api_base is not None,
            "HOLDFAST_PUBLIC_URL is not https": not self.public_url.startswith("https"),
            "STRIPE_PUBLISHABLE_KEY is empty": not self.stripe_publishable_key,
            "STRIPE_WEBHOOK_SECRETS is empty": not self.stripe_webhook_secrets,
        }
        for problem, is_so in problems.items():
            if is_so:
                msg = f"{problem}, but HOLDFAST_ENVIRONMENT is production."
                raise ValueError(msg)

    @property
    def is_live(self) -> bool:
        """Whether the processor key moves real money."""
        return "_live_" in self.stripe_api_key.get_secret_value()

    @cached_property
    def support_times(self) -> WorkingHours:
        """When support answers, to be counted by."""
        return WorkingHours.parse(self.support_hours)

    @property
    def mail_domain(self) -> str:
        """The sender's domain; Message-IDs end in it."""
        return _sender_address(self.mail_from).rpartition("@")[2]

    @property
    def on_call_setup(self) -> Setup:
        """What the on-call desk goes by."""
        is_watched = self.on_call_heartbeat_url is not None
        every = timedelta(minutes=self.on_call_heartbeat_minutes)
        return Setup(
            people=self.on_call_people,
            link=f"{self.public_url}/support",
            beat_every=every if is_watched else None,
            night_pages_a_month=self.on_call_night_pages,
        )

    def plan_by_id(self) -> dict[str, Plan]:
        """Return what is for sale, in the order of the setting."""
        return {plan.plan_id: plan.as_plan() for plan in self.plans}


class _DatabaseSettings(BaseSettings):
    """The database alone, read from the same places as all settings."""

    model_config = SettingsConfigDict(
        env_prefix="HOLDFAST_",
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        hide_input_in_errors=True,
    )

    database_url: SecretStr = SecretStr("")


class SettingsError(Exception):
    """The settings are not usable; the message says which and why, without values."""


def load_settings() -> Settings:
    """Read and validate the settings.

    Raises:
        SettingsError: One line per problem; never a secret's value.
    """
    file = os.environ.get("HOLDFAST_ENV_FILE", ".env")
    try:
        # Values come from the environment.
        return Settings(_env_file=file or None)  # type: ignore[call-arg]
    except ValidationError as error:
        lines = [_sentence(problem) for problem in error.errors()]
        raise SettingsError("\n".join(lines)) from None
    except pydantic_settings.SettingsError as error:
        # A list that is no JSON. The text names the field; its cause shows the value.
        found = re.search(r'field "(\w+)"', str(error))
        name = found[1].upper() if found else "SETTING"
        raise SettingsError(f"HOLDFAST_{name}: this is not JSON.") from None


def load_on_call() -> OnCallSettings:
    """Read who is told, whatever else is wrong with the settings.

    Raises:
        SettingsError: One line per problem; never a secret's value.
    """
    file = os.environ.get("HOLDFAST_ENV_FILE", ".env")
    try:
        # Values come from the environment.
        return OnCallSettings(_env_file=file or None)  # type: ignore[call-arg]
    except ValidationError as error:
        lines = [_sentence(problem) for problem in error.errors()]
        raise SettingsError("\n".join(lines)) from None


def load_database_url() -> str:
    """Read the one setting that the operator's commands need, whatever else is wrong.

    Raises:
        SettingsError: It is not set, or names another driver.
    """
    file = os.environ.get("HOLDFAST_ENV_FILE", ".env")
    # Values come from the environment.
    url = _DatabaseSettings(_env_file=file or None).database_url.get_secret_value()  # type: ignore[call-arg]
    if not url.startswith(_DATABASE_SCHEME):
        msg = (
            f"HOLDFAST_DATABASE_URL must be set, and begin with {_DATABASE_SCHEME}. "
            "For a stack of your own that `cli.py run` started, give its --data."
        )
        raise SettingsError(msg)
    return url


def _sentence(problem: ErrorDetails) -> str:
    """Say what is wrong with one setting, and what it should be."""
    text = problem["msg"].removeprefix("Value error, ")
    if not problem["loc"]:
        return text
    field, *inside = (str(part) for part in problem["loc"])
    name = field.upper()
    if not name.startswith(("STRIPE_", "TEMPORAL_")):
        name = f"HOLDFAST_{name}"
    about = Settings.model_fields[field.lower()].description or ""
    reason = "it is not set" if problem["type"] == "missing" else text
    place = "".join(f", {part}" for part in inside)
    return f"{name}{place}: {reason}. {' '.join(about.split())}"


def _refuse_weak(name: str, secret: str) -> None:
    if len(secret) < _SECRET_MIN_LENGTH:
        msg = f"{name} holds a secret shorter than {_SECRET_MIN_LENGTH} characters."
        raise ValueError(msg)
    if secret.lower().startswith(_KNOWN_SECRETS) or len(set(secret)) < 8:  # noqa: PLR2004  # An obviously drawn-out filler.
        msg = f"{name} holds a well-known example. Make one: openssl rand -base64 32"
        raise ValueError(msg)


def _sender_address(sender: str) -> str:
    """Return the address in `Name <address>` or alone; empty when there is none."""
    found = _SENDER.fullmatch(sender)
    return (found["inner"] or found["bare"]) if found else ""


def _behind_prefix(name: str, secret: SecretStr) -> str:
    text = secret.get_secret_value()
    if not text.startswith(_SIGNING_PREFIX):
        msg = f"{name} must hold secrets that begin with {_SIGNING_PREFIX}."
        raise ValueError(msg)
    return text.removeprefix(_SIGNING_PREFIX)


def _refuse_unusable_signer(secret: SecretStr) -> None:
    """Refuse what cannot sign as Standard Webhooks asks, or is easily guessed."""
    behind = _behind_prefix("HOLDFAST_PROVISIONING_SECRET", secret)
    try:
        key = base64.b64decode(behind, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) < _SIGNING_MIN_BYTES:
        msg = (
            f"HOLDFAST_PROVISIONING_SECRET must be {_SIGNING_PREFIX} and base64 of "
            f"{_SIGNING_MIN_BYTES} bytes or more. "
            'Make one: echo "whsec_$(openssl rand -base64 32)"'
        )
        raise ValueError(msg)
