"""Responses: JSON bodies from dataclasses and plain values, or from JSON bytes, and streams."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

import orjson
from quart import Response

from quartet_common.core.fair_share import FairShare

JSON = "application/json"


def json_response(
    value: Any, status: int = 200, content_type: str = JSON, headers: dict[str, str] | None = None
) -> Response:
    """A response whose body is `value` as JSON; bytes are sent as they are."""
    body = value if isinstance(value, bytes) else orjson.dumps(value)
    return Response(body, status, headers=headers, content_type=content_type)


async def streamed_response(
    pieces: AsyncGenerator[bytes, None], content_type: str, headers: Mapping[str, str] | None = None
) -> Response:
    """A response that streams `pieces`, which limit the time that the client may take.

    What the first piece raises is raised here: it becomes an ordinary error response.
    """
    first = await anext(pieces)
    response = Response(_all(first, pieces), content_type=content_type, headers=dict(headers or {}))
    response.timeout = None
    return response


async def hold_share(share: FairShare, tenant: str, pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """The `pieces` within the share of a tenant. Raises ShareExceededError (429) and CapacityExceededError (503)."""
    async with share.hold(tenant), aclosing(pieces):
        async for piece in pieces:
            yield piece


async def _all(first: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncIterator[bytes]:
    async with aclosing(rest):
        yield first
        async for piece in rest:
            yield piece
