"""Errors of SCIM requests: one exception, and a function for each scimType (RFC 7644 3.12)."""

from typing import Any, Literal, Protocol

ERROR_SCHEMA = "urn:ietf:params:scim:api:messages:2.0:Error"

ScimType = Literal[
    "invalidFilter",
    "tooMany",
    "uniqueness",
    "mutability",
    "invalidSyntax",
    "invalidPath",
    "noTarget",
    "invalidValue",
    "invalidVers",
    "sensitive",
    "invalidCursor",
    "expiredCursor",
    "invalidCount",
]


class HttpError(Protocol):
    """An error with an HTTP status and a message."""

    status: int
    detail: str


class ScimError(Exception):
    """A SCIM error (RFC 7644 3.12): an HTTP status, a message, and a scimType if one applies.

    The message names attributes, but has no values, which may be secrets.
    """

    def __init__(self, status: int, detail: str, scim_type: ScimType | None = None) -> None:
        super().__init__(status, detail, scim_type)
        self.status = status
        self.detail = detail
        self.scim_type: ScimType | None = scim_type

    def __str__(self) -> str:
        return self.detail

    def document(self) -> dict[str, Any]:
        """The body of the error (RFC 7644 3.12); its status is a string, as the RFC requires."""
        kind = {} if self.scim_type is None else {"scimType": self.scim_type}
        return {"schemas": [ERROR_SCHEMA], "status": str(self.status), **kind, "detail": self.detail}


def invalid_syntax(detail: str) -> ScimError:
    """400: the body is not JSON, or not the expected message."""
    return ScimError(400, detail, "invalidSyntax")


def invalid_value(detail: str) -> ScimError:
    """400: an attribute's value is missing or of the wrong type."""
    return ScimError(400, detail, "invalidValue")


def invalid_filter(detail: str) -> ScimError:
    """400: the filter is invalid or not supported."""
    return ScimError(400, detail, "invalidFilter")


def mutability(detail: str) -> ScimError:
    """400: the change concerns an attribute that cannot be changed."""
    return ScimError(400, detail, "mutability")


def too_many(detail: str) -> ScimError:
    """400: the response or its computation would exceed a limit."""
    return ScimError(400, detail, "tooMany")


def invalid_cursor() -> ScimError:
    """400: the cursor is not one of this query (RFC 9865 2.1)."""
    return ScimError(400, "cursor is not valid for this query. Start again without a cursor.", "invalidCursor")


def as_scim_error(error: HttpError) -> ScimError:
    """Any error with an HTTP status, as a SCIM error."""
    return error if isinstance(error, ScimError) else ScimError(error.status, error.detail)


def uniqueness(detail: str) -> ScimError:
    """409: a value is already taken by another resource."""
    return ScimError(409, detail, "uniqueness")


def not_found(detail: str = "There is no such resource.") -> ScimError:
    """404: no such resource in this tenant."""
    return ScimError(404, detail)
