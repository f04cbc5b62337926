"""Start the sandbox processor: ``python -m sandbox.processor --help``.

The secrets are better given by ``SANDBOX_API_KEY`` and ``SANDBOX_WEBHOOK_SECRET``:
every account of a machine can read the arguments of its processes.
"""

import argparse
import logging
import os
from pathlib import Path

from sandbox.processor.server import listen, serve
from sandbox.processor.work import Options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sandbox.processor",
        description="A payment processor for one machine that speaks Stripe's API.",
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument(
        "--port", type=int, required=True, help="0 picks a free one, named at start"
    )
    parser.add_argument("--data", type=Path, required=True, help="the SQLite file")
    parser.add_argument(
        "--api-key",
        default=os.environ.get("SANDBOX_API_KEY", ""),
        help="the secret key, sk_test_...; SANDBOX_API_KEY without it",
    )
    parser.add_argument("--webhook-url", help="where events go; none without it")
    parser.add_argument(
        "--webhook-secret",
        default=os.environ.get("SANDBOX_WEBHOOK_SECRET", ""),
        help="signs events, whsec_...; SANDBOX_WEBHOOK_SECRET without it",
    )
    parser.add_argument(
        "--webhook-events",
        default="",
        help="event types to send, separated by commas; all of them without it",
    )
    parser.add_argument(
        "--public-url", help="where a browser reaches this server, for the bank page"
    )
    parser.add_argument(
        "--merchant", default="Sandbox merchant", help="the name on the bank page"
    )
    return parser


def main() -> None:
    """Read the command line and serve."""
    logging.basicConfig(level=logging.WARNING, format="processor: %(message)s")
    parser = _parser()
    arguments = parser.parse_args()
    if not arguments.api_key:
        parser.error("SANDBOX_API_KEY or --api-key is needed")
    if arguments.webhook_url and not arguments.webhook_secret:
        parser.error(
            "SANDBOX_WEBHOOK_SECRET or --webhook-secret is needed with --webhook-url"
        )
    try:
        listener = listen(arguments.host, arguments.port)
    except OSError as error:
        parser.exit(1, f"processor: cannot listen on {arguments.port}: {error}\n")
    port = listener.getsockname()[1]
    base = f"http://{arguments.host}:{port}"
    events = [name.strip() for name in arguments.webhook_events.split(",")]
    options = Options(
        api_key=arguments.api_key,
        webhook_url=arguments.webhook_url,
        webhook_secret=arguments.webhook_secret,
        webhook_events=frozenset(name for name in events if name),
        public_url=(arguments.public_url or base).rstrip("/"),
        merchant=arguments.merchant,
    )
    serve(options, data=arguments.data, listener=listener)


if __name__ == "__main__":
    main()
