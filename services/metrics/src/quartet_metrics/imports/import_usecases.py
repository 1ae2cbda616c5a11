"""Imports a part of an export in one transaction: all of it, or nothing."""

import msgspec

from quartet_common.core.errors import BadRequestError, NotFoundError
from quartet_common.data.connections import Connection
from quartet_common.runtime.container import AppContainer
from quartet_metrics.active_users import active_user_store
from quartet_metrics.config import MetricsConfig
from quartet_metrics.imports import import_store
from quartet_metrics.imports.import_domain import Import, LineError, check_amounts, read_lines
from quartet_metrics.reconciliation import reconciliation_store


async def import_part(container: AppContainer[MetricsConfig], tenant: str, body: bytes) -> int:
    """Have `tenant` count what the lines of `body` say; returns how many samples and active users have changed.

    Raises BadRequestError (400) with the first wrong line, NotFoundError (404) for a deleted tenant.
    """
    try:
        found = read_lines(body.split(b"\n"))
    except LineError as error:
        raise BadRequestError(f"The body is not a part of an export: {error}", "bad_import") from error
    return await container.database.run(lambda connection: _store(connection, tenant, found))


async def _store(connection: Connection, tenant: str, found: Import) -> int:
    if await import_store.is_deleted(connection, tenant):
        raise NotFoundError(f"The tenant {tenant} is deleted.")
    try:
        return await store_import(connection, tenant, found)
    except ValueError as error:
        raise BadRequestError(f"The body is not a part of an export: {error}", "bad_import") from error


async def store_import(connection: Connection, tenant: str, found: Import) -> int:
    """Store a part of an export; returns how many samples and active users have changed.

    Raises ValueError for a sample that does not fit its series.
    """
    check_amounts(found, await import_store.read_metrics(connection, tenant, found.unknown))
    await active_user_store.lock_tenants(connection, [tenant])
    labels = [msgspec.json.encode(one.labels).decode() for one in found.series.values()]
    changed = await import_store.store(connection, tenant, found, labels)
    if changed:
        await reconciliation_store.interrupt(connection, tenant)
    return changed
