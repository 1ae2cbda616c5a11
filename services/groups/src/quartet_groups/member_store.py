"""SQL of direct members, users and groups: connection first, then the tenant; never commits."""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import orjson

from quartet_common.core.identifiers import NIL_ID
from quartet_common.core.offload import slices
from quartet_common.data.connections import Connection
from quartet_groups.events import NestedGroup
from quartet_groups.group_store import EXPORT_PREFETCH, NO_MEMBERS, each
from quartet_groups.member_domain import Kind, Members

# Members with their names, by one index lookup for each: see `group_store.each`.
NAMED_USERS = """members m LEFT JOIN LATERAL (
            SELECT display FROM known_users WHERE tenant_id = m.tenant_id AND id = m.member_id OFFSET 0) AS u ON true"""
NAMED_GROUPS = """nestings n CROSS JOIN LATERAL (
            SELECT display_name FROM groups WHERE tenant_id = n.tenant_id AND id = n.child_id OFFSET 0) AS c"""


EXPORTED = (
    (Kind.USER, "SELECT group_id, member_id FROM members WHERE tenant_id = $1 ORDER BY group_id, member_id"),
    (Kind.GROUP, "SELECT parent_id, child_id FROM nestings WHERE tenant_id = $1 ORDER BY parent_id, child_id"),
)


@dataclass(frozen=True)
class MemberTexts:
    """The SQL of the JSON texts of members, made by the database, so that no member becomes a Python object.

    user: the expression for a row `m` of members and `u` of known_users. group: for `n` of nestings and `c` of groups.
    """

    user: str
    group: str

    @classmethod
    def at(cls, scim_root: str) -> "MemberTexts":
        """The texts of members whose `$ref` begin with `scim_root`, the absolute SCIM base URL. Users without a
        displayName have no `display`.
        """
        user = _text("m.member_id", f"{scim_root}/Users/", "User", "u.display")
        return cls(user, _text("n.child_id", f"{scim_root}/Groups/", "Group", "c.display_name"))

    def column(self, wanted: bool) -> str:
        """The column `members` of a query of groups `g`, NULL for none; they are read only if `wanted`."""
        return f"{self._all} AS members" if wanted else NO_MEMBERS

    def column_if_few(self, most: int) -> str:
        """The column `members`, NULL for more than `most` members; the cost does not grow with the group."""
        return f"""
CASE WHEN (SELECT count(*) FROM (
    SELECT FROM members WHERE tenant_id = g.tenant_id AND group_id = g.id
    UNION ALL SELECT FROM nestings WHERE tenant_id = g.tenant_id AND parent_id = g.id
    LIMIT {most + 1}) AS few) <= {most} THEN {self._all} END AS members"""

    @property
    def _all(self) -> str:
        return f"""
NULLIF(concat_ws(',',
    (SELECT string_agg(text, ',') FROM (
        SELECT {self.user} AS text
        FROM {NAMED_USERS}
        WHERE m.tenant_id = g.tenant_id AND m.group_id = g.id ORDER BY m.member_id) AS users),
    (SELECT string_agg(text, ',') FROM (
        SELECT {self.group} AS text
        FROM {NAMED_GROUPS}
        WHERE n.tenant_id = g.tenant_id AND n.parent_id = g.id ORDER BY n.child_id) AS nested)), '')"""


def _text(identifier: str, url: str, kind: str, display: str) -> str:
    before, between = '{"value":"', f'","$ref":{orjson.dumps(url).decode()[:-1]}'
    after = f'","type":"{kind}"'
    name = f"CASE WHEN {display} <> '' THEN ',\"display\":' || to_json({display}) ELSE '' END"
    return (
        f"{_quoted(before)} || {identifier} || {_quoted(between)} || {identifier} || {_quoted(after)} || {name} || '}}'"
    )


def _quoted(text: str) -> str:
    """`text` as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


async def add_users(connection: Connection, tenant: str, group_id: UUID, ids: Sequence[UUID]) -> list[UUID]:
    """Add users to a group and return the new members. The group's row must be locked."""
    added: list[UUID] = []
    for some in slices(ids):
        rows = await connection.fetch(
            """
            INSERT INTO members (tenant_id, group_id, member_id) SELECT $1, $2, id FROM unnest($3::uuid[]) AS id
            ON CONFLICT DO NOTHING RETURNING member_id
            """,
            tenant,
            group_id,
            some,
        )
        added += [row["member_id"] for row in rows]
    return added


async def add_groups(
    connection: Connection, tenant: str, group_id: UUID, nested: Sequence[NestedGroup]
) -> list[NestedGroup]:
    """Add groups to a group and return the new members. Needs `graph_store.lock` and the lock of the group's row."""
    rows = await connection.fetch(
        """
        INSERT INTO nestings (tenant_id, parent_id, child_id) SELECT $1, $2, id FROM unnest($3::uuid[]) AS id
        ON CONFLICT DO NOTHING RETURNING child_id
        """,
        tenant,
        group_id,
        [one.id for one in nested],
    )
    fresh = {row["child_id"] for row in rows}
    return [one for one in nested if one.id in fresh]


# One index lookup for each id, whatever the planner's statistics: right after a group was filled, it would read the
# whole group and compare all members with all ids. OFFSET 0 keeps the inner query as it is.
CHOSEN = """
ctid = ANY (ARRAY(SELECT found.place FROM unnest($3::uuid[]) AS asked (id) CROSS JOIN LATERAL (
    SELECT ctid AS place FROM {table} WHERE tenant_id = $1 AND {group} = $2 AND {member} = asked.id OFFSET 0
) AS found))"""

