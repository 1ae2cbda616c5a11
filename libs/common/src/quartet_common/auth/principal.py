"""The principal: who a verified token speaks for."""

from dataclasses import dataclass

SERVICE_SCOPE = "service"
TENANT_HEADER = "Quartet-Tenant"
ACTOR_HEADER = "Quartet-Actor"
ANY_TENANT = "*"

SCOPES = frozenset({
    "users:read", "users:write", "groups:read", "groups:write", "audit:read", "audit:export",
    "metrics:read", "metrics:write", "events:manage", "tenant:admin", "platform:admin", SERVICE_SCOPE,
})  # fmt: skip
"""Every scope there is."""


@dataclass(frozen=True)
class Principal:
    """A verified token: tenant (`*` only for services, which name the tenant per call), actor, scopes and expiry in
    seconds since the epoch.
    """

    tenant: str
    actor: str
    client_id: str
    scopes: frozenset[str]
    expires_at: int
