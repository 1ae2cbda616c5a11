"""Authenticated: the client that a request to the OAuth endpoints turned out to come from."""

from dataclasses import dataclass
from datetime import datetime

from quartet_common.auth.scopes import SERVICE_SCOPE

FIRST_PARTY = frozenset({"quartet-cli", "quartet-console"})
"""The applications in which people log in. They are public clients (RFC 6749 section 2.1): what runs at people's keeps
no secret.
"""


@dataclass(frozen=True)
class AuthenticatedClient:
    """A client that has proved who it is; a public one has only said so. `tenants` holds `*` for all. It ends at
    `expires_at`, and no token of it lives longer.

    `at` is a moment before it was looked up, and the `iat` of what it is given: whatever ends the client's tokens later
    than that is later than the token too.
    """

    id: str
    tenants: frozenset[str]
    scopes: frozenset[str]
    at: datetime
    is_public: bool = False
    is_bootstrap: bool = False
    expires_at: datetime | None = None

    @property
    def is_service(self) -> bool:
        """Whether it is one of our own services."""
        return SERVICE_SCOPE in self.scopes
