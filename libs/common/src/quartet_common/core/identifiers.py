"""Identifiers: UUIDv7 ids, and the ids of tenants."""

import re
from uuid import UUID

import uuid_utils
import uuid_utils.compat

from quartet_common.core.errors import NotFoundError

SYSTEM_TENANT = "quartet"
"""The tenant of the platform: of everything that belongs to no customer, such as requests without a token."""

TENANT_ID = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
"""The syntax of a tenant id."""

NIL_ID = UUID(int=0)
"""The nil UUID (RFC 9562 section 5.9): no id equals it, and it sorts before all ids; the first page begins after it."""
MAX_ID = UUID(int=(1 << 128) - 1)
"""The max UUID (RFC 9562 section 5.10), the same for lists in descending order."""


def new_id() -> UUID:
    """A new UUIDv7 (RFC 9562 section 5.7): ordered by time, so that indexes grow at one end."""
    return uuid_utils.compat.uuid7()


def new_id_text() -> str:
    """`new_id` as text, in an eighth of the time, since no UUID object is made."""
    return str(uuid_utils.uuid7())


def parse_id(text: str) -> UUID | None:
    """`text` as a UUID if it has the usual 36 characters, else None."""
    if len(text) != 36:
        return None
    try:
        return UUID(text)
    except ValueError:
        return None


def require_id(text: str) -> UUID:
    """The id in a path. Raises NotFoundError (404) if it is none."""
    found = parse_id(text)
    if found is None:
        raise NotFoundError
    return found
