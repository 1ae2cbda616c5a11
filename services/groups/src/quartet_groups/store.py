"""SQL of the groups service: connection first, then the tenant; never commits."""

from collections.abc import Sequence
from types import MappingProxyType
from typing import NamedTuple
from uuid import UUID

import asyncpg
import orjson

from quartet_common.database import Connection
from quartet_groups.domain import Group
from quartet_scim.filters import Column, Kind, Rows, Sql
from quartet_scim.filters import Columns as FilterColumns
from quartet_scim.json import dump

COLUMNS = "g.id, g.version, g.created_at, g.modified_at, g.resource"

# Two kinds of rows, each with its index by group and by member.
MEMBERS = """
(SELECT tenant_id, group_id, member_id, 'User' AS type FROM members
 UNION ALL SELECT tenant_id, parent_id, child_id, 'Group' FROM nestings) AS f
WHERE f.tenant_id = g.tenant_id AND f.group_id = g.id"""

SEARCHED: FilterColumns = MappingProxyType(
    {
        "id": Column("g.id", Kind.UUID),
        "displayName": Column("lower(g.display_name)", Kind.FOLDED),
        "externalId": Column("g.external_id"),
        "meta.resourceType": Column("'Group'"),
        "meta.created": Column("g.created_at", Kind.INSTANT),
        "meta.lastModified": Column("g.modified_at", Kind.INSTANT),
        "members": Rows(MEMBERS, {"value": Column("f.member_id", Kind.UUID), "type": Column("f.type")}),
    }
)
"""Where a filter finds what is not in the document."""

StoredGroup = asyncpg.Record
"""A row of COLUMNS and `members`, JSON texts that are handed on without parsing; members is None for none."""


class Unheard(NamedTuple):
    """Ids that nobody has told of; whether the group that is to get them as members is there."""

    group_is_there: bool
    ids: Sequence[UUID]


async def insert_group(connection: Connection, tenant: str, group: Group) -> None:
    """Store a new group."""
    await connection.execute(
        """
        INSERT INTO groups (tenant_id, id, display_name, external_id, version, created_at, modified_at, resource)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        """,
        tenant,
        group.id,
        group.display_name,
        group.external_id,
        group.version,
        group.created,
        group.modified,
        dump(group.attributes),
    )


async def lock_group(connection: Connection, tenant: str, group_id: UUID) -> Group | None:
    """The group, locked until the transaction ends."""
    found = await lock_groups(connection, tenant, [group_id])
    return found[0] if found else None


async def lock_groups(connection: Connection, tenant: str, ids: Sequence[UUID]) -> list[Group]:
    """Those of the groups that exist, locked in the order of their ids, so that two lockers cannot block each other.

    The lock is that of an UPDATE: it lets pass who only needs the group to be there, as the rows of members do.
    """
    rows = await connection.fetch(
        f"SELECT {COLUMNS} FROM groups g WHERE tenant_id = $1 AND id = ANY($2::uuid[]) ORDER BY id FOR NO KEY UPDATE",
        tenant,
        ids,
    )
    return [
        Group(row["id"], orjson.loads(row["resource"]), row["version"], row["created_at"], row["modified_at"])
        for row in rows
    ]


async def update_group(connection: Connection, tenant: str, group: Group) -> None:
    """Store a changed group whose row is locked."""
    await connection.execute(
        """
        UPDATE groups SET display_name = $3, external_id = $4, version = $5, modified_at = $6, resource = $7
        WHERE tenant_id = $1 AND id = $2
        """,
        tenant,
        group.id,
        group.display_name,
        group.external_id,
        group.version,
        group.modified,
        dump(group.attributes),
    )


async def touch_groups(connection: Connection, tenant: str, groups: Sequence[Group]) -> None:
    """Store version and time of groups whose members alone changed."""
    await connection.execute(
        """
        UPDATE groups g SET version = n.version, modified_at = n.modified
        FROM unnest($2::uuid[], $3::bigint[], $4::timestamptz[]) AS n (id, version, modified)
        WHERE g.tenant_id = $1 AND g.id = n.id
        """,
        tenant,
        [group.id for group in groups],
        [group.version for group in groups],
        [group.modified for group in groups],
    )


async def delete_group(connection: Connection, tenant: str, group_id: UUID) -> None:
    """Remove a group and its member rows."""
    await connection.execute("DELETE FROM groups WHERE tenant_id = $1 AND id = $2", tenant, group_id)


async def names_of(connection: Connection, tenant: str, ids: Sequence[UUID]) -> dict[UUID, str]:
    """Those of `ids` that are groups, with their names."""
    rows = await connection.fetch(
        "SELECT id, display_name FROM groups WHERE tenant_id = $1 AND id = ANY($2::uuid[])", tenant, ids
    )
    return {row["id"]: row["display_name"] for row in rows}


