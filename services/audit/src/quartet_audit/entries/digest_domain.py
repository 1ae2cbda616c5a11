"""Digests that replace the ids of applications in the facts of entries, except UUIDs. Each tenant has a key."""

import hashlib
import hmac

from quartet_common.core.identifiers import parse_id

KEY_BYTES = 32


def recorded_id(identifier: str, key: bytes) -> str:
    """What the facts have of an id of an application: the UUID, or of another text the digest with the tenant's key."""
    return str(parse_id(identifier) or hmac.digest(key, identifier.encode(), "sha256").hex())


def former_id(identifier: str) -> str:
    """What the facts of entries have that were recorded before digests had keys: these are committed and stay."""
    return str(parse_id(identifier) or hashlib.sha256(identifier.encode()).hexdigest())
