"""SQL of users: connection first, then the tenant; never commits."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from quartet_common.data.connections import Connection
from quartet_common.data.row_exports import FETCH_BYTES
from quartet_common.messaging.outbox import NewOutboxRow
from quartet_scim.filters import Column, Kind, Lookup
from quartet_scim.filters import Columns as FilterColumns
from quartet_scim.json import dump
from quartet_scim_http.list_store import export_resources
from quartet_users.memberships import membership_store
from quartet_users.users.user_domain import User

COLUMNS = "id, version, created_at, modified_at, resource"
TEXTS = "id, version, created_at, modified_at, resource::text"
"""The same columns with the document as text, whose size can be measured."""

SEARCHED: FilterColumns = MappingProxyType(
    {
        "id": Column("id", Kind.UUID, required=True, indexed=True, unique=True),
        "userName": Column("user_name_key", Kind.FOLDED, required=True, indexed=True, unique=True),
        "externalId": Column("external_id", indexed=True),
        "meta.resourceType": Column("'User'", required=True),
        "meta.created": Column("created_at", Kind.INSTANT, required=True),
        "meta.lastModified": Column("modified_at", Kind.INSTANT, required=True),
        "emails.value": Lookup(
            "user_emails AS e WHERE e.tenant_id = users.tenant_id AND e.user_id = users.id", "e.address", 320
        ),
        "groups": membership_store.SEARCHED,
    }
)
"""The SQL of attributes that are not in the document, or that a filter finds faster elsewhere."""

StoredUser = asyncpg.Record
"""A row of `columns`: `resource` and `groups` are JSON texts that are sent without parsing."""


def columns(groups_url: str | None) -> str:
    """The columns of users in responses, with their groups unless `groups_url`, which begins their `$ref`, is None."""
    return f"{TEXTS}, {membership_store.groups_column(groups_url)}"


# Times are those of PostgreSQL, taken late and in the transaction (libs/common/migrations/0006_write_times.sql).
INSERT = """
INSERT INTO users (tenant_id, id, user_name_key, external_id, version, resource, created_at, modified_at)
SELECT $1, $2::uuid, $3::text, $4::text, $5::bigint, $6::jsonb, at, at FROM write_time($1::text) AS at
ON CONFLICT (tenant_id, user_name_key) DO NOTHING RETURNING modified_at
"""


async def insert_user(connection: Connection, tenant: str, user: User) -> User | None:
    """Store a new user and return it with its times; None if its userName is taken."""
    at = await connection.fetchval(INSERT, *_new_row(tenant, user))
    return None if at is None else replace(user, created=at, modified=at)


async def insert_user_and_event(connection: Connection, tenant: str, user: User, event: NewOutboxRow) -> User | None:
    """As `insert_user`, with the user's event by the same statement; no event if the userName is taken."""
    at = await connection.fetchval(
        f"""
        WITH made AS ({INSERT}), published AS (
            INSERT INTO outbox (tenant_id, actor_id, aggregate, type, event_id, traceparent, event, urgent)
            SELECT $7::text, $8::text, $9::text, $10::text, $11::uuid, $12::text, $13::bytea, $14::boolean FROM made
        )
        SELECT modified_at FROM made
        """,
        *_new_row(tenant, user),
        *event,
    )
    return None if at is None else replace(user, created=at, modified=at)


def _new_row(tenant: str, user: User) -> tuple[Any, ...]:
    key = user.user_name_key
    return tenant, user.id, key, user.external_id, user.version, dump(user.attributes)


