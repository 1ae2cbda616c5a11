"""Scopes: the rights of tokens, and the scopes that a change of a privileged user or group requires."""

from collections.abc import Iterable

SERVICE_SCOPE = "service"

PLATFORM_ADMIN = "platform:admin"

PRIVILEGED_WRITE = "privileged:write"

SCOPES = frozenset({
    "users:read", "users:write", "groups:read", "groups:write", "audit:read", "audit:write", "audit:export",
    "audit:erase", "audit:streams", "audit:retention", "metrics:read", "metrics:write", "alerts:manage",
    "events:manage", "origins:manage", "tenant:admin", PRIVILEGED_WRITE, PLATFORM_ADMIN, SERVICE_SCOPE,
})  # fmt: skip
"""All scopes."""


def missing_scopes(own: frozenset[str], held: Iterable[str]) -> frozenset[str]:
    """The scopes that a caller with the scopes `own` lacks to change a user or group that holds the scopes `held`.

    PRIVILEGED_WRITE includes every scope but PLATFORM_ADMIN.
    """
    missing = frozenset(held) - own
    return missing & {PLATFORM_ADMIN} if PRIVILEGED_WRITE in own else missing
