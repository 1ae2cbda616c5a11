"""SQL of groups, memberships and nestings known from events: connection first, then the tenant; never commits.

Each row has the version of the group in its event, and older events change nothing: so events may arrive twice and in
any order.
"""

from collections.abc import Iterable
from uuid import UUID

from quartet_common.data.connections import Connection
from quartet_scim.filters import Column, Kind, Rows
from quartet_users.memberships.membership_domain import Edge, KnownGroup

AT_ONCE = 20_000
"""Rows that one statement deletes, well below the statement timeout."""

SEARCHED = Rows(
    "belongings AS f WHERE f.tenant_id = users.tenant_id AND f.user_id = users.id",
    {"value": Column("f.group_id", Kind.UUID, indexed=True), "display": Column("f.display"), "type": Column("f.type")},
)
"""The SQL of filters on `groups`, in queries over the table `users`."""


def groups_column(groups_url: str | None) -> str:
    """The SQL of a column `groups` for queries over the table `users`: the values of the SCIM attribute as JSON without
    the outer brackets, NULL for none. The database makes the text, so that no group becomes a Python object.

    `groups_url` begins each `$ref`; with None the groups are not read.
    """
    if groups_url is None:
        return "NULL::text AS groups"
    base = groups_url.replace("'", "''")
    return f"""
    (SELECT string_agg(
        format('{{"value":"%s","$ref":%s,"display":%s,"type":"%s"}}',
               b.group_id, to_json('{base}' || b.group_id), to_json(b.display), b.type), ',' ORDER BY b.group_id)
     FROM (SELECT DISTINCT group_id, display, type FROM belongings
           WHERE tenant_id = users.tenant_id AND user_id = users.id) AS b) AS groups"""


async def read_groups(connection: Connection, tenant: str, groups_url: str, user_id: UUID) -> str | None:
    """The groups of one user in the form of `groups_column`."""
    query = f"SELECT {groups_column(groups_url)} FROM users WHERE tenant_id = $1 AND id = $2"
    found: str | None = await connection.fetchval(query, tenant, user_id)
    return found


async def lock_nestings(connection: Connection, tenant: str) -> None:
    """Lock the nestings of the tenant until the transaction ends.

    Without it, two transactions would each derive ancestors without the other's uncommitted edges.
    """
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"nestings:{tenant}")


async def upsert_groups(connection: Connection, tenant: str, groups: Iterable[KnownGroup]) -> None:
    """Store the newest state of each group; a deleted one stays deleted. Locks the rows, also unchanged ones."""
    newest = {group.id: group for group in sorted(groups, key=lambda group: (group.deleted, group.version))}
    await connection.execute(
        """
        INSERT INTO known_groups (tenant_id, id, display, version, deleted)
        SELECT $1, n.* FROM unnest($2::uuid[], $3::text[], $4::bigint[], $5::boolean[]) AS n (id) ORDER BY n.id
        ON CONFLICT (tenant_id, id) DO UPDATE
        SET display = excluded.display, version = excluded.version, deleted = excluded.deleted
        WHERE NOT known_groups.deleted AND (excluded.deleted OR known_groups.version < excluded.version)
        """,
        tenant,
        list(newest),
        [group.display for group in newest.values()],
        [group.version for group in newest.values()],
        [group.deleted for group in newest.values()],
    )


async def set_memberships(connection: Connection, tenant: str, edges: Iterable[Edge]) -> None:
    """Store which users are in which groups; ignores unknown users and deleted groups.

    Needs `upsert_groups` in the same transaction, which locks the groups against deletion.
    """
    await connection.execute(
        """
        INSERT INTO memberships (tenant_id, user_id, group_id, version, present)
        SELECT $1, n.user_id, n.group_id, n.version, n.present
        FROM unnest($2::uuid[], $3::uuid[], $4::bigint[], $5::boolean[]) AS n (user_id, group_id, version, present)
        JOIN users u ON u.tenant_id = $1 AND u.id = n.user_id
        JOIN known_groups k ON k.tenant_id = $1 AND k.id = n.group_id AND NOT k.deleted
        ORDER BY n.user_id, n.group_id FOR KEY SHARE OF u
        ON CONFLICT (tenant_id, user_id, group_id) DO UPDATE
        SET version = excluded.version, present = excluded.present WHERE memberships.version < excluded.version
        """,
        tenant,
        *_columns(edges),
    )


