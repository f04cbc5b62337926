"""The console's pages around signing in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import segno
from starlette.responses import HTMLResponse

from api.pages import load_templates
from api.staff.refusals import CodeNeeded
from domain.staff import MIN_PASSWORD
from settings import Settings

#: Pixels of one square of the picture that a telephone reads.
_SQUARE = 5
#: The secret is typed in groups where no picture can be taken.
_GROUP = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """What somebody needs to make an account theirs.

    Attributes:
        name: The account's.
        display_name: What they sign with.
        uri: What an authenticator app reads.
        secret: The same, for typing.
    """

    name: str
    display_name: str
    uri: str
    secret: str

    @property
    def picture(self) -> str:
        """The address as a picture, inside the page: no other place is asked for it."""
        made = segno.make(self.uri, error="m", micro=False)
        return made.svg_data_uri(scale=_SQUARE, border=4, light="#fff", dark="#000")

    @property
    def typed(self) -> str:
        """The secret in groups."""
        starts = range(0, len(self.secret), _GROUP)
        return " ".join(self.secret[start : start + _GROUP] for start in starts)


class StaffPages:
    """Renders them.

    Args:
        settings: The company's name and addresses.
    """

    def __init__(self, settings: Settings) -> None:
        self._templates = load_templates(settings)

    def sign_in(
        self, form_token: str, *, case_id: str = "", name: str = "", problem: str = ""
    ) -> HTMLResponse:
        """Ask who it is."""
        return self.render(
            "staff_sign_in.html",
            403 if problem else 200,
            form_token=form_token,
            case_id=case_id,
            name=name,
            problem=problem,
        )

    def set_up(
        self, form_token: str, path: str, enrolment: Enrolment, *, problem: str = ""
    ) -> HTMLResponse:
        """Let somebody make an account theirs."""
        return self.render(
            "staff_set_up.html",
            422 if problem else 200,
            form_token=form_token,
            path=path,
            enrolment=enrolment,
            least=MIN_PASSWORD,
            problem=problem,
        )

    def code(self, path: str, needed: CodeNeeded) -> HTMLResponse:
        """Ask for a code, and send the form again with it."""
        return self.render(
            "staff_code.html",
            403,
            path=path,
            fields=needed.fields,
            problem=needed.problem,
        )

    def render(self, template: str, status: int, **facts: Any) -> HTMLResponse:
        """Render a template of the console."""
        facts.setdefault("staff", None)
        text = self._templates.get_template(template).render(**facts)
        return HTMLResponse(text, status, headers={"cache-control": "no-store"})
