"""Losses: whoever has lost a scope by a change has their access tokens refused from then on.

`watching` is put around what may take scopes away, in its transaction: it keeps what scopes there are before, compares
with what there are after, and revokes the tokens of those who have fewer. Sessions stay and give what is left.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

from quartet_common.auth.revocations import Revocation, revocation
from quartet_common.container import AppContainer
from quartet_common.database import Connection
from quartet_common.ids import new_id
from quartet_common.messaging.outbox import Caller
from quartet_users.config import UsersConfig
from quartet_users.roles import loss_store, role_store
from quartet_users.tokens.revocations import revoke

AT_ONCE = 1000
"""People whose tokens are revoked by one transaction; those of more are for the worker to tell of."""
EXACTNESS = timedelta(milliseconds=1)
"""What the `iat` of tokens is rounded to."""
INTERVAL = 1.0
"""Seconds between two looks of the worker for what is left to tell."""


@asynccontextmanager
async def watching(
    container: AppContainer[UsersConfig],
    connection: Connection,
    caller: Caller,
    *,
    users: Sequence[UUID] = (),
    groups: Sequence[UUID] = (),
) -> AsyncIterator[list[Revocation]]:
    """What is done inside may take scopes from `users`, and from those in `groups` and in groups below them.

    Gives a list that afterwards holds what was revoked, for `container.revocations.add` after the commit. The caller
    holds `lock_grants`.
    """
    tenant, batch = caller.tenant, new_id()
    revoked: list[Revocation] = []
    await role_store.lock_scopes(connection, tenant)
    await loss_store.note(connection, tenant, batch, users, groups, caller.actor)
    yield revoked
    await loss_store.settle(connection, tenant, batch, container.clock() + EXACTNESS)
    rows = await loss_store.take(connection, tenant, batch, AT_ONCE)
    revoked += [revocation(tenant, "subject", row["user_id"], row["lost_at"]) for row in rows]
    if revoked:
        await revoke(container, connection, caller, revoked)


async def tell_rest(container: AppContainer[UsersConfig]) -> None:
    """Revoke the tokens of those whom a large change has left over, so many in a transaction that none lasts long."""
    number = AT_ONCE
    while number == AT_ONCE:
        async with container.database.transaction() as connection:
            rows = await loss_store.take_any(connection, AT_ONCE)
            found: dict[tuple[str, str], list[Revocation]] = defaultdict(list)
            for row in rows:
                one = revocation(row["tenant_id"], "subject", row["user_id"], row["lost_at"])
                found[row["tenant_id"], row["actor"]].append(one)
            for (tenant, actor), some in sorted(found.items()):
                await revoke(container, connection, Caller(tenant, actor), some)
        number = len(rows)
