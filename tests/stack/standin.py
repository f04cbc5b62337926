"""A stand-in for every process of the product: listens where it is told, answers 200.

A file ``broken-<name>`` beside it makes the process called so end with exit code 3.
"""

import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_PORT_OPTIONS = ("--port", "--http-port")


#: What the supervisor looks for in a worker's metrics; no harm elsewhere.
_BODY = b"temporal_num_pollers 1"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(_BODY)))
        self.end_headers()
        self.wfile.write(_BODY)

    def log_message(self, *_: object) -> None:
        return None


def _port(variable: str | None) -> int:
    if variable:
        return int(os.environ[variable])
    option = next(o for o in _PORT_OPTIONS if o in sys.argv)
    return int(sys.argv[sys.argv.index(option) + 1])


def serve(name: str, port_variable: str | None = None) -> None:
    """Be the process ``name`` until a signal ends it."""
    print(f"{name} was here", flush=True)  # noqa: T201
    if Path(f"broken-{name}").exists():
        sys.exit(3)
    ThreadingHTTPServer(("127.0.0.1", _port(port_variable)), _Handler).serve_forever()
