"""Errors of the users service; the others are in libs/common and libs/scim."""

import re

import orjson

from quartet_common.core.errors import BadRequestError, ServiceError, UnauthorizedError
from quartet_scim import http
from quartet_scim.errors import HttpError

TAKEN = "The userName is already used by another user of the tenant."
"""The detail of a 409 uniqueness."""
NOT_IN_DESCRIPTION = re.compile(r"[^\x20-\x21\x23-\x5b\x5d-\x7e]")
"""Characters that `error_description` must not have (RFC 6749 section 5.2); names sent by a client may have them."""


class InvalidClientError(UnauthorizedError):
    """401 of the token endpoint (RFC 6749 section 5.2): client authentication failed. `reason` is for the audit log
    only.
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
    """401 of a login, the same for every reason; not an UnauthorizedError, since no token was refused."""

    def __init__(self) -> None:
        detail = "Wrong tenant, user name or password."
        super().__init__(401, "invalid_credentials", detail, {"WWW-Authenticate": 'Bearer realm="quartet"'})


class PasswordChangeRequiredError(ServiceError):
    """403 of a login with the right password, which must be changed since it was set by another person."""

    def __init__(self) -> None:
        super().__init__(403, "password_change_required", "The password must be changed. Send new_password as well.")


class WrongPasswordError(ServiceError):
    """403 of a password change: the old password is wrong."""

    def __init__(self) -> None:
        super().__init__(403, "wrong_password", "The old password is wrong.")


class PasswordRefusedError(BadRequestError):
    """400: the policy refuses the new password; `fault` says why, without the password."""

    def __init__(self, fault: str) -> None:
        super().__init__(f"new_password: {fault}", "password_refused")


def render_error(error: HttpError, path: str) -> tuple[bytes, str] | None:
    """SCIM errors under /scim, OAuth errors (RFC 6749 section 5.2) under /oauth2, problem documents elsewhere."""
    if path.startswith("/oauth2/") and isinstance(error, ServiceError):
        description = NOT_IN_DESCRIPTION.sub("?", error.detail)
        return orjson.dumps({"error": error.code, "error_description": description}), "application/json"
    return http.render_error(error, path)
