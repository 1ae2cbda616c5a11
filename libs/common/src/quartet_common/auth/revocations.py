"""Revocations: which tokens are refused before they expire, kept in each service's schema and in each api's memory."""

from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

import msgspec

Kind = Literal["token", "session", "subject", "client", "tenant"]

KEPT = timedelta(hours=2)
"""How long a revocation is kept of which nobody said when its tokens expire: longer than any access token lives,
whatever the clocks say."""
CLOCKS = timedelta(minutes=1)
"""How long a revocation is kept after its last token has expired: by so much clocks may differ, and more."""


class Revocation(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of `tenant` that were issued until `revoked_at` are refused, if `kind` and `id` point at them: by their
    `jti`, `sid`, `sub`, `client_id`, or all of the tenant (`id` is then the tenant). An endless one holds whenever they
    were issued, until a later one of the same kind and id that is not endless takes its place. A `jti` and a `sid` are
    never used again, so their tokens are refused whenever they were issued, whatever the clocks say.

    A tenant is refused endlessly or not at all: one of its kind that is not endless lifts the refusal, so that tokens
    which live for months count again at once when a suspended tenant is resumed.

    `expires_at` is when the last of the tokens expires, after which the revocation is forgotten; None where that is not
    known.
    """

    tenant: str
    kind: Kind
    id: str
    revoked_at: datetime
    endless: bool = False
    expires_at: datetime | None = None


def revocation(
    tenant: str,
    kind: Kind,
    identifier: UUID | str,
    at: datetime,
    *,
    endless: bool = False,
    expires_at: datetime | None = None,
) -> Revocation:
    """A revocation that begins `at`."""
    return Revocation(
        tenant=tenant, kind=kind, id=str(identifier), revoked_at=at, endless=endless, expires_at=expires_at
    )
