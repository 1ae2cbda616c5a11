"""Keys of userNames from before names were compared as RFC 7644 section 5 says: `migrate` replaces them."""

import logging
from collections.abc import Collection
from typing import Any
from uuid import UUID

from quartet_common.data.connections import Connection
from quartet_scim.usernames import prepare

logger = logging.getLogger(__name__)

USERS = """
SELECT u.tenant_id, u.id, u.user_name_key, u.resource ->> 'userName' AS user_name
FROM unprepared_names n JOIN users u ON u.tenant_id = n.tenant_id AND u.id = n.user_id
ORDER BY u.created_at, u.id
"""
NOT_ASCII = """
SELECT tenant_id, id, user_name_key, resource ->> 'userName' AS user_name FROM users
WHERE octet_length(resource ->> 'userName') <> char_length(resource ->> 'userName')
"""
ADD = "INSERT INTO unprepared_names SELECT * FROM unnest($1::text[], $2::uuid[]) ON CONFLICT DO NOTHING"
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


async def prepare_all(connection: Connection) -> None:
    """Give each user of `unprepared_names` the prepared form of its name as key, unless another user has that.

    Two users whose names have become equal both stay. The second one keeps its old key, by which it is found by its
    own spelling, and its row, until one of the two is renamed or deleted. Each one is logged as a warning.
    """
    async with connection.transaction():
        await _find_more(connection)
        if not await connection.fetchval("SELECT EXISTS (SELECT FROM unprepared_names)"):
            return
        await connection.execute("LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE")  # nobody takes a key meanwhile
        users = {(row["tenant_id"], row["id"]): row for row in await connection.fetch(USERS)}
        wanted = {user: (user[0], prepare(row["user_name"])) for user, row in users.items()}
        holders = await _holders(connection, set(wanted.values()))
        equal: dict[tuple[str, UUID], UUID] = {}
        for user, key in wanted.items():
            holder = holders.setdefault(key, user[1])
            if holder != user[1]:
                equal[user] = holder
        fresh = [(*user, wanted[user][1]) for user in users if user not in equal]
        await connection.execute(REPLACE, *_columns(fresh, 3))
        await connection.execute(KEEP, *_columns(equal, 2))
    for (tenant, user_id), holder in equal.items():
        logger.warning(
            "two users have equal names: rename or delete one of them, then run migrate again",
            extra={"tenant": tenant, "user": str(user_id), "equal_to": str(holder)},
        )


async def _find_more(connection: Connection) -> None:
    """Add users to `unprepared_names` whom an api of the release before has stored since the migration."""
    rows = connection.cursor(NOT_ASCII, prefetch=500)
    found = [(row["tenant_id"], row["id"]) async for row in rows if row["user_name_key"] != prepare(row["user_name"])]
    await connection.execute(ADD, *_columns(found, 2))


async def _holders(connection: Connection, keys: set[tuple[str, str]]) -> dict[tuple[str, str], UUID]:
    """Who has those of the keys that are taken."""
    rows = await connection.fetch(HOLDERS, *_columns(keys, 2))
    return {(row["tenant_id"], row["user_name_key"]): row["id"] for row in rows}


def _columns(rows: Collection[tuple[Any, ...]], width: int) -> list[list[Any]]:
    """The columns of rows, for `unnest`."""
    return [[row[place] for row in rows] for place in range(width)]
