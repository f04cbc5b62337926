"""The application: routes, and the layers that every request passes.

From the outside in: observed, headers, last resort, body limit, own pages only, routes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI
from starlette.middleware import Middleware

from api import (
    account,
    failures,
    health,
    inbound_mail,
    json_api,
    reconciliations,
    shop,
    static_files,
    webhooks,
    writing,
)
from api.failures import LastResort
from api.observed import Observed
from api.parts import Parts
from api.security import BodyLimit, OwnPagesOnly, SecurityHeaders
from api.staff import answers as staff_answers
from api.staff import sign_in as staff_sign_in
from api.starter import Starter
from api.support import (
    acting,
    batch,
    case,
    changing,
    pausing,
    queue,
    reconciling,
    refunding,
    repairing,
    replying,
)

#: All routes there are. A test walks them: a new one must say who may use it.
ROUTERS = (
    shop.router,
    writing.router,
    account.router,
    webhooks.router,
    json_api.router,
    reconciliations.router,
    inbound_mail.router,
    health.router,
    static_files.router,
    staff_sign_in.router,
    queue.router,
    case.router,
    acting.router,
    repairing.router,
    batch.router,
    pausing.router,
    reconciling.router,
    refunding.router,
    changing.router,
    replying.router,
)

#: Of the five seconds that a shutdown may take, what is left for work behind answers.
_DRAIN_SECONDS = 1.0


def create_app(parts: Parts) -> FastAPI:
    """Return the application made of these parts."""
    settings = parts.settings
    app = FastAPI(
        title="Holdfast",
        summary="A durable checkout: open it, pay it, read what is true of it.",
        version="1",
        openapi_url="/v1/openapi.json",
        # Both load scripts from elsewhere, which our content policy forbids.
        docs_url=None,
        redoc_url=None,
        # Starlette would redirect to whatever host the request names.
        redirect_slashes=False,
        lifespan=_lifespan,
        middleware=[
            Middleware(Observed),
            Middleware(
                SecurityHeaders, is_https=settings.public_url.startswith("https://")
            ),
            Middleware(LastResort, parts=parts),
            Middleware(BodyLimit),
            Middleware(OwnPagesOnly, public_url=settings.public_url),
        ],
    )
    app.state.parts = parts
    for router in ROUTERS:
        app.include_router(router)
    json_api.describe(app)
    failures.register(app, parts.pages)
    staff_answers.register(app, parts)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Run the starter loop beside the requests, and end in order."""
    parts: Parts = app.state.parts
    loop = asyncio.create_task(Starter(parts).run(), name="starter loop")
    try:
        yield
    finally:
        loop.cancel()
        with suppress(asyncio.CancelledError):
            await loop
        await parts.background.drain(_DRAIN_SECONDS)
        await parts.engine.dispose()
