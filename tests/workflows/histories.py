"""Recorded histories: where they are, what is in a file, and what is left out of it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from temporalio.client import WorkflowHistory

FOLDER = Path(__file__).parents[1] / "histories"

#: Recorded on a real server: timers are cancelled as the product cancels them.
REAL = FOLDER / "real"
#: Recorded in skipped time, where cancelled timers are left to fire unheard; see
#: `_timers_run_out` in the conftest.
SKIPPED = FOLDER / "skipped"

#: What tells of the recording machine, or only decorates: no replay reads it.
_LEFT_OUT = {
    "binaryChecksum",
    "historySizeBytes",
    "identity",
    "meteringMetadata",
    "requestId",
    "stackTrace",
    "taskId",
    "userMetadata",
    "workerVersion",
}

_STICKY = {"name": "sticky", "kind": "TASK_QUEUE_KIND_STICKY"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One run of a workflow, and the file that it was read from."""

    name: str
    history: WorkflowHistory


def write(file: Path, history: WorkflowHistory) -> None:
    """Keep a history, an event a line."""
    events = [_without_ornament(event) for event in history.to_json_dict()["events"]]
    lines = ",\n".join(json.dumps(event, separators=(",", ":")) for event in events)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(
        f'{{"workflowId":{json.dumps(history.workflow_id)},"events":[\n{lines}\n]}}\n'
    )


def read(folder: Path) -> list[Recorded]:
    """Return every history of a folder, by name."""
    found = []
    for file in sorted(folder.glob("*.json")):
        kept = json.loads(file.read_text())
        history = WorkflowHistory.from_json(
            kept["workflowId"], {"events": kept["events"]}
        )
        found.append(Recorded(name=file.stem, history=history))
    return found


def steps(history: WorkflowHistory) -> tuple[str, ...]:
    """Return what happened in a run, without what it was about."""
    happened = []
    for event in history.to_json_dict()["events"]:
        kind = event["eventType"].removeprefix("EVENT_TYPE_")
        attributes: dict[str, Any] = next(
            (value for key, value in event.items() if key.endswith("Attributes")), {}
        )
        name = attributes.get("activityType", {}).get("name")
        name = name or attributes.get("signalName") or attributes.get("markerName", "")
        error = attributes.get("failure", {}).get("cause", {})
        error = error.get("applicationFailureInfo", {}).get("type", "")
        happened.append(f"{kind} {name} {error}".rstrip())
    return tuple(happened)


def texts(file: Path) -> Iterator[str]:
    """Yield all that a file says, payloads as the text that they carry."""
    kept = file.read_text()
    yield kept
    yield from _payloads(json.loads(kept))


def _payloads(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        data = value.get("data")
        if isinstance(data, str):
            yield base64.b64decode(data).decode(errors="replace")
        for inner in value.values():
            yield from _payloads(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _payloads(inner)


def _without_ornament(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            # A sticky queue has the name of its process and machine.
            key: _STICKY
            if key == "taskQueue" and _is_sticky(inner)
            else _without_ornament(inner)
            for key, inner in value.items()
            if key not in _LEFT_OUT
        }
    if isinstance(value, list):
        return [_without_ornament(inner) for inner in value]
    return value


def _is_sticky(queue: dict[str, str]) -> bool:
    return queue.get("kind") == _STICKY["kind"]
