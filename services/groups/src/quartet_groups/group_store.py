"""SQL of groups and known users: connection first, then the tenant; never commits."""

from collections.abc import AsyncIterator, Sequence
from types import MappingProxyType
from uuid import UUID

import asyncpg
import orjson

from quartet_common.core.offload import slices
from quartet_common.data.connections import Connection, fetch_one
from quartet_groups.group_domain import Group
from quartet_scim.filters import Column, Kind, Rows
from quartet_scim.filters import Columns as FilterColumns
from quartet_scim.json import dump
from quartet_scim_http.list_store import export_resources

NO_MEMBERS = "NULL::text AS members"
"""The column `members` if they are not read."""

COLUMNS = "g.id, g.version, g.created_at, g.modified_at, g.resource"
TEXTS = f"{COLUMNS}::text"
"""The same columns with the document as text, whose size can be measured."""

# Both tables have an index by group and one by member.
MEMBERS = """
(SELECT tenant_id, group_id, member_id, 'User' AS type FROM members
 UNION ALL SELECT tenant_id, parent_id, child_id, 'Group' FROM nestings) AS f
WHERE f.tenant_id = g.tenant_id AND f.group_id = g.id"""

SEARCHED: FilterColumns = MappingProxyType(
    {
        "id": Column("g.id", Kind.UUID, required=True, indexed=True, unique=True),
        "displayName": Column('(lower(g.display_name) COLLATE "C")', Kind.FOLDED, required=True, indexed=True),
        "externalId": Column("g.external_id", indexed=True),
        "meta.resourceType": Column("'Group'", required=True),
        "meta.created": Column("g.created_at", Kind.INSTANT, required=True),
        "meta.lastModified": Column("g.modified_at", Kind.INSTANT, required=True),
        "members": Rows(MEMBERS, {"value": Column("f.member_id", Kind.UUID, indexed=True), "type": Column("f.type")}),
    }
)
"""The SQL of attributes that are not in the document."""

StoredGroup = asyncpg.Record
"""A row of COLUMNS and `members`: JSON texts that are sent without parsing; `members` is None for none."""
EXPORT_PREFETCH = 500


UPSERT_USERS = """
INSERT INTO known_users (tenant_id, id, display, version, deleted)
SELECT $1, * FROM unnest($2::uuid[], $3::text[], $4::bigint[], $5::boolean[])
ON CONFLICT (tenant_id, id) DO UPDATE
SET display = excluded.display, version = excluded.version, deleted = excluded.deleted
WHERE known_users.version < excluded.version"""


def each(columns: str, table: str, more: str = "", key: str = "id") -> str:
    """SQL of the rows `f` of a table whose `key` is one of $2: one index lookup for each, in the order of $2.

    With `= ANY($2)` the planner, which does not know the number of ids or the size of the tenant, may compare all rows
    of the tenant with all ids: for thousands of ids that takes minutes.
    """
    return f"""unnest($2::uuid[]) AS asked (asked_id) CROSS JOIN LATERAL (
        SELECT {columns} FROM {table} WHERE tenant_id = $1 AND {key} = asked_id {more or "OFFSET 0"}) AS f"""


async def insert_group(connection: Connection, tenant: str, group: Group) -> None:
    """Store a new group. The times of all changes are PostgreSQL's: see `write_time` of libs/common."""
    await connection.execute(
        """
        INSERT INTO groups (tenant_id, id, display_name, external_id, version, resource, created_at, modified_at)
        SELECT $1, $2::uuid, $3::text, $4::text, $5::bigint, $6::jsonb, at, at FROM write_time($1::text) AS at
        """,
        tenant,
        group.id,
        group.display_name,
        group.external_id,
        group.version,
        dump(group.attributes),
    )


async def lock_group(connection: Connection, tenant: str, group_id: UUID) -> Group | None:
    """The group, locked until the transaction ends."""
    found = await lock_groups(connection, tenant, [group_id])
    return found[0] if found else None


async def lock_groups(connection: Connection, tenant: str, ids: Sequence[UUID]) -> list[Group]:
    """The existing groups among `ids`, locked in the order of their ids, which prevents deadlocks.

    The lock is FOR NO KEY UPDATE, which does not block inserts of rows that refer to the group, such as members.
    """
    query = f"SELECT f.* FROM {each(COLUMNS, 'groups g', 'FOR NO KEY UPDATE')}"
    rows = await connection.fetch(query, tenant, sorted(set(ids), key=_number))
    return [
        Group(row["id"], orjson.loads(row["resource"]), row["version"], row["created_at"], row["modified_at"])
        for row in rows
    ]


