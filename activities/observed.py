"""One log line per activity: which ids, how long, how it ended.

Which activity, which try, which workflow and whose checkout stand on every line that is
written inside of one (`observability.logs`).
"""

from __future__ import annotations

import time
from typing import Any
from uuid import UUID

from temporalio.exceptions import ApplicationError
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
)

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
        ids = _ids_in(*input.args)
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
                outcome=outcome,
                ms=round((time.monotonic() - started) * 1000, 1),
                **ids,
            )


def _ids_in(*values: object) -> dict[str, str]:
    """Collect the ids that stand on arguments, results and the charge within them."""
    found: dict[str, str] = {}
    for value in values:
        for part in (value, getattr(value, "charge", None)):
            for name in _IDS:
                identifier = getattr(part, name, None)
                if isinstance(identifier, str | UUID):
                    found[name] = str(identifier)
    return found
