"""Reads the users of a tenant for lists and searches."""

from collections.abc import Sequence

from quartet_common.data.connections import Connection
from quartet_common.runtime.container import AppContainer
from quartet_scim.page_sql import PageSql, Place
from quartet_scim.projection import Projection
from quartet_scim_http.list_store import select_page
from quartet_scim_http.searching import Source
from quartet_users.config import UsersConfig
from quartet_users.users.user_store import SEARCHED, StoredUser, columns
from quartet_users.users.user_view import UserView


class UserSource(Source):
    """Reads pages of users."""

    place = Place("users", SEARCHED, totals="user_totals", text="groups")

    def __init__(self, container: AppContainer[UsersConfig], view: UserView, tenant: str) -> None:
        super().__init__(container, tenant)
        self._view = view

    async def rows(
        self, connection: Connection, page: PageSql, shown: Projection, limit: float | None, max_bytes: int
    ) -> Sequence[StoredUser]:
        """The users of a page, with their groups if `shown` has them."""
        wanted = columns(self._view.groups_url(shown))
        return await select_page(connection, self.tenant, self.place, page, wanted, limit, max_bytes)

    def show(self, row: StoredUser) -> bytes:
        """The rendered user with all attributes."""
        return self._view.of_row(row)
