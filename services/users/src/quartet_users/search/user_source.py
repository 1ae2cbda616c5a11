"""SQL of lists and searches of users: connection first, then the tenant; never commits."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

import asyncpg

from quartet_common.data.connections import Connection
from quartet_common.runtime.container import AppContainer
from quartet_scim.filters import Sql
from quartet_scim.listing import PAGE_BYTES, PageSql, Place, cut_query, unreadable_value
from quartet_scim.projection import Projection
from quartet_users.config import UsersConfig
from quartet_users.users.user_columns import KEPT, columns
from quartet_users.users.user_store import SEARCHED, StoredUser
from quartet_users.users.user_view import UserView

PLACE = Place("users", SEARCHED)


class UserSource:
    """The users of one tenant, as searches read them."""

    place = PLACE

    def __init__(self, container: AppContainer[UsersConfig], view: UserView, tenant: str) -> None:
        self._container = container
        self._tenant = tenant
        self.limit = container.config.query_timeout
        self.searches = container.searches
        self.show = view.of_row
        self._view = view

    @asynccontextmanager
    async def open(self) -> AsyncIterator["UserReader"]:
        """A reader on a connection of its own. Raises UnavailableError (503)."""
        async with self._container.database.connection() as connection:
            yield UserReader(connection, self._tenant, self._view)


class UserReader:
    """Reads users from one connection."""

    def __init__(self, connection: Connection, tenant: str, view: UserView) -> None:
        self._connection = connection
        self._tenant = tenant
        self._view = view

    async def rows(self, page: PageSql, shown: Projection, limit: float | None, max_bytes: int) -> Sequence[StoredUser]:
        """The users of a page, `resource` None behind `max_bytes`.

        Raises ScimError 400 invalidCursor, invalidFilter, TimeoutError after `limit` seconds.
        """
        wanted = columns(self._view.groups_url(shown))
        return await select_users(self._connection, self._tenant, page, wanted, limit, max_bytes)

    async def settled_until(self) -> datetime:
        """Before which time no change of users is still to come."""
        until: datetime = await self._connection.fetchval("SELECT settled_until($1)", self._tenant)
        return until

    async def total(self) -> int:
        """How many users there are."""
        return await count_users(self._connection, self._tenant)

    async def count(self, where: Sql, limit: float | None) -> int:
        """How many users match. Raises TimeoutError after `limit` seconds."""
        return await count_found(self._connection, self._tenant, where, limit)


def page_query(page: PageSql, columns: str) -> str:
    """The query of a page; its last parameter is how many bytes may stand before a user that is read."""
    selected = f"SELECT {columns}, {page.key} AS sort_key FROM users WHERE tenant_id = $1 AND {page.rows}"
    return cut_query(selected, KEPT, ("resource", "groups"), PLACE.first + len(page.parameters))


async def select_users(
    connection: Connection,
    tenant: str,
    page: PageSql,
    columns: str,
    limit: float | None = None,
    max_bytes: int = PAGE_BYTES,
) -> list[StoredUser]:
    """The users of a page, each with the `columns` that are wanted and its sort value; see `cut_query`."""
    try:
        return await connection.fetch(page_query(page, columns), tenant, *page.parameters, max_bytes, timeout=limit)
    except asyncpg.DataError:
        raise page.refusal() from None


async def count_users(connection: Connection, tenant: str) -> int:
    """How many users the tenant has, without counting them."""
    query = "SELECT coalesce(sum(total), 0)::bigint FROM user_totals WHERE tenant_id = $1"
    return int(await connection.fetchval(query, tenant))


async def count_found(connection: Connection, tenant: str, where: Sql, limit: float | None = None) -> int:
    """How many users match `where` (parameters from $2 on)."""
    query = f"SELECT count(*) FROM users WHERE tenant_id = $1 AND {where.text}"
    try:
        return int(await connection.fetchval(query, tenant, *where.parameters, timeout=limit))
    except asyncpg.DataError:
        raise unreadable_value() from None
