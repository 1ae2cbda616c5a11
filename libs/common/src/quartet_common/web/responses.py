"""Responses: JSON bodies from dataclasses and plain values, or from JSON bytes."""

from typing import Any

import orjson
from quart import Response

JSON = "application/json"


def json_response(
    value: Any, status: int = 200, content_type: str = JSON, headers: dict[str, str] | None = None
) -> Response:
    """A response whose body is `value` as JSON; bytes are sent as they are."""
    body = value if isinstance(value, bytes) else orjson.dumps(value)
    return Response(body, status, headers=headers, content_type=content_type)
