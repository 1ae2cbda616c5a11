"""The authenticated client of a request to the OAuth endpoints."""

from dataclasses import dataclass
from datetime import datetime

from quartet_common.auth.scopes import SERVICE_SCOPE

FIRST_PARTY = frozenset({"quartet-cli", "quartet-console"})
"""The applications in which users log in: public clients (RFC 6749 section 2.1), since they cannot keep a secret."""


@dataclass(frozen=True)
class AuthenticatedClient:
    """An authenticated client; a public one has only sent its id. `tenants` has `*` for all. Its tokens live until
    `expires_at` at most.

    `at` is a time before its lookup, and the `iat` of its tokens: a later revocation of the client's tokens then covers
    them.
    """

    id: str
    tenants: frozenset[str]
    scopes: frozenset[str]
    at: datetime
    is_public: bool = False
    is_bootstrap: bool = False
    expires_at: datetime | None = None
    name: str | None = None

    @property
    def is_service(self) -> bool:
        """Whether it is a Quartet service."""
        return SERVICE_SCOPE in self.scopes
