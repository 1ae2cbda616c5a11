"""Errors of the users service, beside those of libs/common and libs/scim."""

import re

import orjson

from quartet_common.core.errors import BadRequestError, ServiceError, UnauthorizedError
from quartet_scim import http
from quartet_scim.errors import HttpError

TAKEN = "The userName is already used by another user of the tenant."
"""What is said of a conflict (409 uniqueness)."""
UNSAYABLE = re.compile(r"[^\x20-\x21\x23-\x5b\x5d-\x7e]")
"""What may not stand in an `error_description` (RFC 6749 section 5.2); names that a client has sent may have it."""


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


class InvalidCredentialsError(ServiceError):
    """401 of a login, the same whatever was wrong; not an UnauthorizedError, since no token was refused."""

    def __init__(self) -> None:
        detail = "Wrong tenant, user name or password."
        super().__init__(401, "invalid_credentials", detail, {"WWW-Authenticate": 'Bearer realm="quartet"'})


class PasswordChangeRequiredError(ServiceError):
    """403 of a login with the right password, of which somebody else knows."""

    def __init__(self) -> None:
        super().__init__(403, "password_change_required", "The password must be changed. Send new_password as well.")


class WrongPasswordError(ServiceError):
    """403: the old password is not the one of the person who wants to change it."""

    def __init__(self) -> None:
        super().__init__(403, "wrong_password", "The old password is wrong.")


class PasswordRefusedError(BadRequestError):
    """400: the new password is none that is taken; `fault` says why, without it."""

    def __init__(self, fault: str) -> None:
        super().__init__(f"new_password: {fault}", "password_refused")


def render_error(error: HttpError, path: str) -> tuple[bytes, str] | None:
    """SCIM errors under /scim, OAuth errors (RFC 6749 section 5.2) under /oauth2, problem documents elsewhere."""
    if path.startswith("/oauth2/") and isinstance(error, ServiceError):
        said = UNSAYABLE.sub("?", error.detail)
        return orjson.dumps({"error": error.code, "error_description": said}), "application/json"
    return http.render_error(error, path)
