"""The principal: who a verified token speaks for."""

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote, unquote

SERVICE_SCOPE = "service"
PLATFORM_ADMIN = "platform:admin"
PRIVILEGED_WRITE = "privileged:write"
TENANT_HEADER = "Quartet-Tenant"
ACTOR_HEADER = "Quartet-Actor"
ANY_TENANT = "*"
PLAIN = "!#$&'()*+,/:;=?@[]"
"""What a name in a header has as it is, beside letters and digits."""

SCOPES = frozenset({
    "users:read", "users:write", "groups:read", "groups:write", "audit:read", "audit:export",
    "metrics:read", "metrics:write", "events:manage", "tenant:admin", PRIVILEGED_WRITE, PLATFORM_ADMIN, SERVICE_SCOPE,
})  # fmt: skip
"""Every scope there is."""


@dataclass(frozen=True)
class Principal:
    """A verified token: tenant (`*` only for services, which name the tenant per call), actor, client and scopes.

    `actor` is the `sub`: a user's id, or the client's own where no person stands behind the token (RFC 9068 section
    2.2). `expires_at` and `issued_at` are seconds since the epoch; `session` is the login that the token came from.
    """

    tenant: str
    actor: str
    client_id: str
    scopes: frozenset[str]
    expires_at: int
    token_id: str = ""
    issued_at: float = 0.0
    session: str | None = None

    @property
    def is_person(self) -> bool:
        """Whether a person stands behind the token, and not only a client, or a service that names one."""
        return self.actor != self.client_id and SERVICE_SCOPE not in self.scopes


def missing_scopes(own: frozenset[str], held: Iterable[str]) -> frozenset[str]:
    """The scopes that a caller with the scopes `own` lacks to change a user or group that holds the scopes `held`.

    PRIVILEGED_WRITE stands for every scope but PLATFORM_ADMIN.
    """
    missing = frozenset(held) - own
    return missing & {PLATFORM_ADMIN} if PRIVILEGED_WRITE in own else missing


def in_header(name: str) -> str:
    """A tenant's or an actor's name for a header, which holds ASCII only: all else as %XX of its UTF-8."""
    return quote(name, safe=PLAIN)


def from_header(value: str) -> str:
    """The name that `in_header` has written. What is no UTF-8, or cannot be stored, becomes U+FFFD."""
    return unquote(value).replace("\0", "\ufffd")