async def unheard_ids(connection: Connection, tenant: str, ids: Sequence[UUID], group_id: UUID | None) -> Unheard:
    """Those of `ids` that are neither groups nor users that were heard of; and whether the group is there, if given."""
    row = await connection.fetchrow(
        """
        SELECT $3::uuid IS NULL OR EXISTS (SELECT FROM groups WHERE tenant_id = $1 AND id = $3) AS is_there,
            ARRAY(SELECT id FROM unnest($2::uuid[]) AS id
                WHERE NOT EXISTS (SELECT FROM known_users u WHERE u.tenant_id = $1 AND u.id = id.id)
                  AND NOT EXISTS (SELECT FROM groups g WHERE g.tenant_id = $1 AND g.id = id.id)) AS ids
        """,
        tenant,
        ids,
        group_id,
    )
    if row is None:
        raise AssertionError("a SELECT without FROM always gives a row")
    return Unheard(row["is_there"], row["ids"])


async def known_ids(connection: Connection, tenant: str, ids: Sequence[UUID]) -> set[UUID]:
    """Those of `ids` that were heard of, deleted ones included."""
    rows = await connection.fetch(
        "SELECT id FROM known_users WHERE tenant_id = $1 AND id = ANY($2::uuid[])", tenant, list(ids)
    )
    return {row["id"] for row in rows}


async def lock_known(connection: Connection, tenant: str, ids: Sequence[UUID]) -> set[UUID]:
    """Those of `ids` that are known and not deleted; they cannot be deleted before the transaction ends."""
    rows = await connection.fetch(
        """
        SELECT id FROM known_users WHERE tenant_id = $1 AND id = ANY($2::uuid[]) AND NOT deleted
        ORDER BY id FOR SHARE
        """,
        tenant,
        ids,
    )
    return {row["id"] for row in rows}


async def learn_users(
    connection: Connection,
    tenant: str,
    users: Sequence[tuple[UUID, str, int, bool]],
) -> None:
    """Keep users as (id, display, version, deleted), each id once; what is older than what is known is ignored."""
    ordered = sorted(users)
    await connection.execute(
        """
        INSERT INTO known_users (tenant_id, id, display, version, deleted)
        SELECT $1, * FROM unnest($2::uuid[], $3::text[], $4::bigint[], $5::boolean[])
        ON CONFLICT (tenant_id, id) DO UPDATE
        SET display = excluded.display, version = excluded.version, deleted = excluded.deleted
        WHERE known_users.version < excluded.version
        """,
        tenant,
        [user[0] for user in ordered],
        [user[1] for user in ordered],
        [user[2] for user in ordered],
        [user[3] for user in ordered],
    )


async def read_group(connection: Connection, tenant: str, group_id: UUID, members: str) -> StoredGroup | None:
    """One group as stored; `members` is the SQL of their column (`MemberTexts.column`)."""
    query = f"SELECT {COLUMNS}, {members} FROM groups g WHERE g.tenant_id = $1 AND g.id = $2"
    return await connection.fetchrow(query, tenant, group_id)


async def list_groups(connection: Connection, tenant: str, members: str, offset: int, limit: int) -> list[StoredGroup]:
    """Groups in the order of their creation. Only the index is walked up to `offset`, not the rows."""
    return await connection.fetch(
        f"""
        SELECT {COLUMNS}, {members} FROM groups g
        WHERE g.tenant_id = $1
          AND g.id IN (SELECT id FROM groups WHERE tenant_id = $1 ORDER BY id OFFSET $2 LIMIT $3)
        ORDER BY g.id
        """,
        tenant,
        offset,
        limit,
    )


async def count_groups(connection: Connection, tenant: str) -> int:
    """How many groups the tenant has."""
    return int(await connection.fetchval("SELECT count(*) FROM groups WHERE tenant_id = $1", tenant))


async def count_found(connection: Connection, tenant: str, where: Sql) -> int:
    """How many groups match `where` (parameters from $2 on)."""
    query = f"SELECT count(*) FROM groups g WHERE g.tenant_id = $1 AND {where.text}"
    return int(await connection.fetchval(query, tenant, *where.parameters))


async def find_groups(
    connection: Connection, tenant: str, members: str, where: Sql, offset: int, limit: int
) -> list[StoredGroup]:
    """Groups that match `where` (parameters from $2 on), in the order of their creation."""
    last = len(where.parameters) + 1
    return await connection.fetch(
        f"""
        SELECT {COLUMNS}, {members} FROM groups g WHERE g.tenant_id = $1 AND {where.text}
        ORDER BY g.id OFFSET ${last + 1} LIMIT ${last + 2}
        """,
        tenant,
        *where.parameters,
        offset,
        limit,
    )
