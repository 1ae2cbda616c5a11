"""The SCIM dialect of the OpenAPI document: media types, errors, and responses to conditional requests."""

from typing import Any

from quartet_common.core.errors import title_of
from quartet_common.web.openapi import Dialect
from quartet_scim.errors import ERROR_SCHEMA
from quartet_scim.http import ACCEPTED, CONTENT_TYPE

PARAMETERS = {
    "attributes": "The attributes to return, separated by commas, such as userName,emails (RFC 7644 section 3.9).",
    "excludedAttributes": "The attributes to leave out, separated by commas (RFC 7644 section 3.9).",
    "filter": 'A filter such as displayName co "a" (RFC 7644 section 3.4.2.2).',
    "sortBy": "The attribute to sort by, such as meta.created (RFC 7644 section 3.4.2.3).",
    "sortOrder": "ascending or descending.",
    "startIndex": "The number of the first result, from 1 (RFC 7644 section 3.4.2.4).",
    "count": "The largest number of results on a page.",
    "cursor": "Empty for the first page, then the nextCursor of the previous page (RFC 9865). Not with startIndex.",
}
"""Descriptions of the query parameters of SCIM, by name."""


def error_example(status: int) -> dict[str, Any]:
    """A SCIM error (RFC 7644 section 3.12)."""
    return {"schemas": [ERROR_SCHEMA], "status": str(status), "detail": f"{title_of(status)}."}


SCIM = Dialect(
    prefix="/scim/v2",
    media_type=CONTENT_TYPE,
    taken=tuple(sorted(ACCEPTED, reverse=True)),
    error_type=CONTENT_TYPE,
    error={
        "type": "object",
        "required": ["schemas", "status", "detail"],
        "properties": {
            "schemas": {"type": "array", "items": {"const": ERROR_SCHEMA}},
            "status": {"type": "string", "pattern": "^[45][0-9][0-9]$"},
            "scimType": {"type": "string"},
            "detail": {"type": "string", "minLength": 1},
        },
    },
    error_example=error_example,
    statuses={
        "GET": (304, 403, 404),
        "POST": (404, 409, 501),
        "PUT": (404, 409, 412),
        "PATCH": (404, 409, 412),
        "DELETE": (404, 412),
    },
)
