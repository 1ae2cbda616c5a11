"""Reads the groups of a tenant for lists and searches."""

from collections.abc import Sequence

from quartet_common.data.connections import Connection
from quartet_common.runtime.container import AppContainer
from quartet_groups.config import GroupsConfig
from quartet_groups.group_store import NO_MEMBERS, SEARCHED, TEXTS, StoredGroup
from quartet_groups.group_view import GroupView
from quartet_scim.errors import too_many
from quartet_scim.page_sql import PageSql, Place
from quartet_scim.projection import Projection
from quartet_scim_http.list_store import select_page
from quartet_scim_http.searching import Source

MAX_LISTED = 1000
"""Members up to which a list shows those of a group by default: the cost of a page must not grow with its groups."""

TOO_MANY_MEMBERS = (
    "The groups of this page have too many members. Request fewer groups (count), or use excludedAttributes=members."
)


class GroupSource(Source):
    """Reads pages of groups."""

    place = Place(
        "groups g",
        SEARCHED,
        totals="group_totals",
        text="members",
        tenant="g.tenant_id",
        id="g.id",
        resource="g.resource",
    )

    def __init__(self, container: AppContainer[GroupsConfig], view: GroupView, tenant: str) -> None:
        super().__init__(container, tenant)
        self._view = view

    async def rows(
        self, connection: Connection, page: PageSql, shown: Projection, limit: float | None, max_bytes: int
    ) -> Sequence[StoredGroup]:
        """The groups of a page, with their members if these are few or requested.

        Raises ScimError 400 tooMany if reading requested members takes too long.
        """
        wanted, texts = shown.wants("members"), self._view.members
        if not wanted or shown.kept is None:
            members = texts.column_if_few(MAX_LISTED) if wanted else NO_MEMBERS
            columns = f"{TEXTS}, {members}"
            return await select_page(connection, self.tenant, self.place, page, columns, limit, max_bytes)
        columns = f"{TEXTS}, {texts.column(wanted)}"
        try:
            return await select_page(connection, self.tenant, self.place, page, columns, self.limit, max_bytes)
        except TimeoutError:
            raise too_many(TOO_MANY_MEMBERS) from None

    def show(self, row: StoredGroup) -> bytes:
        """The rendered group with all attributes."""
        return self._view.of_row(row)
