"""The client that marks groups in the groups service; imports no web framework, since the worker uses it."""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from quartet_common.core.caller import Caller
from quartet_common.core.errors import UnavailableError
from quartet_common.runtime.service_client import ServiceClient


class _MarkedGroup(msgspec.Struct, frozen=True, rename="camel"):
    id: UUID
    display_name: str


class _Marked(msgspec.Struct, frozen=True):
    groups: list[_MarkedGroup]


class GroupMarker:
    """Calls the groups service to mark groups; imports no web framework, since the worker uses it."""

    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    async def mark(self, caller: Caller, ids: Sequence[UUID]) -> dict[UUID, str]:
        """Mark groups that may have roles; returns the names of those that exist. Raises UnavailableError (503)."""
        body = {"ids": [str(one) for one in ids]}
        response = await self._client.request("POST", "/groups/privileged", caller, json=body)
        if response.status_code != 200:
            raise UnavailableError("groups")
        return {one.id: one.display_name for one in msgspec.json.decode(response.content, type=_Marked).groups}
