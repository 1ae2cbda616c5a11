"""What a SCIM request is answered with when it fails: one exception, and a maker for each kind that the RFC names."""

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
    """An error with an HTTP status and a sentence for people."""

    status: int
    detail: str


class ScimError(Exception):
    """A request that fails by RFC 7644 3.12: an HTTP status, a sentence for people, and a scimType where one applies.

    The sentence names attributes and never repeats values, so that no secret of a request comes back or is logged.
    """

    def __init__(self, status: int, detail: str, scim_type: ScimType | None = None) -> None:
        super().__init__(status, detail, scim_type)
        self.status = status
        self.detail = detail
        self.scim_type: ScimType | None = scim_type

    def __str__(self) -> str:
        return self.detail

    def document(self) -> dict[str, Any]:
        """The error message to send (RFC 7644 3.12), whose status is a string as the RFC wants it."""
        kind = {} if self.scim_type is None else {"scimType": self.scim_type}
        return {"schemas": [ERROR_SCHEMA], "status": str(self.status), **kind, "detail": self.detail}


def invalid_syntax(detail: str) -> ScimError:
    """400: the body is not JSON, or not the message that was expected."""
    return ScimError(400, detail, "invalidSyntax")


def invalid_value(detail: str) -> ScimError:
    """400: an attribute's value is missing or of the wrong type."""
    return ScimError(400, detail, "invalidValue")


def invalid_filter(detail: str) -> ScimError:
    """400: the filter cannot be read, or asks for what is not supported."""
    return ScimError(400, detail, "invalidFilter")


def mutability(detail: str) -> ScimError:
    """400: the change touches what cannot be changed."""
    return ScimError(400, detail, "mutability")


def too_many(detail: str) -> ScimError:
    """400: the answer would be larger than the server is willing to compute."""
    return ScimError(400, detail, "tooMany")


def invalid_cursor() -> ScimError:
    """400: the cursor is not one that this question was answered with (RFC 9865 2.1)."""
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
