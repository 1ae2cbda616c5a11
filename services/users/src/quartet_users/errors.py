"""Errors of the users service, beside those of libs/common and libs/scim."""

import orjson

from quartet_common.errors import ServiceError, UnauthorizedError
from quartet_scim import http

TAKEN = "The userName is taken by another user of the tenant."
"""What is said of a conflict (409 uniqueness)."""


class InvalidClientError(UnauthorizedError):
    """401 of the token endpoint (RFC 6749 section 5.2): the client is not known, or has not proved who it is. `reason`
    says what was wrong, for the audit log only.
    """

    def __init__(self, reason: str = "invalid_client") -> None:
        super().__init__(reason, "Client authentication failed.")
        self.code = "invalid_client"
        self.headers = {"WWW-Authenticate": 'Basic realm="quartet"'}


class OAuthError(ServiceError):
    """400 of the token endpoint; `code` is one of RFC 6749 section 5.2."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(400, code, detail)


def render_error(error: http.HttpError, path: str) -> tuple[bytes, str] | None:
    """SCIM errors under /scim, OAuth errors (RFC 6749 section 5.2) under /oauth2, problem documents elsewhere."""
    if path.startswith("/oauth2/") and isinstance(error, ServiceError):
        return orjson.dumps({"error": error.code, "error_description": error.detail}), "application/json"
    return http.render_error(error, path)
