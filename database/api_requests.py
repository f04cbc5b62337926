"""Idempotency of `/v1`: which checkout an embedder's key already made.

The row is written in the transaction that makes the checkout, so a key is never
remembered without its checkout, nor a checkout made twice under one key.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from database.tables import api_requests


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiRequest:
    """One request under an idempotency key.

    Attributes:
        api_key_hash: SHA-256 of the API key, so that two embedders' keys never meet.
        idempotency_key: The embedder's own text.
        body_hash: SHA-256 of what was asked; another body under the key is refused.
    """

    api_key_hash: bytes
    idempotency_key: str
    body_hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What was made under a key before."""

    checkout_id: UUID
    is_same_body: bool


async def find_answered(
    connection: AsyncConnection, request: ApiRequest
) -> Answered | None:
    """Read what a key stands for (`pk_api_requests`)."""
    result = await connection.execute(
        select(api_requests).where(
            api_requests.c.api_key_hash == request.api_key_hash,
            api_requests.c.idempotency_key == request.idempotency_key,
        )
    )
    row = result.one_or_none()
    if row is None:
        return None
    return Answered(
        checkout_id=row.checkout_id, is_same_body=row.body_hash == request.body_hash
    )


async def remember(
    connection: AsyncConnection, request: ApiRequest, checkout_id: UUID
) -> bool:
    """Bind a key to the checkout just made; False when another request was first.

    Two at once wait for each other on the primary key. The caller rolls back on False:
    its checkout must not stay.
    """
    written = await connection.execute(
        insert(api_requests)
        .values(
            api_key_hash=request.api_key_hash,
            idempotency_key=request.idempotency_key,
            body_hash=request.body_hash,
            checkout_id=checkout_id,
        )
        .on_conflict_do_nothing()
        .returning(api_requests.c.checkout_id)
    )
    return written.scalar_one_or_none() is not None
