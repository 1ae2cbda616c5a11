"""A stored resource: its normalised attributes and metadata."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Self
from uuid import UUID

import orjson

from quartet_scim.errors import invalid_value

Attributes = dict[str, Any]
"""A SCIM document in canonical form, without id, meta and secrets."""


@dataclass(frozen=True)
class Resource:
    """A stored resource. `version` counts from 1; `created` and `modified` have a time zone."""

    id: UUID
    attributes: Attributes
    version: int
    created: datetime
    modified: datetime

    @property
    def external_id(self) -> str | None:
        """The client's own id (RFC 7643 3.1)."""
        value = self.attributes.get("externalId")
        return value if isinstance(value, str) else None

    def next(self, now: datetime, attributes: Attributes | None = None) -> Self:
        """The next version of the resource, with other attributes if given."""
        kept = self.attributes if attributes is None else attributes
        return replace(self, attributes=kept, version=self.version + 1, modified=now)


def require_size(attributes: Attributes, limit: int, before: Attributes | None = None) -> None:
    """Refuse a resource that would have more than `limit` bytes as stored. One that was larger `before` may shrink, and
    be deactivated.

    Raises ScimError 400 invalidValue: the resource is too large, not the request, which a 413 would blame (RFC 9110
    section 15.5.14); of the scimTypes of RFC 7644 table 9, tooMany is for what a filter finds.
    """
    size = len(orjson.dumps(attributes))
    if size > limit and (before is None or _size_of_values(attributes) > _size_of_values(before)):
        raise invalid_value(f"The resource would have {size} bytes as stored; it may have {limit}. Shorten its values.")


def _size_of_values(attributes: Attributes) -> int:
    return len(orjson.dumps({name: value for name, value in attributes.items() if name != "active"}))


def changed_names(before: Attributes, after: Attributes) -> list[str]:
    """The top-level attributes that differ, sorted, without `schemas`, which is derived from the others."""
    names = (before.keys() | after.keys()) - {"schemas"}
    return sorted(name for name in names if before.get(name) != after.get(name))
