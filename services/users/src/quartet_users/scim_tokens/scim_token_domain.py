"""SCIM tokens of identity providers, and which scopes they may have."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from quartet_common.auth.principal import Principal
from quartet_common.auth.scopes import PRIVILEGED_WRITE

DEFAULT_SCOPES = frozenset({"users:read", "users:write", "groups:read", "groups:write"})
"""What a SCIM token has where no scopes are named."""

SCOPES = DEFAULT_SCOPES | {PRIVILEGED_WRITE}
"""All that a SCIM token can have."""

LOOK_AGAIN = 60
"""Seconds after which a process that knows a token looks again what it stands for."""


@dataclass(frozen=True)
class NewScimToken:
    """What a token is to be. It has no end where `expires_at` is None. `client_id` is the API client, if any, that may
    revoke the token by RFC 7009; the token speaks for itself all the same.
    """

    name: str
    scopes: frozenset[str] = DEFAULT_SCOPES
    expires_at: datetime | None = None
    client_id: str | None = None


@dataclass(frozen=True)
class ScimToken:
    """What is known of a token of `tenant`, which is not the token itself."""

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
        """Who the token speaks for: itself; what is done with it stands under this name in the audit log."""
        return f"scim-token/{self.id}"

    def has_ended(self, now: datetime) -> bool:
        """Whether the token was revoked, or its time is over."""
        return self.revoked_at is not None or (self.expires_at is not None and self.expires_at <= now)

    def principal(self, now: datetime) -> Principal:
        """Who the token speaks for, as it is found `now`: issued now, since what ended before does not matter any more,
        and to be looked at again in LOOK_AGAIN seconds.
        """
        until = int(now.timestamp()) + LOOK_AGAIN
        if self.expires_at is not None:
            until = min(until, int(self.expires_at.timestamp()))
        return Principal(
            self.tenant, self.subject, self.subject, self.scopes, until, str(self.id), issued_at=now.timestamp()
        )
