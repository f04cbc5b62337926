"""A shop on a real database, with doubles for Temporal and mail."""

from __future__ import annotations

import io
import logging
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from api.app import create_app
from api.parts import Parts
from database.engine import make_engine
from observability import logs
from tests.api.doubles import (
    OWN_PAGE,
    PUBLIC_URL,
    FakeClock,
    FakeDoor,
    FakeMailer,
    FakeProcessor,
    Shop,
    make_settings,
)
from tests.conftest import Database

MakeShop = Callable[..., Shop]


@pytest.fixture
async def make_shop(
    engine: AsyncEngine, database: Database
) -> AsyncIterator[Callable[..., Shop]]:
    """Makes shops; `database_url` puts another database under one."""
    stack = AsyncExitStack()

    def make(*, database_url: str | None = None, **changes: Any) -> Shop:
        settings = make_settings(**{"rate_limit_per_minute": 1000} | changes)
        used = engine
        if database_url is not None:
            used = make_engine(database_url, pool_size=5, application_name="tests")
            stack.push_async_callback(used.dispose)
        door, mailer, clock = FakeDoor(), FakeMailer(), FakeClock()
        processor = FakeProcessor()
        parts = Parts(
            settings=settings,
            engine=used,
            door=door,
            mailer=mailer,
            clock=clock,
            processor=processor,
        )
        app = create_app(parts)

        def new_browser() -> httpx.AsyncClient:
            client = httpx.AsyncClient(
                transport=httpx.ASGITransport(app),
                base_url=PUBLIC_URL,
                headers=OWN_PAGE,
            )
            stack.push_async_callback(client.aclose)
            return client

        stack.push_async_callback(parts.background.drain, 1)
        return Shop(
            app=app,
            parts=parts,
            door=door,
            mailer=mailer,
            clock=clock,
            processor=processor,
            database=database,
            new_browser=new_browser,
            browser=new_browser(),
        )

    async with stack:
        yield make


@pytest.fixture
def shop(make_shop: MakeShop) -> Shop:
    """A shop as it is by default."""
    return make_shop()


@pytest.fixture(autouse=True)
def log_lines() -> Iterator[io.StringIO]:
    """Everything that the process logs, as it would leave it."""
    root, stream = logging.getLogger(), io.StringIO()
    before = (root.handlers[:], root.level, sys.excepthook, threading.excepthook)
    logs.configure("json", stream=stream)
    yield stream
    root.handlers[:], level, sys.excepthook, threading.excepthook = before
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()
