"""``SANDBOX_APPLICATION_SECRET=whsec_... python -m sandbox.application --help``.

``--secret`` does too, but every account of a machine can read the arguments of its
processes.
"""

import argparse
import os
from pathlib import Path

from sandbox.application.pages import make_app
from sandbox.application.store import AccessStore
from sandbox.serving import serve


def main() -> None:
    """Serve HTTP until a signal ends it."""
    options = argparse.ArgumentParser(prog="sandbox.application", description=__doc__)
    options.add_argument("--host", default="127.0.0.1")
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--data", type=Path, required=True)
    options.add_argument(
        "--secret", default=os.environ.get("SANDBOX_APPLICATION_SECRET", "")
    )
    chosen = options.parse_args()
    if not chosen.secret:
        options.error("SANDBOX_APPLICATION_SECRET or --secret is needed")
    store = AccessStore(chosen.data)
    serve(
        lambda is_stopping: make_app(
            store, secret=chosen.secret, is_stopping=is_stopping
        ),
        host=chosen.host,
        port=chosen.port,
    )


if __name__ == "__main__":
    main()
