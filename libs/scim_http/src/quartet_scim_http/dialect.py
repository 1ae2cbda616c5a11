"""How SCIM routes speak, for the OpenAPI document: media types, errors, and the answers that conditions can cause."""

from quartet_common.openapi import Dialect
from quartet_scim.errors import ERROR_SCHEMA
from quartet_scim.http import ACCEPTED, CONTENT_TYPE

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
    statuses={
        "GET": (304, 403, 404),
        "POST": (404, 409, 501),
        "PUT": (404, 409, 412),
        "PATCH": (404, 409, 412),
        "DELETE": (404, 412),
    },
)
