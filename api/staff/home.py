"""The console's first page."""

from __future__ import annotations

from starlette.responses import Response

from api.parts import TheParts
from api.staff.guard import TheStaff, allows, console_router
from domain.staff import Access

router = console_router()


@router.api_route("", methods=["GET", "HEAD"])
@allows(Access.READ)
async def show_home(parts: TheParts, staff: TheStaff) -> Response:
    """Show who is signed in."""
    return parts.staff_pages.home(staff)
