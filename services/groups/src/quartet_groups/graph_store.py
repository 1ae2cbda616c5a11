"""SQL of the membership graph: recursive queries over nestings; connection first, then the tenant; never commits."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from quartet_common.data.connections import Connection, fetch_one
from quartet_groups.membership_domain import Graph
from quartet_groups.nesting_domain import MAX_LEVELS, Surroundings

# One index lookup for each reached group, whatever the planner's statistics: OFFSET 0 keeps the inner query as it is.
# UNION drops groups that were reached before, so the recursion ends, and no group is read twice.
PARENTS = "SELECT parent_id FROM nestings WHERE tenant_id = $1 AND child_id = reached.id OFFSET 0"
UPWARD = f"SELECT up.parent_id FROM reached CROSS JOIN LATERAL ({PARENTS}) AS up"

# A single question has a text of its own: for arrays of known length, the planner makes a new plan each time.
ASKED = ("SELECT DISTINCT unnest($2::uuid[]) AS id", "SELECT unnest($3::uuid[])")
ASKED_ONE = ("SELECT $2::uuid AS id", "SELECT $3::uuid")

VERSION = "SELECT coalesce(sum(version), 0)::bigint FROM membership_versions WHERE tenant_id = $1"


async def lock(connection: Connection, tenant: str) -> None:
    """Lock the nestings of the tenant until the transaction ends, so that two transactions cannot close a cycle.

    The order of locks is: known users, graph, groups.
    """
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('quartet.nesting/' || $1, 0))", tenant)


async def read_version(connection: Connection, tenant: str) -> int:
    """The version of the tenant's memberships, which every change of them increases."""
    return int(await connection.fetchval(VERSION, tenant))


async def read_graph(connection: Connection, tenant: str, users: Sequence[UUID], groups: Sequence[UUID]) -> Graph:
    """The part of the graph that decides which of `users` are in which of `groups`, with its version, by one statement.

    Without groups that are neither among `groups` nor members of another one.
    """
    single = len(users) == len(groups) == 1
    asked_users, asked_groups = ASKED_ONE if single else ASKED
    row = await fetch_one(
        connection,
        f"""
        WITH RECURSIVE direct AS MATERIALIZED (
            SELECT asked.id AS user_id, m.group_id FROM ({asked_users}) AS asked
            CROSS JOIN LATERAL (
                SELECT group_id FROM members WHERE tenant_id = $1 AND member_id = asked.id OFFSET 0) AS m
        ),
        reached (id) AS (SELECT group_id FROM direct UNION {UPWARD}),
        edges AS MATERIALIZED (
            SELECT reached.id AS child_id, up.parent_id FROM reached CROSS JOIN LATERAL ({PARENTS}) AS up
        ),
        relevant AS MATERIALIZED (
            SELECT child_id AS id FROM edges UNION SELECT parent_id FROM edges UNION {asked_groups}
        )
        SELECT ({VERSION}) AS version,
            ARRAY(SELECT ROW(user_id, group_id) FROM direct WHERE group_id IN (SELECT id FROM relevant)
                  ORDER BY user_id, group_id) AS direct,
            ARRAY(SELECT ROW(child_id, parent_id) FROM edges ORDER BY child_id, parent_id) AS edges,
            ARRAY(SELECT ROW(relevant.id, named.display_name) FROM relevant CROSS JOIN LATERAL (
                SELECT display_name FROM groups WHERE tenant_id = $1 AND id = relevant.id OFFSET 0) AS named) AS names
        """,
        tenant,
        users[0] if single else users,
        groups[0] if single else groups,
    )
    return Graph(row["version"], row["direct"], row["edges"], dict(row["names"]))


async def read_surroundings(
    connection: Connection, tenant: str, group_id: UUID, children: Sequence[UUID]
) -> Surroundings:
    """The ancestors of a group, and the levels of nesting in `children`, which will be added to it."""
    row = await fetch_one(
        connection,
        f"""
        WITH RECURSIVE reached (id) AS (SELECT $2::uuid UNION {UPWARD}),
        below (id, level) AS (
            SELECT unnest($3::uuid[]), 1
            UNION
            SELECT down.child_id, below.level + 1 FROM below CROSS JOIN LATERAL (
                SELECT child_id FROM nestings WHERE tenant_id = $1 AND parent_id = below.id OFFSET 0) AS down
            WHERE below.level < {MAX_LEVELS}
        )
        SELECT (SELECT max(level) FROM below) AS below,
            ARRAY(SELECT ROW(reached.id, up.parent_id) FROM reached CROSS JOIN LATERAL ({PARENTS}) AS up) AS edges,
            ARRAY(SELECT ROW(g.id, g.display_name) FROM reached JOIN groups g ON g.tenant_id = $1 AND g.id = reached.id)
            AS names
        """,
        tenant,
        group_id,
        children,
    )
    return Surroundings(row["edges"], dict(row["names"]), row["below"])


async def read_groups_of(
    connection: Connection, tenant: str, user_id: UUID, after: UUID, limit: int
) -> tuple[int, list[asyncpg.Record]]:
    """The version, and the groups of a user with ids after `after`, as (id, display, direct), in the order of ids."""
    row = await fetch_one(
        connection,
        f"""
        WITH RECURSIVE direct AS MATERIALIZED (
            SELECT group_id FROM members WHERE tenant_id = $1 AND member_id = $2
        ),
        reached (id) AS (SELECT group_id FROM direct UNION {UPWARD})
        SELECT ({VERSION}) AS version, ARRAY(
            SELECT ROW(g.id, g.display_name, g.id IN (SELECT group_id FROM direct))
            FROM (SELECT id FROM reached WHERE id > $3 ORDER BY id LIMIT $4) AS page
            JOIN groups g ON g.tenant_id = $1 AND g.id = page.id ORDER BY g.id
        ) AS found
        """,
        tenant,
        user_id,
        after,
        limit,
    )
    return row["version"], row["found"]
