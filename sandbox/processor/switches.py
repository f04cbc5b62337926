"""Settings a person or a test may turn while the server runs; they survive restarts."""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, TypeVar

from sandbox.processor.errors import Json
from sandbox.processor.storage import Storage


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How long the slow outcomes take and what refunds do."""

    processing_seconds: float = 3.0
    """Sandbox seconds a ``processing`` payment takes to settle."""
    slow_seconds: float = 5.0
    """Real seconds that ``pm_sandbox_slow`` waits before it acts."""
    refund_mode: Literal["succeed", "pending", "fail_later"] = "succeed"
    """What new refunds do."""
    refund_seconds: float = 3.0
    """Sandbox seconds until a pending refund succeeds or a failing one fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSwitches:
    """How events reach the receiver."""

    mode: Literal["on", "off"] = "on"
    """While off nothing is sent, and events that happen meanwhile are withheld."""
    duplicate: int = 0
    """Extra copies of each event."""
    delay_seconds: float = 0.0
    """Real seconds each event waits before its first attempt."""
    shuffle: bool = False
    """Gather events for a moment, then send them one by one out of order."""
    shuffle_window_seconds: float = 0.3
    """How long events are gathered for."""
    shuffle_seed: int = 0
    """The same seed gives the same order."""
    retry_seconds: tuple[float, ...] = (1, 5, 30, 120, 600, 3600)
    """Real seconds before each retry; after the last one the event is given up."""


_Switch = TypeVar("_Switch", Settings, WebhookSwitches)

_CHOICES = {
    "mode": ("on", "off"),
    "refund_mode": ("succeed", "pending", "fail_later"),
}


class Switches:
    """The current settings, kept in storage."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.settings = _updated(Settings(), storage.setting("settings", {}))
        self.webhooks = _updated(WebhookSwitches(), storage.setting("webhooks", {}))

    def change_settings(self, changes: Json) -> None:
        """Store and apply changes, or raise ValueError and change nothing."""
        self.settings = _updated(self.settings, changes)
        self._storage.set_setting("settings", asdict(self.settings))

    def change_webhooks(self, changes: Json) -> None:
        """Store and apply changes, or raise ValueError and change nothing."""
        self.webhooks = _updated(self.webhooks, changes)
        self._storage.set_setting("webhooks", asdict(self.webhooks))


def _updated(current: _Switch, changes: Json) -> _Switch:
    known = {field.name: getattr(current, field.name) for field in fields(current)}
    for name, value in changes.items():
        if name not in known:
            raise ValueError(f"No switch is called {name!r}.")
        changes = {**changes, name: _checked(name, value, known[name])}
    return replace(current, **changes)


def _checked(name: str, value: Any, current: Any) -> Any:
    """The value in the switch's own type, or a sentence about what it takes."""
    if name in _CHOICES:
        if value not in _CHOICES[name]:
            raise ValueError(f"{name} is one of {', '.join(_CHOICES[name])}.")
        return value
    if isinstance(current, bool):
        if not isinstance(value, bool):
            raise ValueError(f"{name} is true or false.")
        return value
    if isinstance(current, tuple):
        return tuple(float(seconds) for seconds in value)
    number = type(current)(value)
    if number < 0:
        raise ValueError(f"{name} is not negative.")
    return number
