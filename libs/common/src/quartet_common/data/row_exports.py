"""Exports: the rows of a table as `/<service>/data/export` streams them."""

from collections.abc import AsyncIterator, Callable, Collection

import msgspec

from quartet_common.data.connections import Connection

PREFETCH = 500
"""Rows that one round trip to PostgreSQL fetches, where they are small."""
FETCH_BYTES = 8 * 1024 * 1024
"""Bytes that the rows of one round trip have at most, where a row can be large: all of them are in memory at once."""


def json_rows(query: str, jsonb: Collection[str] = ()) -> Callable[[Connection, str], AsyncIterator[bytes]]:
    """An exporter of the rows of `query`, whose one parameter is the tenant. Each row is a JSON object by column name;
    times are in UTC (RFC 3339). `jsonb` names the columns of that type.

    `query` names its columns: hashes, secrets and private keys are never among them.
    """

    async def export(connection: Connection, tenant: str) -> AsyncIterator[bytes]:
        async for row in connection.cursor(query, tenant, prefetch=PREFETCH):
            documents = {name: msgspec.Raw((row[name] or "null").encode()) for name in jsonb}
            yield msgspec.json.encode({**row, **documents})

    return export
