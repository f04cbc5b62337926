"""`POST /v1/mail`: the way in for mail that comes back, from an MTA's pipe."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Header
from pydantic import BaseModel, Field
from starlette.requests import Request

from api.json_api import ApiKey, errors
from api.parts import TheParts
from api.problems import Problem, ProblemBody
from api.security import MAIL_PATH
from database.inbound import apply_mail
from domain.inbound import InboundKind
from mail.inbound import read_mail
from observability import logs

_MEDIA_TYPE = "message/rfc822"

_log = logs.get_logger("api.inbound_mail")

router = APIRouter()


class MailOutcome(StrEnum):
    """What a mail was taken for."""

    BOUNCED = "bounced"
    DELAYED = "delayed"
    AUTOMATIC = "automatic"
    REPLY = "reply"
    NOT_OURS = "not ours"


class MailTaken(BaseModel):
    """What became of a mail; the same for a second copy, which changes nothing."""

    outcome: MailOutcome = Field(
        description="`bounced`: the mail of ours never arrived; a case is open. "
        "`reply`: a person wrote; a case is open. `delayed`, `automatic`: noted. "
        "`not ours`: it names no mail that we wrote; nothing was stored."
    )


@router.post(
    MAIL_PATH,
    status_code=202,
    summary="Hand in a mail that came back",
    operation_id="takeMail",
    response_description="It was applied, or is none of ours.",
    responses=errors(415)
    | {413: {"model": ProblemBody, "description": "The mail is longer than 256 KiB."}},
    openapi_extra={
        "requestBody": {
            "required": True,
            "description": "The mail as it came in, at most 256 KiB. Cut off what is "
            "longer: the beginning says it all.",
            "content": {_MEDIA_TYPE: {"schema": {"type": "string"}}},
        }
    },
)
async def take_mail(
    request: Request,
    parts: TheParts,
    _: ApiKey,
    content_type: Annotated[str, Header(include_in_schema=False)] = "",
) -> MailTaken:
    """Take a bounce or an answer to one of our mails. Its text is not kept.

    Hand in the same mail again when no answer came: it is applied once.
    """
    if content_type.partition(";")[0].strip().lower() != _MEDIA_TYPE:
        raise Problem(415, f"Send the mail as it is, with the type `{_MEDIA_TYPE}`.")
    raw = await request.body()
    # Reading takes milliseconds that no other request shall wait for.
    mail = await asyncio.to_thread(read_mail, raw, parts.settings.mail_domain)
    if mail is None:
        return MailTaken(outcome=MailOutcome.NOT_OURS)
    applied = await parts.records.write(lambda connection: apply_mail(connection, mail))
    if applied is None:
        return MailTaken(outcome=MailOutcome.NOT_OURS)
    logs.bind(checkout_id=applied.checkout_id)
    if applied.is_new and mail.kind in {InboundKind.BOUNCED, InboundKind.REPLY}:
        _log.warning(
            "a mail came back: a case was opened", kind=mail.kind, status=mail.status
        )
    return MailTaken(outcome=MailOutcome(mail.kind))
