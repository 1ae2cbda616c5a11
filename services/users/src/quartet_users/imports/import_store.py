"""SQL of imports and exports of users: connection first, then the tenant; never commits."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg
import orjson

from quartet_common.data.connections import Connection
from quartet_users.users.user_domain import User

LOCK = """
SELECT id, version, created_at, modified_at, resource, user_name_key, external_id FROM users
WHERE tenant_id = $1 AND {column} = ANY ($2::text[]) ORDER BY user_name_key FOR UPDATE"""
BY_NAME = LOCK.format(column="user_name_key")
BY_EXTERNAL_ID = LOCK.format(column="external_id")
PAGE = """
SELECT id, version, created_at, modified_at, resource::text FROM (
    SELECT page.*, sum(octet_length(resource::text)) OVER (ORDER BY id) - octet_length(resource::text) AS before
    FROM (
        SELECT id, version, created_at, modified_at, resource FROM users WHERE tenant_id = $1 AND id > $2
        ORDER BY id LIMIT $3
    ) AS page
) AS sized WHERE before < $4 ORDER BY id"""


async def lock_by_names(connection: Connection, tenant: str, keys: Sequence[str]) -> dict[str, list[User]]:
    """The users whose names have these keys, by key, locked until the transaction ends."""
    rows = await connection.fetch(BY_NAME, tenant, list(keys))
    return {row["user_name_key"]: [_user(row)] for row in rows}


async def lock_by_external_ids(connection: Connection, tenant: str, ids: Sequence[str]) -> dict[str, list[User]]:
    """The users with these externalIds, by it, locked until the transaction ends; several may have the same one."""
    found: dict[str, list[User]] = {}
    for row in await connection.fetch(BY_EXTERNAL_ID, tenant, list(ids)):
        found.setdefault(row["external_id"], []).append(_user(row))
    return found


async def with_passwords(connection: Connection, tenant: str, ids: Sequence[UUID]) -> set[UUID]:
    """Those of `ids` that have a password."""
    rows = await connection.fetch(
        "SELECT user_id FROM credentials WHERE tenant_id = $1 AND user_id = ANY ($2::uuid[])", tenant, list(ids)
    )
    return {row["user_id"] for row in rows}


async def read_users(
    connection: Connection, tenant: str, after: UUID, limit: int, max_bytes: int
) -> list[asyncpg.Record]:
    """Users with ids after `after`, in order: at most `limit`, and one more than have `max_bytes` together."""
    return await connection.fetch(PAGE, tenant, after, limit, max_bytes)


async def count_users(connection: Connection, tenant: str) -> int:
    """The number of users, from the totals that triggers maintain."""
    found: int = await connection.fetchval(
        "SELECT coalesce(sum(total), 0)::bigint FROM user_totals WHERE tenant_id = $1", tenant
    )
    return found


def _user(row: asyncpg.Record) -> User:
    return User(row["id"], orjson.loads(row["resource"]), row["version"], row["created_at"], row["modified_at"])