async def insert_users(connection: Connection, tenant: str, users: Sequence[User]) -> set[UUID]:
    """Store new users with different names, and return the ids of those whose userName was free.

    They are inserted in the order of their names, so that two such statements cannot deadlock.
    """
    ordered = sorted(users, key=lambda user: user.user_name_key)
    rows = await connection.fetch(
        """
        INSERT INTO users (tenant_id, id, user_name_key, external_id, version, resource, created_at, modified_at)
        SELECT $1, new.*, at, at
        FROM write_time($1::text) AS at,
             unnest($2::uuid[], $3::text[], $4::text[], $5::bigint[], $6::jsonb[]) AS new
        ON CONFLICT (tenant_id, user_name_key) DO NOTHING RETURNING id
        """,
        tenant,
        [user.id for user in ordered],
        [user.user_name_key for user in ordered],
        [user.external_id for user in ordered],
        [user.version for user in ordered],
        [dump(user.attributes) for user in ordered],
    )
    return {row["id"] for row in rows}


async def lock_user(connection: Connection, tenant: str, user_id: UUID) -> User | None:
    """The user, locked until the transaction ends."""
    row = await connection.fetchrow(
        f"SELECT {COLUMNS} FROM users WHERE tenant_id = $1 AND id = $2 FOR UPDATE", tenant, user_id
    )
    if row is None:
        return None
    attributes = orjson.loads(row["resource"])
    return User(row["id"], attributes, row["version"], row["created_at"], row["modified_at"])


async def update_user(connection: Connection, tenant: str, user: User) -> User | None:
    """Store a changed user whose row is locked, and return it with its time.

    None if its new userName is taken: the transaction has failed then. A user whose name stays keeps its key, which is
    not always the prepared form (see `name_keys`).
    """
    try:
        at = await connection.fetchval(
            """
            UPDATE users
            SET user_name_key = CASE WHEN resource ->> 'userName' = $7 THEN user_name_key ELSE $3 END,
                external_id = $4, version = $5, resource = $6, modified_at = write_time($1)
            WHERE tenant_id = $1 AND id = $2 RETURNING modified_at
            """,
            tenant,
            user.id,
            user.user_name_key,
            user.external_id,
            user.version,
            dump(user.attributes),
            user.user_name,
        )
    except asyncpg.UniqueViolationError:
        return None
    return replace(user, modified=at)


async def delete_users(connection: Connection, tenant: str, ids: Sequence[UUID]) -> None:
    """Delete users and their passwords."""
    await connection.execute("DELETE FROM users WHERE tenant_id = $1 AND id = ANY($2::uuid[])", tenant, list(ids))


async def read_user(
    connection: Connection, tenant: str, user_id: UUID, groups_url: str | None = None
) -> StoredUser | None:
    """One user with the columns of `columns`."""
    query = f"SELECT {columns(groups_url)} FROM users WHERE tenant_id = $1 AND id = $2"
    return await connection.fetchrow(query, tenant, user_id)


KNOWN = """
SELECT id, version, resource ->> 'userName' AS user_name, resource ->> 'displayName' AS display_name, external_id
FROM users WHERE tenant_id = $1"""


async def find_by_ids(connection: Connection, tenant: str, ids: Sequence[UUID]) -> list[asyncpg.Record]:
    """`id, version, user_name, display_name, external_id` of those of `ids` that exist."""
    return await connection.fetch(f"{KNOWN} AND id = ANY($2::uuid[])", tenant, list(ids))


async def find_by_names(
    connection: Connection, tenant: str, keys: Sequence[str], external_ids: Sequence[str]
) -> list[asyncpg.Record]:
    """The same of the users whose names have these keys, or who have these externalIds."""
    rows = await connection.fetch(f"{KNOWN} AND user_name_key = ANY($2::text[])", tenant, list(keys)) if keys else []
    if external_ids:
        rows += await connection.fetch(f"{KNOWN} AND external_id = ANY($2::text[])", tenant, list(external_ids))
    return rows


LARGE_USER = 512 * 1024
"""Bytes: the default of QUARTET_MAX_USER_BYTES."""
EXPORT_PREFETCH = FETCH_BYTES // LARGE_USER
"""Users that one round trip fetches."""


def export_users(connection: Connection, tenant: str) -> AsyncIterator[bytes]:
    """Each user of the tenant: id, version, times and the SCIM document; no passwords."""
    return export_resources(connection, tenant, "users", EXPORT_PREFETCH)
