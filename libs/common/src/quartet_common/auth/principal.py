"""The principal: who a verified token speaks for."""

from dataclasses import dataclass
from urllib.parse import quote, unquote

from quartet_common.auth.scopes import SERVICE_SCOPE

TENANT_HEADER = "Quartet-Tenant"
ACTOR_HEADER = "Quartet-Actor"
ANY_TENANT = "*"
PLAIN = "!#$&'()*+,/:;=?@[]"
"""What a name in a header has as it is, beside letters and digits."""


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


def in_header(name: str) -> str:
    """A tenant's or an actor's name for a header, which holds ASCII only: all else as %XX of its UTF-8."""
    return quote(name, safe=PLAIN)


def from_header(value: str) -> str:
    """The name that `in_header` has written. What is no UTF-8, or cannot be stored, becomes U+FFFD."""
    return unquote(value).replace("\0", "\ufffd")
