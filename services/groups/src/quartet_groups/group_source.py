"""SQL of lists and searches of groups: connection first, then the tenant; never commits."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

import asyncpg

from quartet_common.data.connections import Connection
from quartet_common.runtime.container import AppContainer
from quartet_groups.config import GroupsConfig
from quartet_groups.group_store import NO_MEMBERS, SEARCHED, StoredGroup
from quartet_groups.group_view import GroupView
from quartet_scim.errors import too_many
from quartet_scim.filters import Sql
from quartet_scim.listing import PAGE_BYTES, PageSql, Place, cut_query, unreadable_value
from quartet_scim.projection import Projection

PLACE = Place("groups g", SEARCHED, tenant="g.tenant_id", id="g.id", resource="g.resource")

TEXTS = "g.id, g.version, g.created_at, g.modified_at, g.resource::text"
"""What is read of a group that is listed; the document as text, whose size can be measured."""
KEPT = "id, version, created_at, modified_at, sort_key"
"""What is read of each group of a page, also of those that are cut off."""

MAX_LISTED = 1000
"""Members up to which a list shows those of a group unasked: a page must not cost what its groups hold."""

TOO_MANY_MEMBERS = (
    "The groups of this page have too many members. Request fewer groups (count), or use excludedAttributes=members."
)


class GroupSource:
    """The groups of one tenant, as searches read them."""

    place = PLACE

    def __init__(self, container: AppContainer[GroupsConfig], view: GroupView, tenant: str) -> None:
        self._container = container
        self._tenant = tenant
        self.limit = container.config.query_timeout
        self.searches = container.searches
        self.show = view.of_row
        self._view = view

    @asynccontextmanager
    async def open(self) -> AsyncIterator["GroupReader"]:
        """A reader on a connection of its own. Raises UnavailableError (503)."""
        async with self._container.database.connection() as connection:
            yield GroupReader(connection, self._tenant, self._view, self.limit)


class GroupReader:
    """Reads groups from one connection. `limit`: seconds that a page with all members may take."""

    def __init__(self, connection: Connection, tenant: str, view: GroupView, limit: float) -> None:
        self._connection = connection
        self._tenant = tenant
        self._view = view
        self._limit = limit

    async def rows(
        self, page: PageSql, shown: Projection, limit: float | None, max_bytes: int
    ) -> Sequence[StoredGroup]:
        """The groups of a page, with their members if they are few or asked for; `resource` None behind `max_bytes`.

        Raises ScimError 400 invalidCursor, invalidFilter, tooMany for members that are asked for and take too long,
        TimeoutError after `limit` seconds.
        """
        wanted, texts = shown.wants("members"), self._view.members
        if not wanted or shown.kept is None:
            members = texts.column_if_few(MAX_LISTED) if wanted else NO_MEMBERS
            columns = f"{TEXTS}, {members}"
            return await select_groups(self._connection, self._tenant, page, columns, limit, max_bytes)
        columns = f"{TEXTS}, {texts.column(wanted)}"
        try:
            return await select_groups(self._connection, self._tenant, page, columns, self._limit, max_bytes)
        except TimeoutError:
            raise too_many(TOO_MANY_MEMBERS) from None

    async def settled_until(self) -> datetime:
        """Before which time no change of groups is still to come."""
        until: datetime = await self._connection.fetchval("SELECT settled_until($1)", self._tenant)
        return until

    async def total(self) -> int:
        """How many groups there are."""
        return await count_groups(self._connection, self._tenant)

    async def count(self, where: Sql, limit: float | None) -> int:
        """How many groups match. Raises TimeoutError after `limit` seconds."""
        return await count_found(self._connection, self._tenant, where, limit)


def page_query(page: PageSql, columns: str) -> str:
    """The query of a page; its last parameter is how many bytes may stand before a group that is read."""
    selected = f"SELECT {columns}, {page.key} AS sort_key FROM groups g WHERE g.tenant_id = $1 AND {page.rows}"
    return cut_query(selected, KEPT, ("resource", "members"), PLACE.first + len(page.parameters))


async def select_groups(
    connection: Connection,
    tenant: str,
    page: PageSql,
    columns: str,
    limit: float | None = None,
    max_bytes: int = PAGE_BYTES,
) -> list[StoredGroup]:
    """The groups of a page, each with the `columns` that are wanted and its sort value; see `cut_query`."""
    try:
        return await connection.fetch(page_query(page, columns), tenant, *page.parameters, max_bytes, timeout=limit)
    except asyncpg.DataError:
        raise page.refusal() from None


async def count_groups(connection: Connection, tenant: str) -> int:
    """How many groups the tenant has, without counting them."""
    query = "SELECT coalesce(sum(total), 0)::bigint FROM group_totals WHERE tenant_id = $1"
    return int(await connection.fetchval(query, tenant))


async def count_found(connection: Connection, tenant: str, where: Sql, limit: float | None = None) -> int:
    """How many groups match `where` (parameters from $2 on)."""
    query = f"SELECT count(*) FROM groups g WHERE g.tenant_id = $1 AND {where.text}"
    try:
        return int(await connection.fetchval(query, tenant, *where.parameters, timeout=limit))
    except asyncpg.DataError:
        raise unreadable_value() from None
