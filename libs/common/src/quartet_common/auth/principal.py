"""The principal: the identity in a verified token."""

from dataclasses import dataclass
from urllib.parse import quote, unquote

from quartet_common.auth.scopes import SERVICE_SCOPE
from quartet_common.core.caller import CLIENT, SERVICE, USER

TENANT_HEADER = "Quartet-Tenant"
ACTOR_HEADER = "Quartet-Actor"
ACTOR_NAME_HEADER = "Quartet-Actor-Name"
ACTOR_TYPE_HEADER = "Quartet-Actor-Type"
USER_AGENT_HEADER = "Quartet-User-Agent"
"""The headers by which a service names the caller of its request: tenant, actor, and the user agent of the caller."""
ANY_TENANT = "*"
PLAIN = "!#$&'()*+,/:;=?@[]"
"""Characters of a name that a header carries unchanged, with letters and digits."""


@dataclass(frozen=True)
class Principal:
    """A verified token: tenant (`*` only for services, which name the tenant per call), actor, client and scopes.

    `actor` is the `sub`: a user's id, or the client's id for a token without a person (RFC 9068 section 2.2).
    `expires_at` and `issued_at` are seconds since the epoch; `session` is the login of the token. `actor_name` and
    `actor_type` are those of `Caller`.
    """

    tenant: str
    actor: str
    client_id: str
    scopes: frozenset[str]
    expires_at: int
    token_id: str = ""
    issued_at: float = 0.0
    session: str | None = None
    actor_name: str | None = None
    actor_type: str | None = None

    @property
    def is_person(self) -> bool:
        """Whether the token belongs to a person, not to a client or a service."""
        return self.actor != self.client_id and SERVICE_SCOPE not in self.scopes


def actor_type_of(actor: str, client_id: str, scopes: frozenset[str]) -> str:
    """The type of the actor of a token: a client's token has the client as its `sub` (RFC 9068 section 2.2)."""
    if SERVICE_SCOPE in scopes:
        return SERVICE
    return CLIENT if actor == client_id else USER


def in_header(name: str) -> str:
    """The name of a tenant or actor for a header, which is ASCII: other characters as %XX of their UTF-8."""
    return quote(name, safe=PLAIN)


def from_header(value: str) -> str:
    """The name from a header of `in_header`. Invalid UTF-8 and characters that cannot be stored become U+FFFD."""
    return unquote(value).replace("\0", "\ufffd")
