"""SQL of schemas of tenants: connection first, then the tenant; never commits."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson

from quartet_common.data.connections import Connection
from quartet_scim.schema import Schema, enterprise_user_schema, user_schema

PUBLISHED = (user_schema().id, enterprise_user_schema().id)
"""The URNs of the schemas that every tenant has."""

# the same expressions as in the index of migration 0005, which is not used otherwise
_SET = "md5((resource -> 'schemas')::text)"
_HAS_OWN = f"(resource -> 'schemas') - '{PUBLISHED[0]}' - '{PUBLISHED[1]}' <> '[]'::jsonb"


async def lock_schemas(connection: Connection, tenant: str) -> int:
    """Lock the tenant's set of schemas until the transaction ends, and return its new version, from 1."""
    version: int = await connection.fetchval(
        """
        INSERT INTO schema_sets (tenant_id, version) VALUES ($1, 1)
        ON CONFLICT (tenant_id) DO UPDATE SET version = schema_sets.version + 1 RETURNING version
        """,
        tenant,
    )
    return version


async def read_version(connection: Connection, tenant: str) -> int:
    """The version of the tenant's set of schemas; 0 if it never changed."""
    return await connection.fetchval("SELECT version FROM schema_sets WHERE tenant_id = $1", tenant) or 0


async def read_schemas(connection: Connection, tenant: str) -> list[Schema]:
    """The tenant's schemas in the order of their registration."""
    rows = await connection.fetch(
        "SELECT document FROM tenant_schemas WHERE tenant_id = $1 ORDER BY created_at, urn_key", tenant
    )
    return [Schema.from_document(orjson.loads(row["document"])) for row in rows]


async def insert_schema(
    connection: Connection, tenant: str, urn: str, document: Mapping[str, Any], now: datetime
) -> None:
    """Store a new schema."""
    await connection.execute(
        "INSERT INTO tenant_schemas (tenant_id, urn_key, document, created_at) VALUES ($1, $2, $3, $4)",
        tenant,
        urn.lower(),
        orjson.dumps(document).decode(),
        now,
    )


async def lock_schema(connection: Connection, tenant: str, urn: str) -> Schema | None:
    """One schema, locked until the transaction ends: no user can get values of it."""
    document = await connection.fetchval(
        "SELECT document FROM tenant_schemas WHERE tenant_id = $1 AND urn_key = $2 FOR UPDATE", tenant, urn.lower()
    )
    return None if document is None else Schema.from_document(orjson.loads(document))


async def lock_schemas_shared(connection: Connection, tenant: str, urns: Sequence[str]) -> bool:
    """Whether all the schemas exist; locks them against deletion until the transaction ends."""
    rows = await connection.fetch(
        "SELECT FROM tenant_schemas WHERE tenant_id = $1 AND urn_key = ANY($2::text[]) ORDER BY urn_key FOR KEY SHARE",
        tenant,
        [urn.lower() for urn in urns],
    )
    return len(rows) == len(urns)


async def has_values(connection: Connection, tenant: str, urn: str) -> bool:
    """Whether a user has values of the schema. Reads one user for each distinct set of schemas, by an index."""
    query = f"""
        WITH RECURSIVE sets AS (
            (SELECT {_SET} AS key, resource -> 'schemas' AS schemas FROM users
             WHERE tenant_id = $1 AND {_HAS_OWN} ORDER BY {_SET} LIMIT 1)
            UNION ALL
            SELECT another.* FROM sets CROSS JOIN LATERAL (
                SELECT {_SET}, resource -> 'schemas' FROM users
                WHERE tenant_id = $1 AND {_HAS_OWN} AND {_SET} > sets.key ORDER BY {_SET} LIMIT 1) AS another)
        SELECT EXISTS (SELECT FROM sets WHERE schemas @> $2::jsonb)
        """
    return bool(await connection.fetchval(query, tenant, orjson.dumps([urn]).decode()))


async def delete_schema(connection: Connection, tenant: str, urn: str) -> None:
    """Delete a schema."""
    await connection.execute("DELETE FROM tenant_schemas WHERE tenant_id = $1 AND urn_key = $2", tenant, urn.lower())


EXPORTED_SCHEMAS = "SELECT document FROM tenant_schemas WHERE tenant_id = $1 ORDER BY created_at, urn_key"


async def export_schemas(connection: Connection, tenant: str) -> AsyncIterator[bytes]:
    """Each schema of the tenant, without meta."""
    async for row in connection.cursor(EXPORTED_SCHEMAS, tenant):
        yield row["document"].encode()
