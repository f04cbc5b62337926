"""Our own stylesheet and scripts, read once: no file is opened for a request."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.responses import Response

router = APIRouter(include_in_schema=False)

_FOLDER = Path(__file__).parent / "static"

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

#: The address carries the content's digest, so a changed file has another address.
_FOR_EVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file as it is served."""

    content: bytes
    media_type: str
    #: Changes with the content.
    version: str


def _read(path: Path) -> StaticFile:
    content = path.read_bytes()
    version = hashlib.sha256(content).hexdigest()[:12]
    return StaticFile(content, _TYPES[path.suffix], version)


_FILES = {
    path.name: _read(path)
    for path in sorted(_FOLDER.iterdir())
    if path.suffix in _TYPES
}


def address_of(name: str) -> str:
    """Return the address under which a page asks for a file."""
    return f"/static/{name}?v={_FILES[name].version}"


@router.api_route("/static/{name}", methods=["GET", "HEAD"])
async def static_file(name: str) -> Response:
    """Serve one of our own files; there are no others."""
    file = _FILES.get(name)
    if file is None:
        raise HTTPException(404)
    return Response(
        file.content,
        media_type=file.media_type,
        headers={"cache-control": _FOR_EVER},
    )
