"""Shapes of SCIM messages as plain dataclasses, for whoever describes an API; what is sent is checked elsewhere."""

from dataclasses import dataclass


@dataclass
class ErrorDocument:
    """A SCIM error (RFC 7644 3.12)."""

    schemas: list[str]
    status: str
    detail: str
    scimType: str | None = None  # noqa: N815  # the message's name


@dataclass
class ListQuery:
    """Query of a list (RFC 7644 3.4.2)."""

    startIndex: int | None = None  # noqa: N815  # the parameter's name
    count: int | None = None
    filter: str | None = None


@dataclass
class ListDocument:
    """A ListResponse (RFC 7644 3.4.2) without its resources."""

    schemas: list[str]
    totalResults: int  # noqa: N815  # the message's name
    startIndex: int  # noqa: N815  # the message's name
    itemsPerPage: int  # noqa: N815  # the message's name
