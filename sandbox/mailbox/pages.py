"""The HTTP side of the mailbox: pages for people, JSON for tests."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
)
from starlette.routing import Route
from starlette.templating import Jinja2Templates

from sandbox.faults import Changes, Faults, number
from sandbox.mailbox.smtp import ACTIONS, MailHandler, listen
from sandbox.mailbox.store import Mail, MailStore

_FOLDER = Path(__file__).parent

#: The mail's own HTML may show itself and open links in a new tab; nothing else.
_MAIL_POLICY = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; "
    "style-src 'unsafe-inline'; img-src data:"
)
_PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "frame-src 'self'; img-src data:; form-action 'self'; base-uri 'none'"
)


class Pages:
    """The endpoints, over one store."""

    def __init__(self, store: MailStore, changes: Changes) -> None:
        self._store = store
        self._changes = changes
        self._templates = Jinja2Templates(directory=_FOLDER / "templates")

    def routes(self) -> list[Route]:
        """Every address of the mailbox but the fault switches."""
        return [
            Route("/", self.index),
            Route("/mails/clear", self.clear_by_form, methods=["POST"]),
            Route("/mails/{id:int}", self.mail),
            Route("/mails/{id:int}/html", self.mail_html),
            Route("/mails/{id:int}/raw", self.mail_raw),
            Route("/api/mails", self.find, methods=["GET"]),
            Route("/api/mails", self.clear, methods=["DELETE"]),
            Route("/api/mails/wait", self.wait),
            Route("/assets/{name}", _asset),
            Route("/healthz", _healthz),
        ]

    async def index(self, request: Request) -> Response:
        """All mails, the newest first."""
        mails = list(reversed(self._store.find()))
        return self._page(request, "index.html", mails=mails)

    async def mail(self, request: Request) -> Response:
        """One mail: as it looks, as text, as it came."""
        mail = self._mail(request)
        if mail is None:
            return self._page(request, "gone.html", status_code=404)
        return self._page(request, "mail.html", mail=mail)

    async def mail_html(self, request: Request) -> Response:
        """The HTML part alone, for the frame; it can reach nothing."""
        mail = self._mail(request)
        if mail is None or mail.html is None:
            return PlainTextResponse("No HTML part.", status_code=404)
        # Links leave the frame: what they lead to refuses to be framed.
        html = '<base target="_blank">' + mail.html
        return HTMLResponse(html, headers={"Content-Security-Policy": _MAIL_POLICY})

    async def mail_raw(self, request: Request) -> Response:
        """The bytes as they came."""
        mail = self._mail(request)
        if mail is None:
            return PlainTextResponse("No such mail.", status_code=404)
        return Response(mail.raw, media_type="text/plain; charset=utf-8")

    async def find(self, request: Request) -> Response:
        """``?to=&kind=&message_id=``: the matching mails, oldest first."""
        return _answer(self._asked(request))

    async def wait(self, request: Request) -> Response:
        """As ``find``, answered once there are ``count`` or ``timeout`` s are over."""
        count = number(request, "count", 1)
        await self._changes.wait_until(
            lambda: len(self._asked(request)) >= count, number(request, "timeout", 30)
        )
        return _answer(self._asked(request), is_complete=count)

    async def clear(self, _: Request) -> Response:
        """Forget all mails."""
        return JSONResponse({"deleted": self._store.clear()})

    async def clear_by_form(self, _: Request) -> Response:
        """The page's button for it."""
        self._store.clear()
        return RedirectResponse("/", status_code=303)

    def _asked(self, request: Request) -> list[Mail]:
        asked = request.query_params
        return self._store.find(
            to=asked.get("to"),
            kind=asked.get("kind"),
            message_id=asked.get("message_id"),
        )

    def _mail(self, request: Request) -> Mail | None:
        return self._store.get(request.path_params["id"])

    def _page(
        self, request: Request, name: str, status_code: int = 200, **context: object
    ) -> Response:
        return self._templates.TemplateResponse(
            request,
            name,
            context,
            status_code=status_code,
            headers={"Content-Security-Policy": _PAGE_POLICY},
        )


def _answer(mails: list[Mail], is_complete: float = 0) -> Response:
    return JSONResponse(
        {
            "count": len(mails),
            "complete": len(mails) >= is_complete,
            "mails": [mail.as_json() for mail in mails],
        }
    )


_ASSETS = {"mailbox.css": "text/css", "mailbox.js": "text/javascript"}


async def _asset(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _ASSETS:
        return PlainTextResponse("No such file.", status_code=404)
    content = (_FOLDER / "assets" / name).read_bytes()
    return Response(content, media_type=_ASSETS[name])


async def _healthz(_: Request) -> Response:
    return PlainTextResponse("ok")


def make_app(
    store: MailStore, *, smtp_host: str, smtp_port: int, is_stopping: Callable[[], bool]
) -> Starlette:
    """The mailbox: its pages, and its SMTP server for as long as they are served."""
    changes = Changes(is_stopping)
    faults = Faults(actions=ACTIONS, matchers=frozenset({"to"}), changes=changes)
    handler = MailHandler(store, faults, changes)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        server = await listen(handler, smtp_host, smtp_port)
        try:
            yield
        finally:
            server.close()
            store.close()

    pages = Pages(store, changes)
    return Starlette(routes=[*pages.routes(), *faults.routes()], lifespan=lifespan)
