"""The schedule that marks groups with roles in the groups service, also those granted by older versions."""

import logging
from itertools import groupby

from quartet_common.core.caller import Caller
from quartet_common.core.errors import ServiceError
from quartet_common.runtime.container import AppContainer
from quartet_users.config import UsersConfig
from quartet_users.group_marker_client import GroupMarker
from quartet_users.roles import mark_store

logger = logging.getLogger(__name__)

INTERVAL = 10.0
"""Seconds between two searches for groups without a mark."""
AT_ONCE = 1000
"""Groups of one query."""


async def mark_granted_groups(container: AppContainer[UsersConfig], groups: GroupMarker) -> None:
    """Mark all groups with roles, except those of tenants for which it fails; the next run retries them.

    Raises UnavailableError (503) if the database does not answer.
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
                await groups.mark(Caller.service(tenant, container.config.client_id), ids)
            except ServiceError as error:
                logger.warning("groups with roles could not be marked", extra={"tenant": tenant, "error": str(error)})
                failed.add(tenant)
                continue
            async with container.database.transaction() as connection:
                await mark_store.note_marked(connection, tenant, ids, container.clock())
