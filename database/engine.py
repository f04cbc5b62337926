"""The engine: one pool of connections per process, with limits on everything."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

#: A locked table must turn into a retried step, not into a silent wait.
_LOCK_TIMEOUT_MS = 2_000
#: No statement of ours needs a second; five allow for a busy machine.
_STATEMENT_TIMEOUT_MS = 5_000
#: A frozen process must not hold its locks for ever.
_IDLE_IN_TRANSACTION_TIMEOUT_MS = 10_000
#: How long a caller waits for a free connection, and the pool for a new one.
_WAIT_SECONDS = 3


def make_engine(url: str, *, pool_size: int, application_name: str) -> AsyncEngine:
    """Return an engine; it connects on first use.

    Args:
        url: As `postgresql+psycopg://user:password@host:port/name`.
        pool_size: Connections kept at the most; a caller beyond them waits 3 seconds.
        application_name: Names this process in PostgreSQL's views and in the audit.
    """
    return create_async_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=_WAIT_SECONDS,
        # After PostgreSQL restarts, every pooled connection is dead. Asking first costs
        # a fifth of a millisecond and spares the next customer an error page.
        pool_pre_ping=True,
        # An error's text would otherwise quote a statement's values: customers' mail.
        hide_parameters=True,
        connect_args={
            "application_name": application_name,
            "connect_timeout": _WAIT_SECONDS,
            "options": (
                f"-c lock_timeout={_LOCK_TIMEOUT_MS}"
                f" -c statement_timeout={_STATEMENT_TIMEOUT_MS}"
                " -c idle_in_transaction_session_timeout="
                f"{_IDLE_IN_TRANSACTION_TIMEOUT_MS}"
                " -c timezone=UTC"
            ),
        },
    )
