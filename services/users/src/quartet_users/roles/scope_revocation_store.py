"""SQL of lost scopes: who could lose some by a change, who has, and whose tokens are still to be revoked.

Connection first, then the tenant; never commits. Everything is done in sets: a change may reach everybody in a tenant.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from quartet_common.data.connections import Connection
from quartet_users.roles.role_store import SCOPES_OF, share_grants

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
BELOW = """
    SELECT m.user_id FROM memberships m WHERE m.tenant_id = $1 AND m.present AND m.group_id IN (
        SELECT unnest({groups})
        UNION
        SELECT group_id FROM ancestors WHERE tenant_id = $1 AND ancestor_id = ANY({groups}))"""
"""Who is in `groups`, or in groups below them."""
BELOW_ALL, BELOW_ONE = BELOW.format(groups="$6::uuid[]"), BELOW.format(groups="ARRAY[one.id]")

NOTE = """
    INSERT INTO scope_losses (tenant_id, batch, actor, lost_at, part, users, scopes)
    SELECT $1, $2, $3, $4, row_number() OVER (), array_agg(user_id), scopes
    FROM (SELECT user_id, scopes, (row_number() OVER (PARTITION BY scopes) - 1) / $7 AS slice FROM ({held}) AS held
          WHERE scopes <> '{{}}') AS sliced
    GROUP BY scopes, slice"""
"""Keeps, by rows of at most $7, the users that `held` gives with scopes that they have before a change."""

NOTE_ROLE = NOTE.format(
    held=f"""
    SELECT c.user_id, $8::text[] AS scopes FROM (SELECT unnest($5::uuid[]) AS user_id UNION {BELOW_ALL}) AS c
    WHERE {HAS_TOKENS}"""
)
NOTE_PLACES = NOTE.format(
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
    SELECT c.user_id, one.scopes FROM above AS one CROSS JOIN LATERAL ({BELOW_ONE}) AS c WHERE {HAS_TOKENS}"""
)
TAKEN = "l.tenant_id, l.actor, l.lost_at, l.users, l.scopes"


@dataclass(frozen=True)
class Batch:
    """Those who may lose a scope by one change: by whom it is made, and when."""

    id: UUID
    actor: str
    lost_at: datetime
    most: int
    """People of one row."""

    def begin(self, users: Sequence[UUID], groups: Sequence[UUID]) -> tuple[object, ...]:
        """The parameters of NOTE behind the tenant."""
        return self.id, self.actor, self.lost_at, list(users), list(groups), self.most


async def are_given_roles(connection: Connection, tenant: str, groups: Sequence[UUID]) -> bool:
    """Whether any of `groups`, or a group above one, is given a role; nobody changes that until the transaction ends.

    One question, unless somebody is just changing it: then the answer is that of afterwards. Holds `share_grants`.
    """
    row = await connection.fetchrow(GIVEN, tenant, list(groups), f"grants:{tenant}")
    if row is not None and not row["is_held"]:
        await share_grants(connection, tenant)
        row = await connection.fetchrow(GIVEN, tenant, list(groups), f"grants:{tenant}")
    return row is not None and bool(row["is_given"])


async def note_role(
    connection: Connection,
    tenant: str,
    batch: Batch,
    users: Sequence[UUID],
    groups: Sequence[UUID],
    scopes: Collection[str],
) -> None:
    """Keep who may lose `scopes`, which all of `users`, and all in `groups` and in groups below them, have now."""
    await connection.execute(NOTE_ROLE, tenant, *batch.begin(users, groups), sorted(scopes))


async def note_places(
    connection: Connection, tenant: str, batch: Batch, users: Sequence[UUID], groups: Sequence[UUID]
) -> None:
    """Keep what may be lost when `users` leave groups, and when `groups` leave those above them or are deleted.

    Of the users that is all that they have. Of those in a group, or in groups below it, it is what this group and those
    above it give: so it is asked for once a group, and not for each of very many users.
    """
    await connection.execute(NOTE_PLACES, tenant, *batch.begin(users, groups))


async def take(connection: Connection, tenant: str, batch: UUID, limit: int) -> list[asyncpg.Record]:
    """Remove and return rows of a batch until they name `limit` people: `tenant_id, actor, lost_at, users, scopes`."""
    return await connection.fetch(
        f"""
        DELETE FROM scope_losses l USING (
            SELECT part, sum(cardinality(users)) OVER (ORDER BY part) AS people
            FROM scope_losses WHERE tenant_id = $1 AND batch = $2) AS first
        WHERE l.tenant_id = $1 AND l.batch = $2 AND l.part = first.part AND first.people - cardinality(l.users) < $3
        RETURNING {TAKEN}
        """,
        tenant,
        batch,
        limit,
    )


async def take_any(connection: Connection, limit: int) -> list[asyncpg.Record]:
    """Remove and return rows that nobody else is taking, of any tenants, as `take` does."""
    return await connection.fetch(
        f"""
        DELETE FROM scope_losses l USING (
            SELECT tenant_id, batch, part, sum(cardinality(users)) OVER (ORDER BY tenant_id, batch, part) AS people
            FROM (SELECT * FROM scope_losses ORDER BY tenant_id, batch, part LIMIT $1 FOR UPDATE SKIP LOCKED) AS free
        ) AS first
        WHERE l.tenant_id = first.tenant_id AND l.batch = first.batch AND l.part = first.part
        AND first.people - cardinality(l.users) < $1
        RETURNING {TAKEN}
        """,
        limit,
    )


async def losers(connection: Connection, tenant: str, users: Sequence[UUID], scopes: Sequence[str]) -> list[UUID]:
    """Those of `users` who do not have all of `scopes`."""
    rows = await connection.fetch(
        f"SELECT user_id FROM unnest($2::uuid[]) AS l (user_id) WHERE NOT $3::text[] <@ {AFTER}",
        tenant,
        users,
        scopes,
    )
    return [row["user_id"] for row in rows]
