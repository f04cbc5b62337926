"""Log lines: one pipeline for our own and for the libraries', with a last net under it.

Every line carries the ids that were bound (`bind`) and those of the Temporal activity
or workflow that it was written in. None carries an e-mail address, a token or a secret:
`observability.redaction` goes over each line, its traceback included, just before it
leaves the process.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from types import TracebackType
from typing import Any, TextIO
from uuid import UUID

import structlog
import temporalio.activity
import temporalio.workflow
from structlog.typing import EventDict, Processor, WrappedLogger

from domain.identifiers import checkout_id_of
from observability.redaction import is_secret_key, redact, redact_text

#: These write a line per request or per statement, which ours already say better;
#: SQLAlchemy's would also carry the statement's parameters.
_QUIET = (
    "httpx",
    "httpcore",
    "stripe",
    "sqlalchemy",
    "aiosmtplib",
    "urllib3",
    "mail.log",
)

#: uvicorn sets up handlers of its own unless it is run with `log_config=None`.
_UVICORN = ("uvicorn", "uvicorn.error", "uvicorn.access")


def configure(log_format: str, *, stream: TextIO | None = None) -> None:
    """Send every log line of this process through the pipeline.

    Args:
        log_format: `json`: one object per line. `console`: for a person to read.
        stream: Where lines go; stderr unless told otherwise, which is not buffered, so
            that a killed process leaves its last line.
    """
    target = stream or sys.stderr
    handler = _Handler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_before(),
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.StackInfoRenderer(),
                structlog.processors.format_exc_info,
                last_net,
                *_render(log_format, target),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in _UVICORN:
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    logging.captureWarnings(capture=True)
    _say_ids_once()
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_before(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread


def get_logger(name: str = "holdfast") -> structlog.stdlib.BoundLogger:
    """Return a logger: `log.info("order written", checkout_id=...)`."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def bind(
    *,
    checkout_id: UUID | str | None = None,
    payment_intent_id: str | None = None,
    order_id: UUID | str | None = None,
    workflow_id: str | None = None,
    request_id: str | None = None,
) -> None:
    """Put ids on every further line of this task or request; None leaves one alone."""
    structlog.contextvars.bind_contextvars(
        **_known(
            checkout_id=checkout_id,
            payment_intent_id=payment_intent_id,
            order_id=order_id,
            workflow_id=workflow_id,
            request_id=request_id,
        )
    )


def clear() -> None:
    """Forget the bound ids: at the start of a request."""
    structlog.contextvars.clear_contextvars()


def last_net(
    _logger: WrappedLogger, _method: str, event_dict: EventDict
) -> MutableMapping[str, Any]:
    """Drop secret fields, and cut secrets and personal data out of all others."""
    clean: dict[str, Any] = {}
    for key, value in event_dict.items():
        if is_secret_key(key):
            continue
        if key in {"exception", "stack"}:
            clean[key] = redact_text(str(value), keep_lines=True)
        else:
            clean[redact_text(key)] = redact(value)
    return clean


class _Handler(logging.StreamHandler[TextIO]):
    """Writes lines; a line that cannot be written is named, never shown unfiltered."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Say that a line was lost, without its text."""
        kind = sys.exc_info()[0]
        # On a full disk this line is lost as well. The work it tells of must not be.
        with suppress(OSError, ValueError):
            sys.stderr.write(
                f"a log line of {record.name} could not be written: "
                f"{kind.__name__ if kind else 'unknown'}\n"
            )


def _before() -> list[Processor]:
    """What is added to a line when it is written, in the writer's own context."""
    return [
        structlog.contextvars.merge_contextvars,
        _add_temporal_ids,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _render(log_format: str, target: TextIO) -> list[Processor]:
    if log_format == "json":
        return [structlog.processors.JSONRenderer(ensure_ascii=False)]
    return [
        _indent_traceback,
        structlog.dev.ConsoleRenderer(colors=target.isatty(), pad_event_to=0),
    ]


def _indent_traceback(
    _logger: WrappedLogger, _method: str, event_dict: EventDict
) -> EventDict:
    """Set tracebacks off, so that no line of one can pass for a log line."""
    for key in ("exception", "stack"):
        if key in event_dict:
            lines = event_dict[key].splitlines()
            event_dict[key] = "\n".join(f"    | {line}" for line in lines)
    return event_dict


def _add_temporal_ids(
    _logger: WrappedLogger, _method: str, event_dict: EventDict
) -> EventDict:
    """Name the workflow, and so the checkout, that a line was written in."""
    workflow_id = None
    if temporalio.activity.in_activity():
        info = temporalio.activity.info()
        workflow_id = info.workflow_id
        event_dict.setdefault("activity", info.activity_type)
        event_dict.setdefault("attempt", info.attempt)
    elif temporalio.workflow.in_workflow():
        workflow_id = temporalio.workflow.info().workflow_id
    if workflow_id is not None:
        event_dict.setdefault("workflow_id", workflow_id)
        try:
            event_dict.setdefault("checkout_id", str(checkout_id_of(workflow_id)))
        except ValueError:
            return event_dict  # A schedule's workflow belongs to no one checkout.
    return event_dict


def _say_ids_once() -> None:
    """Stop the SDK from writing the ids into the message: they are fields of ours."""
    temporalio.activity.logger.activity_info_on_message = False
    temporalio.workflow.logger.workflow_info_on_message = False


def _known(**ids: UUID | str | None) -> Mapping[str, str]:
    return {name: str(value) for name, value in ids.items() if value is not None}


def _log_uncaught(
    kind: type[BaseException],
    error: BaseException,
    traceback: TracebackType | None,
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, traceback)
        return
    get_logger().critical(
        "stopped by an error that nobody expected", exc_info=(kind, error, traceback)
    )


def _log_uncaught_in_thread(arguments: threading.ExceptHookArgs) -> None:
    if arguments.exc_value is not None and arguments.exc_type is not SystemExit:
        _log_uncaught(arguments.exc_type, arguments.exc_value, arguments.exc_traceback)