async def set_nestings(connection: Connection, tenant: str, edges: Iterable[Edge]) -> None:
    """Store which groups are in which groups, and derive `ancestors`; ignores deleted groups. Needs `lock_nestings`."""
    rows = await connection.fetch(
        """
        INSERT INTO nestings (tenant_id, child_id, parent_id, version, present)
        SELECT $1, n.* FROM unnest($2::uuid[], $3::uuid[], $4::bigint[], $5::boolean[]) AS n (child, parent)
        WHERE NOT EXISTS (
            SELECT FROM known_groups k WHERE k.tenant_id = $1 AND k.id IN (n.child, n.parent) AND k.deleted)
        ON CONFLICT (tenant_id, child_id, parent_id) DO UPDATE
        SET version = excluded.version, present = excluded.present WHERE nestings.version < excluded.version
        RETURNING child_id
        """,
        tenant,
        *_columns(edges),
    )
    await _derive_ancestors(connection, tenant, {row["child_id"] for row in rows})


async def delete_edges_of_groups(connection: Connection, tenant: str, ids: Iterable[UUID]) -> None:
    """Delete memberships and nestings of deleted groups; the rows in `known_groups` stay. Needs `lock_nestings`."""
    gone = list(ids)
    while await connection.fetchval(
        """
        WITH removed AS (
            DELETE FROM memberships WHERE tenant_id = $1 AND ctid = ANY(ARRAY(
                SELECT ctid FROM memberships WHERE tenant_id = $1 AND group_id = ANY($2::uuid[]) LIMIT $3))
            RETURNING 1)
        SELECT count(*) FROM removed
        """,
        tenant,
        gone,
        AT_ONCE,
    ):
        pass
    rows = await connection.fetch(
        """
        DELETE FROM nestings WHERE tenant_id = $1 AND (child_id = ANY($2::uuid[]) OR parent_id = ANY($2::uuid[]))
        RETURNING child_id
        """,
        tenant,
        gone,
    )
    await _derive_ancestors(connection, tenant, {row["child_id"] for row in rows})


async def _derive_ancestors(connection: Connection, tenant: str, changed: Iterable[UUID]) -> None:
    """Derive `ancestors` from `nestings` for `changed` and all groups below them; writes differences only.

    Events out of order can make a temporary cycle: UNION ends the recursion there, and no group is its own ancestor.
    """
    ids = list(changed)
    if not ids:
        return
    await connection.execute(
        """
        WITH RECURSIVE below AS (
            SELECT id FROM unnest($2::uuid[]) AS id
            UNION
            SELECT n.child_id FROM below b
            JOIN nestings n ON n.tenant_id = $1 AND n.parent_id = b.id AND n.present
        ), above AS (
            SELECT b.id AS group_id, n.parent_id AS ancestor_id FROM below b
            JOIN nestings n ON n.tenant_id = $1 AND n.child_id = b.id AND n.present
            UNION
            SELECT a.group_id, n.parent_id FROM above a
            JOIN nestings n ON n.tenant_id = $1 AND n.child_id = a.ancestor_id AND n.present
        ), removed AS (
            DELETE FROM ancestors o WHERE o.tenant_id = $1 AND o.group_id IN (SELECT id FROM below)
            AND NOT EXISTS (
                SELECT FROM above a WHERE a.group_id = o.group_id AND a.ancestor_id = o.ancestor_id)
        )
        INSERT INTO ancestors (tenant_id, group_id, ancestor_id)
        SELECT $1, group_id, ancestor_id FROM above WHERE group_id <> ancestor_id
        ON CONFLICT DO NOTHING
        """,
        tenant,
        ids,
    )


def _columns(edges: Iterable[Edge]) -> tuple[list[UUID], list[UUID], list[int], list[bool]]:
    """The newest state of each edge, as one list for each column."""
    newest = {(edge.member, edge.group): edge for edge in sorted(edges, key=lambda edge: edge.version)}
    return (
        [edge.member for edge in newest.values()],
        [edge.group for edge in newest.values()],
        [edge.version for edge in newest.values()],
        [edge.present for edge in newest.values()],
    )
