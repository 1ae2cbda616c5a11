"""Use cases of SCIM tokens: create and revoke long-lived bearer tokens of identity providers."""

from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from quartet_common.auth.opaque_tokens import SCIM_TOKEN, digest, make
from quartet_common.auth.revocations import revocation
from quartet_common.core.caller import Caller
from quartet_common.core.errors import NotFoundError, ServiceError
from quartet_common.core.identifiers import new_id
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.unit_of_work import UnitOfWork, unit_of_work
from quartet_users.config import UsersConfig
from quartet_users.scim_tokens import scim_token_events
from quartet_users.scim_tokens import scim_token_store as store
from quartet_users.scim_tokens.scim_token_domain import SCOPES, NewScimToken, ScimToken
from quartet_users.tokens.token_revocation import revoke

Container = AppContainer[UsersConfig]

MAX_VALID = 100
"""Valid tokens of a tenant: a limit against mistakes."""
KEPT = timedelta(days=90)
"""How long a revoked or expired token is listed."""
HINT_LENGTH = 4


@dataclass(frozen=True)
class CreatedScimToken:
    """A new token, and `secret`, the bearer token, which is shown once."""

    token: ScimToken
    secret: str = field(repr=False)


async def add_scim_token(work: UnitOfWork, wanted: NewScimToken) -> CreatedScimToken:
    """Create a token; the caller's own scopes are checked before.

    Raises ValueError for scopes that no SCIM token can have, ServiceError 409 if the tenant has too many tokens.
    """
    if not wanted.scopes or not wanted.scopes <= SCOPES:
        raise ValueError(f"a SCIM token has some of the scopes {', '.join(sorted(SCOPES))}")
    now, tenant = work.now(), work.tenant
    await store.delete_ended(work.connection, tenant, now - KEPT)
    if await store.count_valid(work.connection, tenant, now) >= MAX_VALID:
        raise ServiceError(
            409, "too_many_scim_tokens", f"A tenant has at most {MAX_VALID} valid SCIM tokens. Revoke one first."
        )
    secret = make(SCIM_TOKEN, tenant)
    made = ScimToken(
        tenant=tenant,
        id=new_id(),
        name=wanted.name,
        scopes=wanted.scopes,
        client_id=wanted.client_id,
        hint=f"{SCIM_TOKEN}{tenant}_...{secret[-HINT_LENGTH:]}",
        created_at=now,
        created_by=work.caller.actor,
        expires_at=wanted.expires_at,
    )
    await store.insert_scim_token(work.connection, tenant, made, digest(secret))
    work.publish([scim_token_events.scim_token_created(made)])
    return CreatedScimToken(made, secret)


async def create_scim_token(container: Container, caller: Caller, wanted: NewScimToken) -> CreatedScimToken:
    """Create a token. Raises what `add_scim_token` raises."""
    async with unit_of_work(container, caller) as work:
        return await add_scim_token(work, wanted)


async def revoke_scim_token(container: Container, caller: Caller, token_id: UUID) -> None:
    """Revoke a token; no change if it was revoked before. Raises NotFoundError."""
    now = container.clock()
    async with unit_of_work(container, caller) as work:
        revoked = await store.mark_revoked(work.connection, caller.tenant, token_id, now)
        if revoked is not None:
            work.publish([scim_token_events.scim_token_revoked(revoked)])
            revoke(work, [revocation(caller.tenant, "token", token_id, now)])
        elif await store.read_scim_token(work.connection, caller.tenant, token_id) is None:
            raise NotFoundError
