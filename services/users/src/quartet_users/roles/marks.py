"""Marks: the worker has the groups service mark every group with a role, also those of older versions' grants."""

import logging
from collections.abc import Sequence
from itertools import groupby
from uuid import UUID

import msgspec

from quartet_common.core.caller import Caller
from quartet_common.core.errors import ServiceError, UnavailableError
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.service_client import ServiceClient
from quartet_users.config import UsersConfig
from quartet_users.roles import mark_store

logger = logging.getLogger(__name__)

INTERVAL = 10.0
"""Seconds between two looks for groups that are not marked."""
AT_ONCE = 1000
"""Groups of one round."""


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
        """Mark groups as ones that may carry roles; returns the names of those that exist.

        Raises UnavailableError (503).
        """
        body = {"ids": [str(one) for one in ids]}
        response = await self._client.request("POST", "/groups/privileged", caller, json=body)
        if response.status_code != 200:
            raise UnavailableError("groups")
        return {one.id: one.display_name for one in msgspec.json.decode(response.content, type=_Marked).groups}


async def mark_granted_groups(container: AppContainer[UsersConfig], groups: GroupMarker) -> None:
    """Have groups marked until none is left but those of tenants for which that failed; the next round tries again.

    Raises UnavailableError (503) where the database does not answer.
    """
    failed: set[str] = set()
    while container.config.groups_url:
        async with container.database.connection() as connection:
            rows = await mark_store.find_unmarked(connection, AT_ONCE, failed)
        if not rows:
            return
        for tenant, some in groupby(rows, key=lambda row: row["tenant_id"]):
            ids = [row["grantee_id"] for row in some]
            try:
                await groups.mark(Caller(tenant, container.config.client_id), ids)
            except ServiceError as error:
                logger.warning("groups with roles could not be marked", extra={"tenant": tenant, "error": str(error)})
                failed.add(tenant)
                continue
            async with container.database.transaction() as connection:
                await mark_store.note_marked(connection, tenant, ids, container.clock())
