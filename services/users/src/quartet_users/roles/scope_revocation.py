"""Scope revocation: revokes the access tokens of users who lose a scope by a change of roles, grants or groups.

A change that may remove scopes runs inside `revoking_lost_scopes`, in the same transaction: the scopes that users have
before the change are stored, compared with those after it, and the tokens of users with fewer scopes are revoked.
Sessions stay; their next token has the scopes that are left.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

import asyncpg

from quartet_common.auth.revocations import Revocation, revocation
from quartet_common.core.caller import Caller
from quartet_common.core.identifiers import SYSTEM_TENANT, new_id
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.unit_of_work import UnitOfWork, unit_of_work
from quartet_users.config import UsersConfig
from quartet_users.roles import role_store, scope_revocation_store
from quartet_users.roles.scope_revocation_store import Batch
from quartet_users.tokens.token_revocation import revoke

AT_ONCE = 1000
"""Users whose scopes one transaction compares; the worker does the others (`revoke_remaining`)."""
IAT_PRECISION = timedelta(milliseconds=1)
"""The `iat` of access tokens is rounded to it."""
INTERVAL = 1.0
"""Seconds between two runs of `revoke_remaining`."""


@asynccontextmanager
async def revoking_lost_scopes(
    work: UnitOfWork,
    *,
    users: Sequence[UUID] = (),
    groups: Sequence[UUID] = (),
    scopes: Collection[str] | None = None,
) -> AsyncIterator[None]:
    """Revoke the tokens of users who lose a scope by the change made inside this block.

    The change may remove `scopes`, which all of `users` and all direct and nested members of `groups` have now. With
    None, `users` leave groups, and `groups` leave their parents or are deleted: it may remove any scope that they have
    from there. Needs `role_store.lock_grants` or `lock_grants_shared`.
    """
    connection, tenant = work.connection, work.tenant
    await role_store.lock_scopes(connection, tenant)
    # a transaction that read the scopes earlier has released the lock, so its token was issued before this time
    batch = Batch(new_id(), work.caller.actor, work.now() + IAT_PRECISION, AT_ONCE)
    if scopes is None:
        await scope_revocation_store.store_before_leaving(connection, tenant, batch, users, groups)
    else:
        await scope_revocation_store.store_before_role_change(connection, tenant, batch, users, groups, scopes)
    yield
    await _revoke_lost(work, await scope_revocation_store.take(connection, tenant, batch.id, AT_ONCE))


async def revoke_remaining(container: AppContainer[UsersConfig]) -> None:
    """Revoke the tokens of users whom a large change has left to the worker, unless they have their scopes again; in
    batches of AT_ONCE, so that no transaction takes long.
    """
    while True:
        async with unit_of_work(container, Caller.service(SYSTEM_TENANT, container.config.client_id)) as work:
            rows = await scope_revocation_store.take_any(work.connection, AT_ONCE)
            await _revoke_lost(work, rows)
        if not rows:
            return


async def _revoke_lost(work: UnitOfWork, rows: Sequence[asyncpg.Record]) -> None:
    """Revoke the tokens of the users in `rows` who no longer have all their scopes; one revocation for each user."""
    found: dict[tuple[str, str], dict[UUID, Revocation]] = defaultdict(dict)
    for row in rows:
        tenant = row["tenant_id"]
        for user in await scope_revocation_store.users_without(work.connection, tenant, row["users"], row["scopes"]):
            found[tenant, row["actor"]][user] = revocation(tenant, "subject", user, row["lost_at"])
    for (tenant, actor), some in sorted(found.items()):
        is_own = (tenant, actor) == (work.tenant, work.caller.actor)
        revoke(work if is_own else work.on_behalf_of(Caller(tenant, actor)), list(some.values()))
