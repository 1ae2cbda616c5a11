"""Row exports: the rows of a table for `/<service>/data/export`."""

from collections.abc import AsyncIterator, Callable, Collection

import msgspec

from quartet_common.data.connections import Connection

PREFETCH = 500
"""Small rows per round trip to PostgreSQL."""
FETCH_BYTES = 8 * 1024 * 1024
"""Bytes per round trip if rows can be large: all of them are in memory at once."""


def json_rows(query: str, jsonb: Collection[str] = ()) -> Callable[[Connection, str], AsyncIterator[bytes]]:
    """An exporter of the rows of `query`, whose one parameter is the tenant. Each row is a JSON object by column name;
    times are in UTC (RFC 3339). `jsonb` names the columns of that type.

    `query` names its columns, and never hashes, secrets or private keys.
    """

    async def export(connection: Connection, tenant: str) -> AsyncIterator[bytes]:
        async for row in connection.cursor(query, tenant, prefetch=PREFETCH):
            documents = {name: msgspec.Raw((row[name] or "null").encode()) for name in jsonb}
            yield msgspec.json.encode({**row, **documents})

    return export
