"""Bring the schema up to date: `python -m database.migrate`, before anything starts.

Runs as the owning role, which the application's processes do not have.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError

#: Two migration steps at once would race; the second waits for this lock.
_MIGRATION_LOCK = 0x486F6C64  # "Hold"


def migrate(url: str) -> None:
    """Apply what is missing. A second run finds nothing to do.

    Args:
        url: PostgreSQL of the owning role, as `postgresql+psycopg://...`.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    engine = create_engine(url, connect_args={"connect_timeout": 5})
    try:
        with engine.connect() as connection:
            connection.execute(
                text("SELECT pg_advisory_lock(:lock)"), {"lock": _MIGRATION_LOCK}
            )
            connection.commit()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()
    finally:
        # The lock goes with its connection, also after a migration that failed.
        engine.dispose()


def main() -> int:
    """Run the step and say in one line what became of it."""
    url = os.environ.get("HOLDFAST_MIGRATION_DATABASE_URL", "")
    if not url:
        sys.stderr.write(
            "HOLDFAST_MIGRATION_DATABASE_URL is not set: it names the owning role's "
            "database, as postgresql+psycopg://user:password@host/name\n"
        )
        return 2
    try:
        migrate(url)
    except (SQLAlchemyError, CommandError) as error:
        # Without the URL, which holds a password.
        sys.stderr.write(f"the schema could not be brought up to date: {error}\n")
        return 1
    sys.stdout.write("the schema is up to date\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
