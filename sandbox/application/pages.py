"""Acme's pages: the product, the welcome behind a personal link, JSON for tests."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.templating import Jinja2Templates
from starlette.types import ASGIApp

from sandbox.application.provisioning import ACTIONS, MATCHERS, Provisioning
from sandbox.application.store import Access, AccessStore
from sandbox.faults import Changes, Droppable, Faults

_FOLDER = Path(__file__).parent
_POLICY = (
    "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)


class Pages:
    """The endpoints, over one store."""

    def __init__(self, store: AccessStore) -> None:
        self._store = store
        self._templates = Jinja2Templates(directory=_FOLDER / "templates")

    def routes(self) -> list[Route]:
        """Every address but provisioning and the fault switches."""
        return [
            Route("/", self.index),
            Route("/welcome/{token}", self.welcome, name="welcome"),
            Route("/api/entitlements", self.entitlements, methods=["GET"]),
            Route("/api/entitlements", self.clear, methods=["DELETE"]),
            Route("/assets/acme.css", _style),
            Route("/healthz", _healthz),
        ]

    async def index(self, request: Request) -> Response:
        """The product, and who has access."""
        return self._page(request, "index.html", people=self._store.all())

    async def welcome(self, request: Request) -> Response:
        """Where the link in the receipt leads."""
        access = self._store.by_token(request.path_params["token"])
        if access is None:
            return self._page(request, "unknown.html", status_code=404)
        if access.state != "active":
            return self._page(request, "ended.html", status_code=403)
        return self._page(request, "welcome.html", access=access)

    async def entitlements(self, request: Request) -> Response:
        """``?email=&order_reference=&entitlement_id=``: what was granted, how often."""
        asked = request.query_params
        found = [
            access
            for access in self._store.all()
            if all(asked[n] == getattr(access, n, None) for n in asked)
        ]
        entries = [self._entry(request, access) for access in found]
        return JSONResponse({"entitlements": entries, **self._store.totals()})

    async def clear(self, _: Request) -> Response:
        """Forget everything."""
        self._store.clear()
        return JSONResponse({"cleared": True})

    def _entry(self, request: Request, access: Access) -> dict[str, Any]:
        return {
            "entitlement_id": access.entitlement_id,
            "order_reference": access.order_reference,
            "email": access.email,
            "plan": access.plan,
            "starts_at": access.starts_at,
            "ends_at": access.ends_at,
            "state": access.state,
            "granted_at": access.granted_at,
            "change": access.change,
            "access_url": str(request.url_for("welcome", token=access.token)),
            **self._store.counts(access.entitlement_id),
        }

    def _page(
        self, request: Request, name: str, status_code: int = 200, **context: object
    ) -> Response:
        return self._templates.TemplateResponse(
            request,
            name,
            context,
            status_code=status_code,
            headers={
                "Content-Security-Policy": _POLICY,
                # The welcome address is the key to the account.
                "Referrer-Policy": "no-referrer",
                "Cache-Control": "no-store",
            },
        )


async def _style(_: Request) -> Response:
    content = (_FOLDER / "assets" / "acme.css").read_bytes()
    return Response(content, media_type="text/css")


async def _healthz(_: Request) -> Response:
    return PlainTextResponse("ok")


def make_app(
    store: AccessStore, *, secret: str, is_stopping: Callable[[], bool]
) -> ASGIApp:
    """The demo application."""
    changes = Changes(is_stopping)
    faults = Faults(actions=ACTIONS, matchers=MATCHERS, changes=changes)
    provisioning = Provisioning(store, faults, secret)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        store.close()

    address = "/holdfast/entitlements"
    app = Starlette(
        routes=[
            Route(address, provisioning.receive, methods=["POST"]),
            *Pages(store).routes(),
            *faults.routes(),
        ],
        lifespan=lifespan,
    )
    # Outermost: any other layer would hide the connection that is to be cut.
    return Droppable(app)
