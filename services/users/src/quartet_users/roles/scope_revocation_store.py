"""SQL of scope revocation: stores the scopes of users before a change, and finds those who have fewer afterwards.

Connection first, then the tenant; never commits. Statements work on sets: a change may affect all users of a tenant.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from quartet_common.data.connections import Connection
from quartet_users.roles.role_store import SCOPES_OF, lock_grants_shared

HAVE_ROLES = """
    SELECT pg_try_advisory_xact_lock_shared(hashtextextended($3, 0)) AS is_locked,
           EXISTS (SELECT FROM role_grants g WHERE g.tenant_id = $1 AND g.grantee_id = ANY($2::uuid[]))
        OR EXISTS (
            SELECT FROM ancestors a JOIN role_grants g ON g.tenant_id = $1 AND g.grantee_id = a.ancestor_id
            WHERE a.tenant_id = $1 AND a.group_id = ANY($2::uuid[])) AS have_roles"""
BEFORE = SCOPES_OF.format(user="c.user_id")
AFTER = SCOPES_OF.format(user="l.user_id")

HAS_TOKENS = """
    EXISTS (SELECT FROM sessions s WHERE s.tenant_id = $1 AND s.user_id = c.user_id
            AND s.last_used_at > now() - interval '2 hours')"""
"""Whether user `c.user_id` of the tenant $1 may have valid access tokens: none lives longer than an hour or outlives
its session, and the end of a session revokes its tokens.
"""
MEMBERS = """
    SELECT m.user_id FROM memberships m WHERE m.tenant_id = $1 AND m.present AND m.group_id IN (
        SELECT unnest({groups})
        UNION
        SELECT group_id FROM ancestors WHERE tenant_id = $1 AND ancestor_id = ANY({groups}))"""
"""The direct and nested members of `groups`."""
MEMBERS_OF_ALL, MEMBERS_OF_ONE = MEMBERS.format(groups="$6::uuid[]"), MEMBERS.format(groups="ARRAY[one.id]")

STORE = """
    INSERT INTO scope_losses (tenant_id, batch, actor, lost_at, part, users, scopes)
    SELECT $1, $2, $3, $4, row_number() OVER (), array_agg(user_id), scopes
    FROM (SELECT user_id, scopes, (row_number() OVER (PARTITION BY scopes) - 1) / $7 AS slice FROM ({held}) AS held
          WHERE scopes <> '{{}}') AS sliced
    GROUP BY scopes, slice"""
"""Stores users with their scopes before a change, which the query `held` returns, in rows of at most $7 users."""

STORE_BEFORE_ROLE_CHANGE = STORE.format(
    held=f"""
    SELECT c.user_id, $8::text[] AS scopes FROM (SELECT unnest($5::uuid[]) AS user_id UNION {MEMBERS_OF_ALL}) AS c
    WHERE {HAS_TOKENS}"""
)
STORE_BEFORE_LEAVING = STORE.format(
    held=f"""
    WITH above AS MATERIALIZED (
        SELECT one.id, ARRAY(
            SELECT DISTINCT unnest(r.scopes) FROM role_grants g
            JOIN roles r ON r.tenant_id = g.tenant_id AND r.id = g.role_id
            WHERE g.tenant_id = $1 AND g.grantee_id IN (
                SELECT one.id UNION SELECT ancestor_id FROM ancestors WHERE tenant_id = $1 AND group_id = one.id)
            ORDER BY 1) AS scopes
        FROM (SELECT DISTINCT unnest($6::uuid[]) AS id) AS one)
    SELECT c.user_id, {BEFORE} AS scopes FROM (SELECT DISTINCT unnest($5::uuid[]) AS user_id) AS c WHERE {HAS_TOKENS}
    UNION ALL
    SELECT c.user_id, one.scopes FROM above AS one CROSS JOIN LATERAL ({MEMBERS_OF_ONE}) AS c WHERE {HAS_TOKENS}"""
)
COLUMNS = "l.tenant_id, l.actor, l.lost_at, l.users, l.scopes"


@dataclass(frozen=True)
class Batch:
    """The rows of one change: its actor, its time, and the number of users in a row."""

    id: UUID
    actor: str
    lost_at: datetime
    row_size: int

    def parameters(self, users: Sequence[UUID], groups: Sequence[UUID]) -> tuple[object, ...]:
        """The parameters $2 to $7 of STORE."""
        return self.id, self.actor, self.lost_at, list(users), list(groups), self.row_size


async def have_roles(connection: Connection, tenant: str, groups: Sequence[UUID]) -> bool:
    """Whether any of `groups`, or a group above one, has a role. Locks as `lock_grants_shared`, so that stays so.

    One statement, unless another transaction is changing roles: then a second one reads the result of that change.
    """
    row = await connection.fetchrow(HAVE_ROLES, tenant, list(groups), f"grants:{tenant}")
    if row is not None and not row["is_locked"]:
        await lock_grants_shared(connection, tenant)
        row = await connection.fetchrow(HAVE_ROLES, tenant, list(groups), f"grants:{tenant}")
    return row is not None and bool(row["have_roles"])


async def store_before_role_change(
    connection: Connection,
    tenant: str,
    batch: Batch,
    users: Sequence[UUID],
    groups: Sequence[UUID],
    scopes: Collection[str],
) -> None:
    """Store `scopes` for `users` and for the direct and nested members of `groups`, who all have them now."""
    await connection.execute(STORE_BEFORE_ROLE_CHANGE, tenant, *batch.parameters(users, groups), sorted(scopes))


async def store_before_leaving(
    connection: Connection, tenant: str, batch: Batch, users: Sequence[UUID], groups: Sequence[UUID]
) -> None:
    """Store the scopes that may be lost when `users` leave groups, and `groups` leave their parents or are deleted.

    For `users` these are all their scopes. For the direct and nested members of a group these are the scopes of the
    roles of this group and those above it: read once for each group, not for each of its many members.
    """
    await connection.execute(STORE_BEFORE_LEAVING, tenant, *batch.parameters(users, groups))


async def take(connection: Connection, tenant: str, batch: UUID, limit: int) -> list[asyncpg.Record]:
    """Delete and return rows of a batch with `limit` users or more: `tenant_id, actor, lost_at, users, scopes`."""
    return await connection.fetch(
        f"""
        DELETE FROM scope_losses l USING (
            SELECT part, sum(cardinality(users)) OVER (ORDER BY part) AS people
            FROM scope_losses WHERE tenant_id = $1 AND batch = $2) AS first
        WHERE l.tenant_id = $1 AND l.batch = $2 AND l.part = first.part AND first.people - cardinality(l.users) < $3
        RETURNING {COLUMNS}
        """,
        tenant,
        batch,
        limit,
    )


async def take_any(connection: Connection, limit: int) -> list[asyncpg.Record]:
    """As `take`, for rows of any batch and tenant that are not locked by another worker."""
    return await connection.fetch(
        f"""
        DELETE FROM scope_losses l USING (
            SELECT tenant_id, batch, part, sum(cardinality(users)) OVER (ORDER BY tenant_id, batch, part) AS people
            FROM (SELECT * FROM scope_losses ORDER BY tenant_id, batch, part LIMIT $1 FOR UPDATE SKIP LOCKED) AS free
        ) AS first
        WHERE l.tenant_id = first.tenant_id AND l.batch = first.batch AND l.part = first.part
        AND first.people - cardinality(l.users) < $1
        RETURNING {COLUMNS}
        """,
        limit,
    )


async def users_without(
    connection: Connection, tenant: str, users: Sequence[UUID], scopes: Sequence[str]
) -> list[UUID]:
    """Those of `users` who do not have all of `scopes`."""
    rows = await connection.fetch(
        f"SELECT user_id FROM unnest($2::uuid[]) AS l (user_id) WHERE NOT $3::text[] <@ {AFTER}",
        tenant,
        users,
        scopes,
    )
    return [row["user_id"] for row in rows]
