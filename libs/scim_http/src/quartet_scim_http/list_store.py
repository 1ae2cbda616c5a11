"""SQL of lists, searches and exports of the resources of one type: connection first, then the tenant; never commits."""

from collections.abc import AsyncIterator
from datetime import datetime

import asyncpg

from quartet_common.data.connections import Connection
from quartet_scim.filters import Sql
from quartet_scim.page_sql import PageSql, Place, cut_query, unreadable_value
from quartet_scim.render import timestamp

KEPT = "id, version, created_at, modified_at, sort_key"
"""The columns of each resource of a page, also of those whose text is cut off."""


def page_query(place: Place, page: PageSql, columns: str) -> str:
    """The query of a page; its last parameter is the number of bytes after which texts are cut off (`cut_query`)."""
    selected = f"SELECT {columns}, {page.key} AS sort_key FROM {place.table} WHERE {place.tenant} = $1 AND {page.rows}"
    return cut_query(selected, KEPT, ("resource", place.text), place.first + len(page.parameters))


async def select_page(
    connection: Connection,
    tenant: str,
    place: Place,
    page: PageSql,
    columns: str,
    limit: float | None,
    max_bytes: int,
) -> list[asyncpg.Record]:
    """The resources of a page, each with `columns` and its sort value; texts after `max_bytes` as in `cut_query`.

    Raises ScimError 400 invalidCursor, invalidFilter; TimeoutError after `limit` seconds.
    """
    query = page_query(place, page, columns)
    try:
        return await connection.fetch(query, tenant, *page.parameters, max_bytes, timeout=limit)
    except asyncpg.DataError:
        raise page.refusal() from None


async def count_all(connection: Connection, tenant: str, place: Place) -> int:
    """The number of resources of the tenant, from the totals that triggers maintain."""
    query = f"SELECT coalesce(sum(total), 0)::bigint FROM {place.totals} WHERE tenant_id = $1"
    return int(await connection.fetchval(query, tenant))


async def count_found(connection: Connection, tenant: str, place: Place, where: Sql, limit: float | None) -> int:
    """The number of resources that match `where` (parameters from $2 on). Raises as `select_page` does."""
    query = f"SELECT count(*) FROM {place.table} WHERE {place.tenant} = $1 AND {where.text}"
    try:
        return int(await connection.fetchval(query, tenant, *where.parameters, timeout=limit))
    except asyncpg.DataError:
        raise unreadable_value() from None


async def settled_until(connection: Connection, tenant: str) -> datetime:
    """The time before which no change of the tenant's resources can still be committed."""
    until: datetime = await connection.fetchval("SELECT settled_until($1)", tenant)
    return until


async def export_resources(connection: Connection, tenant: str, table: str, prefetch: int) -> AsyncIterator[bytes]:
    """Each resource of the tenant: id, version, times and the stored document; `prefetch` rows per round trip."""
    query = f"SELECT id, version, created_at, modified_at, resource FROM {table} WHERE tenant_id = $1 ORDER BY id"
    async for row in connection.cursor(query, tenant, prefetch=prefetch):
        yield (
            f'{{"id":"{row["id"]}","version":{row["version"]},"created":"{timestamp(row["created_at"])}",'
            f'"modified":"{timestamp(row["modified_at"])}","resource":{row["resource"]}}}'
        ).encode()
