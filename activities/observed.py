"""One log line per activity: which checkout, which ids, how long, how it ended."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any
from uuid import UUID

from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
)

from domain.identifiers import checkout_id_of
from observability.logs import get_logger

#: Read off arguments and results; an id is all that a line may say of them.
_IDS = (
    "checkout_id",
    "payment_intent_id",
    "order_id",
    "entitlement_id",
    "email_id",
    "repair_id",
    "incident_id",
)

_log = get_logger()


class ActivityLog(Interceptor):
    """Writes the worker's side of a checkout's story."""

    def intercept_activity(
        self,
        next: ActivityInboundInterceptor,  # The SDK's own name.
    ) -> ActivityInboundInterceptor:
        """Put the line-writer around every activity."""
        return _LoggedActivity(next)


class _LoggedActivity(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        info = activity.info()
        ids = {"workflow_id": info.workflow_id} | _ids_in(*input.args)
        # Other workflows than a checkout's run here too.
        with suppress(ValueError):
            of_workflow = str(checkout_id_of(info.workflow_id or ""))
            ids.setdefault("checkout_id", of_workflow)
        started = time.monotonic()
        outcome = "died"
        try:
            result = await super().execute_activity(input)
            outcome = "done"
            ids |= _ids_in(result)
        except ApplicationError as error:
            outcome = error.type or "failed"
            raise
        else:
            return result
        finally:
            _log.info(
                "activity",
                activity=info.activity_type,
                attempt=info.attempt,
                outcome=outcome,
                ms=round((time.monotonic() - started) * 1000, 1),
                **ids,
            )


def _ids_in(*values: object) -> dict[str, str | None]:
    """Collect the ids that stand on arguments, results and the charge within them."""
    found: dict[str, str | None] = {}
    for value in values:
        for part in (value, getattr(value, "charge", None)):
            for name in _IDS:
                identifier = getattr(part, name, None)
                if isinstance(identifier, str | UUID):
                    found[name] = str(identifier)
    return found
