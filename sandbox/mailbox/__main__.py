"""``python -m sandbox.mailbox --smtp-port N --http-port N --data FILE``."""

import argparse
from pathlib import Path

from sandbox.mailbox.pages import make_app
from sandbox.mailbox.store import MailStore
from sandbox.serving import serve


def main() -> None:
    """Serve SMTP and HTTP until a signal ends it."""
    options = argparse.ArgumentParser(prog="sandbox.mailbox", description=__doc__)
    options.add_argument("--host", default="127.0.0.1")
    options.add_argument("--smtp-port", type=int, required=True)
    options.add_argument("--http-port", type=int, required=True)
    options.add_argument("--data", type=Path, required=True)
    chosen = options.parse_args()
    store = MailStore(chosen.data)
    serve(
        lambda is_stopping: make_app(
            store,
            smtp_host=chosen.host,
            smtp_port=chosen.smtp_port,
            is_stopping=is_stopping,
        ),
        host=chosen.host,
        port=chosen.http_port,
    )


if __name__ == "__main__":
    main()
