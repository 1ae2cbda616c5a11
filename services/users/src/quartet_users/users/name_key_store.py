"""SQL of userName keys that are not in the prepared form yet, of all tenants: connection first; never commits."""

from collections.abc import Callable, Collection
from typing import Any
from uuid import UUID

from quartet_common.data.connections import Connection

NOT_ASCII = """
SELECT tenant_id, id, user_name_key, resource ->> 'userName' AS user_name FROM users
WHERE octet_length(resource ->> 'userName') <> char_length(resource ->> 'userName')
"""
ADD = "INSERT INTO unprepared_names SELECT * FROM unnest($1::text[], $2::uuid[]) ON CONFLICT DO NOTHING"
USERS = """
SELECT u.tenant_id, u.id, u.user_name_key, u.resource ->> 'userName' AS user_name
FROM unprepared_names n JOIN users u ON u.tenant_id = n.tenant_id AND u.id = n.user_id
ORDER BY u.created_at, u.id
"""
HOLDERS = """
SELECT u.tenant_id, u.user_name_key, u.id FROM unnest($1::text[], $2::text[]) AS k (tenant_id, user_name_key)
JOIN users u USING (tenant_id, user_name_key)
"""
REPLACE = """
UPDATE users u SET user_name_key = n.user_name_key
FROM unnest($1::text[], $2::uuid[], $3::text[]) AS n (tenant_id, id, user_name_key)
WHERE u.tenant_id = n.tenant_id AND u.id = n.id
"""
KEEP = """
DELETE FROM unprepared_names WHERE NOT EXISTS (
    SELECT FROM unnest($1::text[], $2::uuid[]) AS kept (tenant_id, id)
    WHERE kept.tenant_id = unprepared_names.tenant_id AND kept.id = unprepared_names.user_id)
"""

UserKey = tuple[str, UUID]
"""A tenant and the id of a user."""
NameKey = tuple[str, str]
"""A tenant and the key of a name."""


async def add_unprepared(connection: Connection, prepare: Callable[[str], str]) -> None:
    """Add users to `unprepared_names` that an api of the previous release has stored after the migration."""
    rows = connection.cursor(NOT_ASCII, prefetch=500)
    found = [(row["tenant_id"], row["id"]) async for row in rows if row["user_name_key"] != prepare(row["user_name"])]
    await connection.execute(ADD, *_columns(found, 2))


async def lock_unprepared(connection: Connection) -> dict[UserKey, str]:
    """The names of users in `unprepared_names`; if there are any, locks `users` against writes."""
    if not await connection.fetchval("SELECT EXISTS (SELECT FROM unprepared_names)"):
        return {}
    await connection.execute("LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE")
    return {(row["tenant_id"], row["id"]): row["user_name"] for row in await connection.fetch(USERS)}


async def holders_of(connection: Connection, keys: Collection[NameKey]) -> dict[NameKey, UUID]:
    """The users of those keys that are taken."""
    rows = await connection.fetch(HOLDERS, *_columns(keys, 2))
    return {(row["tenant_id"], row["user_name_key"]): row["id"] for row in rows}


async def replace_keys(
    connection: Connection, keys: Collection[tuple[str, UUID, str]], kept: Collection[UserKey]
) -> None:
    """Store the new keys of users, and delete all rows of `unprepared_names` except those of `kept`."""
    await connection.execute(REPLACE, *_columns(keys, 3))
    await connection.execute(KEEP, *_columns(kept, 2))


def _columns(rows: Collection[tuple[Any, ...]], width: int) -> list[list[Any]]:
    """The columns of rows, for `unnest`."""
    return [[row[index] for row in rows] for index in range(width)]
