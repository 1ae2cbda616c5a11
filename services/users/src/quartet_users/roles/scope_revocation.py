"""Losses: whoever has lost a scope by a change has their access tokens refused from then on.

`watching` is put around what may take scopes away, in its transaction: it keeps what scopes there are before, compares
with what there are after, and revokes the tokens of those who have fewer. Sessions stay and give what is left.
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
"""People of whom one transaction looks what they have lost; those beyond are for the worker."""
EXACTNESS = timedelta(milliseconds=1)
"""What the `iat` of tokens is rounded to."""
INTERVAL = 1.0
"""Seconds between two looks of the worker for what is left to revoke."""


@asynccontextmanager
async def watching(
    work: UnitOfWork,
    *,
    users: Sequence[UUID] = (),
    groups: Sequence[UUID] = (),
    scopes: Collection[str] | None = None,
) -> AsyncIterator[None]:
    """What is done inside may take scopes from `users`, and from those in `groups` and in groups below them.

    Which: `scopes`, where all of them have these now; otherwise those of the places that they leave. The caller has
    taken the grants or shares them.
    """
    connection, tenant = work.connection, work.tenant
    await role_store.lock_scopes(connection, tenant)
    # whoever has read scopes before has let go of the lock, and so has taken its token's time before this one
    batch = Batch(new_id(), work.caller.actor, work.now() + EXACTNESS, AT_ONCE)
    if scopes is None:
        await scope_revocation_store.note_places(connection, tenant, batch, users, groups)
    else:
        await scope_revocation_store.note_role(connection, tenant, batch, users, groups, scopes)
    yield
    await _revoke_lost(work, await scope_revocation_store.take(connection, tenant, batch.id, AT_ONCE))


async def revoke_rest(container: AppContainer[UsersConfig]) -> None:
    """See who of those whom a large change has left over has lost a scope and has not got it back, and revoke their
    tokens; so many in a transaction that none lasts long.
    """
    while True:
        async with unit_of_work(container, Caller(SYSTEM_TENANT, container.config.client_id)) as work:
            rows = await scope_revocation_store.take_any(work.connection, AT_ONCE)
            await _revoke_lost(work, rows)
        if not rows:
            return


async def _revoke_lost(work: UnitOfWork, rows: Sequence[asyncpg.Record]) -> None:
    """Revoke the tokens of those in `rows` who have not all scopes any more that they had; each once."""
    found: dict[tuple[str, str], dict[UUID, Revocation]] = defaultdict(dict)
    for row in rows:
        tenant = row["tenant_id"]
        for user in await scope_revocation_store.losers(work.connection, tenant, row["users"], row["scopes"]):
            found[tenant, row["actor"]][user] = revocation(tenant, "subject", user, row["lost_at"])
    for (tenant, actor), some in sorted(found.items()):
        revoke(work.on_behalf_of(Caller(tenant, actor)), list(some.values()))
