"""SCIM over HTTP, without a framework: media types and the body of an error."""

import orjson

from quartet_scim.errors import HttpError, as_scim_error

CONTENT_TYPE = "application/scim+json"
ACCEPTED = frozenset({CONTENT_TYPE, "application/json"})
ROOT = "/scim/"


def render_error(error: HttpError, path: str) -> tuple[bytes, str] | None:
    """Body and content type of any error on a SCIM route (RFC 7644 3.12); None on other routes."""
    if not path.startswith(ROOT):
        return None
    return orjson.dumps(as_scim_error(error).document()), CONTENT_TYPE