async def update_group(connection: Connection, tenant: str, group: Group, members: str = NO_MEMBERS) -> StoredGroup:
    """Store a changed group whose row is locked, and return it; `members` is the SQL of their column."""
    return await fetch_one(
        connection,
        f"""
        UPDATE groups g
        SET display_name = $3, external_id = $4, version = $5, resource = $6, modified_at = write_time($1)
        WHERE tenant_id = $1 AND id = $2 RETURNING {COLUMNS}, {members}
        """,
        tenant,
        group.id,
        group.display_name,
        group.external_id,
        group.version,
        dump(group.attributes),
    )


async def touch_groups(connection: Connection, tenant: str, groups: Sequence[Group]) -> None:
    """Store the version and time of groups of which only members changed."""
    await connection.execute(
        """
        UPDATE groups g SET version = n.version, modified_at = at
        FROM write_time($1::text) AS at, unnest($2::uuid[], $3::bigint[]) AS n (id, version)
        WHERE g.tenant_id = $1 AND g.id = n.id
        """,
        tenant,
        [group.id for group in groups],
        [group.version for group in groups],
    )


async def lock_total(connection: Connection, tenant: str) -> None:
    """Lock the row of `group_totals` that deleting a group on this connection changes, until the transaction ends."""
    await connection.execute(
        """
        INSERT INTO group_totals AS t (tenant_id, slot, total) VALUES ($1, pg_backend_pid() % 64, 0)
        ON CONFLICT (tenant_id, slot) DO UPDATE SET total = t.total
        """,
        tenant,
    )


async def delete_group(connection: Connection, tenant: str, group_id: UUID) -> None:
    """Delete a group and its member rows."""
    await connection.execute("DELETE FROM groups WHERE tenant_id = $1 AND id = $2", tenant, group_id)


async def names_of(connection: Connection, tenant: str, ids: Sequence[UUID]) -> dict[UUID, str]:
    """The groups among `ids`, with their names."""
    query = f"SELECT f.id, f.display_name FROM {each('id, display_name', 'groups')}"
    names: dict[UUID, str] = {}
    for some in slices(ids):
        names |= {row["id"]: row["display_name"] for row in await connection.fetch(query, tenant, some)}
    return names


async def known_ids(connection: Connection, tenant: str, ids: Sequence[UUID]) -> set[UUID]:
    """The known users among `ids`, including deleted ones."""
    query = f"SELECT f.id FROM {each('id', 'known_users')}"
    known: set[UUID] = set()
    for some in slices(ids):
        known |= {row["id"] for row in await connection.fetch(query, tenant, some)}
    return known


async def lock_known(connection: Connection, tenant: str, ids: Sequence[UUID]) -> set[UUID]:
    """The known users among `ids` that are not deleted, locked against deletion until the transaction ends."""
    query = f"SELECT f.id FROM {each('id', 'known_users', 'AND NOT deleted FOR SHARE')}"
    known: set[UUID] = set()
    for some in slices(sorted(ids, key=_number)):  # always in this order, which prevents deadlocks
        known |= {row["id"] for row in await connection.fetch(query, tenant, some)}
    return known


async def upsert_users(
    connection: Connection,
    tenant: str,
    users: Sequence[tuple[UUID, str, int, bool]],
) -> None:
    """Store users as (id, display, version, deleted), each id once; ignores versions older than the stored one."""
    for some in slices(sorted(users)):  # in one order, so that two writers cannot block each other
        await connection.execute(UPSERT_USERS, tenant, *map(list, zip(*some, strict=True)))


async def read_group(connection: Connection, tenant: str, group_id: UUID, members: str) -> StoredGroup | None:
    """One stored group; `members` is the SQL of their column (`MemberTexts.column`)."""
    query = f"SELECT {COLUMNS}, {members} FROM groups g WHERE g.tenant_id = $1 AND g.id = $2"
    return await connection.fetchrow(query, tenant, group_id)


def export_groups(connection: Connection, tenant: str) -> AsyncIterator[bytes]:
    """Each group of the tenant: id, version, times and the SCIM document without members."""
    return export_resources(connection, tenant, "groups", EXPORT_PREFETCH)


def _number(identifier: UUID) -> int:
    """A sort key with the order of UUIDs, which compare slowly themselves."""
    return identifier.int
