"""Whether this process lives, and whether it can serve."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from api.parts import TheParts

router = APIRouter(include_in_schema=False)

_READ = ["GET", "HEAD"]

#: A load balancer asks often and waits little.
_DATABASE_WITHIN = timedelta(seconds=1)


@router.api_route("/healthz", methods=_READ)
async def is_alive() -> Response:
    """Answer at all: the process lives."""
    return JSONResponse({"status": "ok"})


@router.api_route("/readyz", methods=_READ)
async def is_ready(parts: TheParts) -> Response:
    """Say whether requests can be taken durably.

    With Temporal down the API stays ready: pages are true without it, and a press on
    Pay is durable in its row until the starter loop gets through.
    """
    database, temporal = await asyncio.gather(
        parts.records.answers(_DATABASE_WITHIN), parts.door.is_open()
    )
    return JSONResponse(
        {
            "status": "ready" if database else "not ready",
            "database": "answers" if database else "does not answer",
            "temporal": "answers" if temporal else "does not answer",
            "on_call": parts.settings.on_call_gap or "somebody would be told",
        },
        status_code=200 if database else 503,
    )
