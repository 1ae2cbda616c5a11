"""What SCIM asks of HTTP, without any framework: media types and the body of an error."""

import orjson

from quartet_scim.errors import HttpError, ScimError, as_scim_error

CONTENT_TYPE = "application/scim+json"
ACCEPTED = frozenset({CONTENT_TYPE, "application/json"})
ROOT = "/scim/"


def require_json(content_type: str | None) -> None:
    """Refuse a body that says it is something else than JSON (RFC 7644 3.1, 8.1); one that says nothing is taken.

    Raises ScimError 415.
    """
    media_type = (content_type or CONTENT_TYPE).partition(";")[0].strip().lower()
    if media_type not in ACCEPTED:
        raise ScimError(415, f"The body must be {CONTENT_TYPE} or application/json.")


def render_error(error: HttpError, path: str) -> tuple[bytes, str] | None:
    """Body and content type of an error on a SCIM route (RFC 7644 3.12), whatever raised it; None on other routes."""
    if not path.startswith(ROOT):
        return None
    return orjson.dumps(as_scim_error(error).document()), CONTENT_TYPE
