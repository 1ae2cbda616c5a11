"""The client for groups: searches groups, and marks those that get roles."""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

import msgspec

from quartet_common.core.caller import Caller
from quartet_common.core.errors import UnavailableError
from quartet_scim.errors import ScimError, ScimType
from quartet_scim.query import Query
from quartet_scim_http.searching import Found
from quartet_users.group_marker_client import GroupMarker


class _List(msgspec.Struct, frozen=True, rename="camel"):
    resources: list[msgspec.Raw] = msgspec.field(name="Resources")
    total_results: int | None = None
    next_cursor: str | None = None


class _Error(msgspec.Struct, frozen=True, rename="camel"):
    detail: str
    scim_type: ScimType | None = None


class GroupDirectory(Protocol):
    """Finds and marks groups."""

    async def search(self, caller: Caller, query: Query) -> Found:
        """The page of the tenant's groups for `query`; attributes of users have no values in groups."""

    async def mark(self, caller: Caller, ids: Sequence[UUID]) -> dict[UUID, str]:
        """Mark groups that may have roles; returns the names of those that exist.

        From then on, changes of their members need the scopes of their roles. Raises UnavailableError (503).
        """


class GroupSearchClient(GroupMarker):
    """GroupDirectory by HTTP calls to the groups service."""

    async def search(self, caller: Caller, query: Query) -> Found:
        """The page of groups for `query`. Raises ScimError 400, UnavailableError (503)."""
        response = await self._client.request("POST", "/groups/search", caller, json=query.body())
        if response.status_code == 400:
            wrong = msgspec.json.decode(response.content, type=_Error)
            raise ScimError(400, wrong.detail, wrong.scim_type)
        if response.status_code != 200:
            raise UnavailableError("groups")
        found = msgspec.json.decode(response.content, type=_List)
        return Found([bytes(one) for one in found.resources], found.total_results, found.next_cursor)


class NoGroups:
    """GroupDirectory of an installation without the groups service."""

    async def search(self, caller: Caller, query: Query) -> Found:  # noqa: ARG002
        """No groups."""
        return Found([], 0)

    async def mark(self, caller: Caller, ids: Sequence[UUID]) -> dict[UUID, str]:  # noqa: ARG002
        """No groups."""
        return {}
