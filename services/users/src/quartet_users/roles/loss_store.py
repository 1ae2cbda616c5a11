"""SQL of lost scopes: who could lose some by a change, who has, and whose tokens wait to be told of.

Connection first, then the tenant; never commits. Everything is done in sets: a change may reach everybody in a tenant.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from quartet_common.database import Connection
from quartet_users.roles.role_store import SCOPES_OF, lock_grants

GIVEN = """
    SELECT pg_try_advisory_xact_lock_shared(hashtextextended($3, 0)) AS is_held,
           EXISTS (SELECT FROM role_grants g WHERE g.tenant_id = $1 AND g.grantee_id = ANY($2::uuid[]))
        OR EXISTS (
            SELECT FROM ancestors a JOIN role_grants g ON g.tenant_id = $1 AND g.grantee_id = a.ancestor_id
            WHERE a.tenant_id = $1 AND a.group_id = ANY($2::uuid[])) AS is_given"""
BEFORE = SCOPES_OF.format(user="c.user_id")
AFTER = SCOPES_OF.format(user="l.user_id")

HAS_TOKENS = """
    EXISTS (SELECT FROM sessions s WHERE s.tenant_id = $1 AND s.user_id = c.user_id
            AND s.last_used_at > now() - interval '2 hours')"""
"""Whether a user `c.user_id` of the tenant $1 may have access tokens that have not expired: none lives longer than an
hour or outlives its session, and whoever ends a session has its tokens refused.
"""


async def are_given_roles(connection: Connection, tenant: str, groups: Sequence[UUID]) -> bool:
    """Whether any of `groups`, or a group above one, is given a role; nobody changes that until the transaction ends.

    One question, unless somebody is just changing it: then the answer is that of afterwards. Holds `lock_grants`.
    """
    row = await connection.fetchrow(GIVEN, tenant, list(groups), f"grants:{tenant}")
    if row is not None and not row["is_held"]:
        await lock_grants(connection, tenant, shared=True)
        row = await connection.fetchrow(GIVEN, tenant, list(groups), f"grants:{tenant}")
    return row is not None and bool(row["is_given"])


async def note(
    connection: Connection, tenant: str, batch: UUID, users: Sequence[UUID], groups: Sequence[UUID], actor: str
) -> None:
    """Keep the scopes that `users`, and those in `groups` and in groups below them, have before a change."""
    await connection.execute(
        f"""
        INSERT INTO scope_losses (tenant_id, batch, user_id, scopes, actor)
        SELECT $1, $2, user_id, scopes, $5
        FROM (
            SELECT c.user_id, {BEFORE} AS scopes
            FROM (
                SELECT unnest($3::uuid[]) AS user_id
                UNION
                SELECT m.user_id FROM memberships m WHERE m.tenant_id = $1 AND m.present AND m.group_id IN (
                    SELECT unnest($4::uuid[])
                    UNION
                    SELECT group_id FROM ancestors WHERE tenant_id = $1 AND ancestor_id = ANY($4::uuid[]))
            ) AS c
            WHERE {HAS_TOKENS}
        ) AS held
        WHERE scopes <> '{{}}'
        """,
        tenant,
        batch,
        list(users),
        list(groups),
        actor,
    )


async def settle(connection: Connection, tenant: str, batch: UUID, now: datetime) -> None:
    """Forget those of a batch who still have all scopes that they had; the others have lost some at `now`."""
    await connection.execute(
        f"DELETE FROM scope_losses l WHERE l.tenant_id = $1 AND l.batch = $2 AND l.scopes <@ {AFTER}", tenant, batch
    )
    await connection.execute(
        "UPDATE scope_losses SET lost_at = $3 WHERE tenant_id = $1 AND batch = $2", tenant, batch, now
    )


async def take(connection: Connection, tenant: str, batch: UUID, limit: int) -> list[asyncpg.Record]:
    """Remove and return some of a batch: `user_id, lost_at`."""
    return await connection.fetch(
        """
        DELETE FROM scope_losses WHERE tenant_id = $1 AND batch = $2 AND user_id = ANY(ARRAY(
            SELECT user_id FROM scope_losses WHERE tenant_id = $1 AND batch = $2 LIMIT $3))
        RETURNING user_id, lost_at
        """,
        tenant,
        batch,
        limit,
    )


async def take_any(connection: Connection, limit: int) -> list[asyncpg.Record]:
    """Remove and return some that nobody else is taking, of any tenants: `tenant_id, user_id, lost_at, actor`."""
    return await connection.fetch(
        """
        DELETE FROM scope_losses WHERE ctid = ANY(ARRAY(
            SELECT ctid FROM scope_losses LIMIT $1 FOR UPDATE SKIP LOCKED))
        RETURNING tenant_id, user_id, lost_at, actor
        """,
        limit,
    )
