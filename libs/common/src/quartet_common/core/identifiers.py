"""Identifiers and the clock: UUIDv7 ids and UTC times, given to whoever needs them."""

import re
from uuid import UUID

import uuid_utils
import uuid_utils.compat

from quartet_common.core.errors import NotFoundError

SYSTEM_TENANT = "quartet"
"""The tenant of what belongs to no customer, such as refused requests without a token."""

TENANT_ID = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
"""What a tenant's id looks like."""


def new_id() -> UUID:
    """A new UUIDv7 (RFC 9562 section 5.7): ordered by time, so that indexes grow at one end."""
    return uuid_utils.compat.uuid7()


def new_id_text() -> str:
    """As `new_id`, as text: without an object in between it takes an eighth of the time."""
    return str(uuid_utils.uuid7())


def parse_id(text: str) -> UUID | None:
    """`text` as a UUID in its usual 36 characters, or None: an odd id is simply one that nobody has."""
    if len(text) != 36:
        return None
    try:
        return UUID(text)
    except ValueError:
        return None


def require_id(text: str) -> UUID:
    """The id out of an address. Raises NotFoundError: what is no id is nobody's."""
    found = parse_id(text)
    if found is None:
        raise NotFoundError
    return found
