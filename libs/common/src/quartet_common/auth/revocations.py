"""Revocations: tokens that are refused before they expire, in each service's schema and in each api's memory."""

from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

import msgspec

Kind = Literal["token", "session", "subject", "client", "tenant"]

KEPT = timedelta(hours=2)
"""Retention of a revocation without a known end of its tokens: longer than the lifetime of any access token."""
CLOCKS = timedelta(minutes=1)
"""Retention of a revocation after its last token expires: more than clocks may differ."""


class Revocation(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of `tenant` that were issued until `revoked_at` are refused, if `kind` and `id` match their `jti`, `sid`,
    `sub` or `client_id`, or all of the tenant (`id` is then the tenant). An endless one holds for tokens issued at any
    time, until a later one of the same kind and id that is not endless replaces it. A `jti` and a `sid` are never used
    again, so their tokens are refused whenever they were issued.

    A tenant is refused endlessly or not at all: a revocation of its kind that is not endless lifts the refusal, so that
    tokens with a life of months are valid again at once when a suspended tenant is resumed.

    `expires_at` is the end of the last of the tokens, after which the revocation is deleted; None if unknown.
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
