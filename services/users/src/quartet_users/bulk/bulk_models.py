"""Request and response bodies of Bulk."""

from dataclasses import dataclass
from typing import Any


@dataclass
class BulkRequestDocument:
    """A BulkRequest (RFC 7644 section 3.7): method, path, and where they apply bulkId, version and data."""

    schemas: list[str]
    Operations: list[dict[str, Any]]  # the message's name
    failOnErrors: int | None = None  # noqa: N815  # the message's name


@dataclass
class BulkResponseDocument:
    """A BulkResponse (RFC 7644 section 3.7.3): method, bulkId, location, version, status, and response for an error."""

    schemas: list[str]
    Operations: list[dict[str, Any]]  # the message's name
