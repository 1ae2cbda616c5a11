"""SQL of the groups service: connection first, then the tenant; never commits."""

from collections.abc import Sequence
from types import MappingProxyType
from uuid import UUID

import asyncpg
import orjson

from quartet_common.database import Connection
from quartet_groups.domain import Group
from quartet_scim.filters import Column, Kind, Rows
from quartet_scim.filters import Columns as FilterColumns
from quartet_scim.json import dump

COLUMNS = "g.id, g.version, g.created_at, g.modified_at, g.resource"

# The members as SCIM shows them, made by the database: one text per group, never a Python object per member. Who has no
# displayName has no `display`.
MEMBERS = """
(SELECT string_agg(
    format('{"value":"%s","$ref":%s,"type":"User"%s}', m.member_id, to_json($2 || m.member_id),
           CASE WHEN u.display <> '' THEN ',"display":' || to_json(u.display) END), ',' ORDER BY m.member_id)
 FROM members m LEFT JOIN known_users u ON u.tenant_id = m.tenant_id AND u.id = m.member_id
 WHERE m.tenant_id = g.tenant_id AND m.group_id = g.id) AS members"""

SEARCHED: FilterColumns = MappingProxyType(
    {
        "id": Column("g.id", Kind.UUID, required=True),
        "displayName": Column('(lower(g.display_name) COLLATE "C")', Kind.FOLDED, required=True),
        "externalId": Column("g.external_id"),
        "meta.resourceType": Column("'Group'", required=True),
        "meta.created": Column("g.created_at", Kind.INSTANT, required=True),
        "meta.lastModified": Column("g.modified_at", Kind.INSTANT, required=True),
        "members": Rows(
            "members AS f WHERE f.tenant_id = g.tenant_id AND f.group_id = g.id",
            {"value": Column("f.member_id", Kind.UUID), "type": Column("'User'")},
        ),
    }
)
"""Where a filter finds what is not in the document."""

StoredGroup = asyncpg.Record
"""A row of COLUMNS and `members`, JSON texts that are handed on without parsing; members is None for none."""


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


async def has_group(connection: Connection, tenant: str, group_id: UUID) -> bool:
    """Whether the group is there."""
    query = "SELECT true FROM groups WHERE tenant_id = $1 AND id = $2"
    return bool(await connection.fetchval(query, tenant, group_id))


async def lock_group(connection: Connection, tenant: str, group_id: UUID) -> Group | None:
    """The group, locked until the transaction ends."""
    found = await lock_groups(connection, tenant, [group_id])
    return found[0] if found else None


async def lock_groups(connection: Connection, tenant: str, ids: Sequence[UUID]) -> list[Group]:
    """Those of the groups that exist, locked in the order of their ids, so that two lockers cannot block each other."""
    rows = await connection.fetch(
        f"SELECT {COLUMNS} FROM groups g WHERE tenant_id = $1 AND id = ANY($2::uuid[]) ORDER BY id FOR UPDATE",
        tenant,
        list(ids),
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


async def add_members(connection: Connection, tenant: str, group_id: UUID, ids: Sequence[UUID]) -> list[UUID]:
    """Make `ids` members and return those that were none before."""
    rows = await connection.fetch(
        """
        INSERT INTO members (tenant_id, group_id, member_id) SELECT $1, $2, id FROM unnest($3::uuid[]) AS id
        ON CONFLICT DO NOTHING RETURNING member_id
        """,
        tenant,
        group_id,
        list(ids),
    )
    return [row["member_id"] for row in rows]


async def remove_members(connection: Connection, tenant: str, group_id: UUID, ids: Sequence[UUID]) -> list[UUID]:
    """Remove `ids` from the members and return those that were some."""
    rows = await connection.fetch(
        """
        DELETE FROM members WHERE tenant_id = $1 AND group_id = $2 AND member_id = ANY($3::uuid[]) RETURNING member_id
        """,
        tenant,
        group_id,
        list(ids),
    )
    return [row["member_id"] for row in rows]


async def keep_members(connection: Connection, tenant: str, group_id: UUID, ids: Sequence[UUID]) -> list[UUID]:
    """Remove all members but `ids` and return those removed."""
    rows = await connection.fetch(
        """
        DELETE FROM members WHERE tenant_id = $1 AND group_id = $2 AND NOT EXISTS (
            SELECT FROM unnest($3::uuid[]) AS kept WHERE kept = member_id)
        RETURNING member_id
        """,
        tenant,
        group_id,
        list(ids),
    )
    return [row["member_id"] for row in rows]


async def member_ids(connection: Connection, tenant: str, group_id: UUID) -> list[UUID]:
    """The members of a group."""
    rows = await connection.fetch(
        "SELECT member_id FROM members WHERE tenant_id = $1 AND group_id = $2 ORDER BY member_id", tenant, group_id
    )
    return [row["member_id"] for row in rows]


async def has_few_members(connection: Connection, tenant: str, group_id: UUID, most: int) -> bool:
    """Whether the group has at most `most` members; costs the same for every group that has more."""
    query = """
    SELECT count(*) <= $3 FROM (SELECT FROM members WHERE tenant_id = $1 AND group_id = $2 LIMIT $3 + 1) AS few
    """
    return bool(await connection.fetchval(query, tenant, group_id, most))


async def groups_of(connection: Connection, tenant: str, ids: Sequence[UUID]) -> list[UUID]:
    """The groups that have any of `ids` as a member."""
    rows = await connection.fetch(
        "SELECT DISTINCT group_id FROM members WHERE tenant_id = $1 AND member_id = ANY($2::uuid[])",
        tenant,
        list(ids),
    )
    return [row["group_id"] for row in rows]


async def remove_everywhere(connection: Connection, tenant: str, ids: Sequence[UUID]) -> list[tuple[UUID, UUID]]:
    """Remove `ids` from all groups and return what was removed as (group, member)."""
    rows = await connection.fetch(
        """
        DELETE FROM members WHERE tenant_id = $1 AND member_id = ANY($2::uuid[]) RETURNING group_id, member_id
        """,
        tenant,
        list(ids),
    )
    return [(row["group_id"], row["member_id"]) for row in rows]


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
        list(ids),
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


async def read_group(
    connection: Connection, tenant: str, users_url: str, group_id: UUID, *, members: bool
) -> StoredGroup | None:
    """One group as stored, with its members if they are wanted; `users_url` begins their `$ref`."""
    query = f"SELECT {COLUMNS}, {_members(members)} FROM groups g WHERE g.tenant_id = $1 AND g.id = $3"
    return await connection.fetchrow(query, tenant, users_url, group_id)


def _members(wanted: bool) -> str:
    """The column of members; where nobody wants them they are not read."""
    return MEMBERS if wanted else "CASE WHEN $2::text IS NULL THEN '' END AS members"