# A subquery is hashed, for the same reason.
UNKEPT = "tenant_id = $1 AND {group} = $2 AND {member} NOT IN (SELECT unnest($3::uuid[]))"


async def remove_members(connection: Connection, tenant: str, group_id: UUID, ids: Sequence[UUID]) -> Members:
    """Remove the users and groups `ids` from a group, and return those removed. The group's row must be locked."""
    parts = [await _remove(connection, CHOSEN, tenant, group_id, some) for some in slices(ids)]
    return Members([one for part in parts for one in part.users], [one for part in parts for one in part.groups])


async def keep_members(connection: Connection, tenant: str, group_id: UUID, ids: Sequence[UUID]) -> Members:
    """Remove all members except `ids`, and return those removed. The group's row must be locked."""
    return await _remove(connection, UNKEPT, tenant, group_id, ids)


async def _remove(connection: Connection, which: str, tenant: str, group_id: UUID, ids: Sequence[UUID]) -> Members:
    users = which.format(table="members", group="group_id", member="member_id")
    nested = which.format(table="nestings", group="parent_id", member="child_id")
    rows = await connection.fetch(
        f"""
        WITH users AS (DELETE FROM members WHERE {users} RETURNING member_id),
        nested AS (DELETE FROM nestings WHERE {nested} RETURNING child_id)
        SELECT member_id AS id, NULL AS display FROM users
        UNION ALL SELECT g.id, g.display_name FROM nested JOIN groups g ON g.tenant_id = $1 AND g.id = child_id
        """,
        tenant,
        group_id,
        ids,
    )
    return _members(rows)


async def members_of(connection: Connection, tenant: str, group_id: UUID) -> Members:
    """All direct members of a group."""
    rows = await connection.fetch(
        """
        (SELECT member_id AS id, NULL AS display FROM members WHERE tenant_id = $1 AND group_id = $2 ORDER BY member_id)
        UNION ALL
        SELECT g.id, g.display_name FROM nestings n JOIN groups g ON g.tenant_id = n.tenant_id AND g.id = n.child_id
        WHERE n.tenant_id = $1 AND n.parent_id = $2
        """,
        tenant,
        group_id,
    )
    return _members(rows)


def _members(rows: Iterable[asyncpg.Record]) -> Members:
    """The members of rows of id and display; `display` is None for users."""
    users, nested = [], []
    for identifier, display in rows:
        if display is None:
            users.append(identifier)
        else:
            nested.append(NestedGroup(identifier, display))
    return Members(users, nested)


async def groups_of(connection: Connection, tenant: str, ids: Sequence[UUID]) -> list[UUID]:
    """The groups with any of the users `ids` as a direct member."""
    query = f"SELECT DISTINCT f.group_id FROM {each('group_id', 'members', key='member_id')}"
    return [row["group_id"] for row in await connection.fetch(query, tenant, ids)]


async def remove_everywhere(connection: Connection, tenant: str, ids: Sequence[UUID]) -> list[tuple[UUID, UUID]]:
    """Remove users from all groups, whose rows must be locked; returns the removed memberships as (group, member)."""
    rows = await connection.fetch(
        f"""
        DELETE FROM members WHERE ctid = ANY (ARRAY(
            SELECT f.place FROM {each("ctid AS place", "members", key="member_id")}
        )) RETURNING group_id, member_id
        """,
        tenant,
        ids,
    )
    return [(row["group_id"], row["member_id"]) for row in rows]


async def parents_of(connection: Connection, tenant: str, group_id: UUID) -> list[UUID]:
    """The groups that have a group as a direct member."""
    rows = await connection.fetch(
        "SELECT parent_id FROM nestings WHERE tenant_id = $1 AND child_id = $2", tenant, group_id
    )
    return [row["parent_id"] for row in rows]


async def leave_parents(connection: Connection, tenant: str, group_id: UUID) -> list[UUID]:
    """Remove a group from all groups that have it as a member, and return those."""
    rows = await connection.fetch(
        "DELETE FROM nestings WHERE tenant_id = $1 AND child_id = $2 RETURNING parent_id", tenant, group_id
    )
    return [row["parent_id"] for row in rows]


async def read_page(
    connection: Connection, tenant: str, texts: MemberTexts, group_id: UUID, after: tuple[int, UUID], limit: int
) -> list[asyncpg.Record]:
    """Members after `after`, as (kind, id, text): users (kind 0) before groups (1), each in the order of their ids.

    Both parts have the limit, so the cost of a page does not depend on its position or the size of the group.
    """
    return await connection.fetch(
        f"""
        (SELECT 0 AS kind, m.member_id AS id, {texts.user} AS text
         FROM {NAMED_USERS}
         WHERE $3 = 0 AND m.tenant_id = $1 AND m.group_id = $2 AND m.member_id > $4
         ORDER BY m.member_id LIMIT $5)
        UNION ALL
        (SELECT 1, n.child_id, {texts.group}
         FROM {NAMED_GROUPS}
         WHERE n.tenant_id = $1 AND n.parent_id = $2 AND n.child_id > $6
         ORDER BY n.child_id LIMIT $5)
        ORDER BY kind, id LIMIT $5
        """,
        tenant,
        group_id,
        after[0],
        after[1],
        limit,
        after[1] if after[0] else NIL_ID,
    )


async def export_members(connection: Connection, tenant: str) -> AsyncIterator[bytes]:
    """Each direct membership: the group, and the id and type of the member."""
    for kind, query in EXPORTED:
        async for group, member in connection.cursor(query, tenant, prefetch=EXPORT_PREFETCH):
            yield f'{{"group":"{group}","value":"{member}","type":"{kind}"}}'.encode()
