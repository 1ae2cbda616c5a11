"""SQL of imports and exports of groups: connection first, then the tenant; never commits."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from uuid import UUID

import asyncpg

from quartet_common.core.offload import slices
from quartet_common.data.connections import Connection
from quartet_groups.events import NestedGroup

BY_EXTERNAL_ID = "external_id = asked.text"
BY_NAME = 'lower(display_name) COLLATE "C" = lower(asked.text) COLLATE "C"'
FIND = """
SELECT asked.text, f.id, f.display_name FROM unnest($2::text[]) AS asked (text) CROSS JOIN LATERAL (
    SELECT id, display_name FROM groups WHERE tenant_id = $1 AND {condition} OFFSET 0) AS f"""
FIND_BY_EXTERNAL_ID = FIND.format(condition=BY_EXTERNAL_ID)
FIND_BY_NAME = FIND.format(condition=BY_NAME)


@dataclass
class FoundGroups:
    """Groups by their externalIds, and by their displayNames in lower case; several may share one."""

    by_external_id: dict[str, list[NestedGroup]] = field(default_factory=lambda: defaultdict(list))
    by_name: dict[str, list[NestedGroup]] = field(default_factory=lambda: defaultdict(list))

    def ids(self) -> frozenset[UUID]:
        """The ids of all."""
        found = chain(self.by_external_id.values(), self.by_name.values())
        return frozenset(group.id for groups in found for group in groups)


async def find_groups(
    connection: Connection, tenant: str, external_ids: Sequence[str], names: Sequence[str]
) -> FoundGroups:
    """The groups with any of these externalIds or displayNames; names are in lower case."""
    found = FoundGroups()
    for some in slices(external_ids):
        for text, group_id, name in await connection.fetch(FIND_BY_EXTERNAL_ID, tenant, some):
            found.by_external_id[text].append(NestedGroup(group_id, name))
    for some in slices(names):
        for text, group_id, name in await connection.fetch(FIND_BY_NAME, tenant, some):
            found.by_name[text].append(NestedGroup(group_id, name))
    return found


async def add_members(
    connection: Connection, tenant: str, pairs: Iterable[tuple[UUID, UUID]]
) -> dict[UUID, list[UUID]]:
    """Add users to groups, as (group, user), and return the new members by group. The groups' rows must be locked."""
    added: dict[UUID, list[UUID]] = defaultdict(list)
    for some in slices(sorted(pairs)):
        rows = await connection.fetch(
            """
            INSERT INTO members (tenant_id, group_id, member_id)
            SELECT $1, group_id, member_id FROM unnest($2::uuid[], $3::uuid[]) AS pair (group_id, member_id)
            ON CONFLICT DO NOTHING RETURNING group_id, member_id
            """,
            tenant,
            [group for group, _ in some],
            [user for _, user in some],
        )
        for group, user in rows:
            added[group].append(user)
    return added


async def read_groups(connection: Connection, tenant: str, after: UUID, limit: int) -> list[asyncpg.Record]:
    """Groups with ids after `after`, in order, without members."""
    return await connection.fetch(
        """
        SELECT id, version, created_at, modified_at, resource FROM groups WHERE tenant_id = $1 AND id > $2
        ORDER BY id LIMIT $3
        """,
        tenant,
        after,
        limit,
    )


async def read_users_of(
    connection: Connection, tenant: str, groups: Sequence[UUID], after: UUID, limit: int
) -> list[asyncpg.Record]:
    """Users in groups, as (group_id, member_id) in their order: at most `limit` of each group, behind `after`."""
    return await connection.fetch(
        """
        SELECT asked.id AS group_id, f.member_id FROM unnest($2::uuid[]) AS asked (id) CROSS JOIN LATERAL (
            SELECT member_id FROM members WHERE tenant_id = $1 AND group_id = asked.id AND member_id > $3
            ORDER BY member_id LIMIT $4) AS f
        """,
        tenant,
        groups,
        after,
        limit,
    )


async def read_groups_in(connection: Connection, tenant: str, groups: Sequence[UUID]) -> list[asyncpg.Record]:
    """Groups in groups, as (parent_id, child_id, display_name, external_id)."""
    return await connection.fetch(
        """
        SELECT asked.id AS parent_id, f.child_id, f.display_name, f.external_id
        FROM unnest($2::uuid[]) AS asked (id) CROSS JOIN LATERAL (
            SELECT n.child_id, g.display_name, g.external_id
            FROM nestings n JOIN groups g ON g.tenant_id = n.tenant_id AND g.id = n.child_id
            WHERE n.tenant_id = $1 AND n.parent_id = asked.id ORDER BY n.child_id OFFSET 0) AS f
        """,
        tenant,
        groups,
    )


async def count_groups(connection: Connection, tenant: str) -> int:
    """The number of groups, from the totals that triggers maintain."""
    found: int = await connection.fetchval(
        "SELECT coalesce(sum(total), 0)::bigint FROM group_totals WHERE tenant_id = $1", tenant
    )
    return found
