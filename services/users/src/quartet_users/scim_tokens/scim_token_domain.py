"""SCIM tokens of identity providers and their scopes; no I/O."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from quartet_common.auth.principal import Principal
from quartet_common.auth.scopes import PRIVILEGED_WRITE
from quartet_common.core.caller import CLIENT, MAX_ACTOR_NAME, cut

DEFAULT_SCOPES = frozenset({"users:read", "users:write", "groups:read", "groups:write"})
"""The scopes of a SCIM token if none are requested."""

SCOPES = DEFAULT_SCOPES | {PRIVILEGED_WRITE}
"""All scopes that a SCIM token can have."""

CACHED_FOR = 60
"""Seconds for which a process may cache the principal of a token."""


@dataclass(frozen=True)
class NewScimToken:
    """A token to create; without expiry if `expires_at` is None. `client_id` is the API client, if any, that may revoke
    the token (RFC 7009); it is not the actor of the token's requests.
    """

    name: str
    scopes: frozenset[str] = DEFAULT_SCOPES
    expires_at: datetime | None = None
    client_id: str | None = None


@dataclass(frozen=True)
class ScimToken:
    """The stored data of a token of `tenant`, without the token itself."""

    tenant: str
    id: UUID
    name: str
    scopes: frozenset[str]
    client_id: str | None
    hint: str
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None

    @property
    def subject(self) -> str:
        """The actor of the token's requests, as in the audit log."""
        return f"scim-token/{self.id}"

    def has_ended(self, now: datetime) -> bool:
        """Whether the token is revoked or expired."""
        return self.revoked_at is not None or (self.expires_at is not None and self.expires_at <= now)

    def principal(self, now: datetime) -> Principal:
        """The principal of the token, valid for CACHED_FOR seconds; issued `now`, since earlier revocations do not
        matter for a token just read.
        """
        until = int(now.timestamp()) + CACHED_FOR
        if self.expires_at is not None:
            until = min(until, int(self.expires_at.timestamp()))
        return Principal(
            self.tenant,
            self.subject,
            self.subject,
            self.scopes,
            until,
            str(self.id),
            issued_at=now.timestamp(),
            actor_name=cut(self.name, MAX_ACTOR_NAME),
            actor_type=CLIENT,
        )
