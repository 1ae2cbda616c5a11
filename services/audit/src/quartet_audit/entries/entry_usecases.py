"""Use cases: one function per question or command; opens the one transaction."""

import os
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from quartet_audit.config import AuditConfig
from quartet_audit.entries import entry_search_store, entry_store, text_search_store
from quartet_audit.entries.digest_keys import DigestKeys
from quartet_audit.entries.entry_domain import SALTS_BYTES, Position, Search, append
from quartet_audit.retention.retention_domain import missing_entry
from quartet_audit.retention.retention_store import read_pruned
from quartet_audit.trees import tree_store
from quartet_common.config.settings import ServiceConfig
from quartet_common.data.connections import Connection
from quartet_common.messaging.envelope import Event
from quartet_common.runtime.container import AppContainer


async def record_events(connection: Connection, events: Sequence[Event], now: datetime) -> None:
    """Append those `events` that are new to the logs of their tenants, in the order given."""
    await append_events(connection, await take_new(connection, events), now)


async def take_new(connection: Connection, events: Sequence[Event]) -> list[Event]:
    """Lock the logs of `events` until the transaction ends, and return the events that these do not have yet, each
    once, in their order; none of deleted tenants.

    The log is its own inbox: it keeps the ids of its entries for longer.
    """
    frontiers = await tree_store.lock_logs(connection, {event.tenantid for event in events})
    known = await entry_store.find_known(connection, events)
    fresh: dict[tuple[str, int], Event] = {}
    for event in events:
        if event.tenantid in frontiers:
            fresh.setdefault((event.tenantid, event.id.int), event)
    return [event for key, event in fresh.items() if key not in known]


async def append_events(connection: Connection, events: Sequence[Event], now: datetime) -> None:
    """Append `events` to the logs of their tenants, in the order given; they must come from `take_new`."""
    if not events:
        return
    frontiers = await tree_store.read_frontiers(connection, {event.tenantid for event in events})
    sizes = {tenant: frontier.size for tenant, frontier in frontiers.items()}
    entries = append(events, sizes, now, os.urandom(SALTS_BYTES * len(events)))
    await entry_store.add_entries(connection, entries)
    leaves: dict[str, list[bytes]] = {}
    for entry in entries:
        leaves.setdefault(entry.tenant, []).append(entry.leaf)
    await tree_store.append_leaves(connection, frontiers, leaves)


async def find_entries(
    container: AppContainer[AuditConfig], tenant: str, search: Search
) -> tuple[list[bytes], Position | None]:
    """The first page that answers `search`: the JSON of its entries, and where the next page begins.

    A page of large entries ends before its limit.
    """
    async with container.database.snapshot() as connection:
        read_page = text_search_store.read_page if search.has_terms else entry_search_store.read_page
        search = await DigestKeys.of(container).complete(connection, tenant, search)
        page = await read_page(connection, tenant, search)
        entries = await entry_store.read_entries(connection, tenant, page.sequences)
    is_cut = len(entries) < len(page.positions)
    return entries, page.positions[len(entries) - 1] if is_cut else page.next


async def read_entry(container: AppContainer[ServiceConfig], tenant: str, identifier: UUID) -> bytes:
    """The JSON of one entry.

    Raises NotFoundError (404) when the tenant has none with this id, EntryExpiredError (404) when it has expired.
    """
    async with container.database.connection() as connection:
        found = await entry_store.get_entry(connection, tenant, identifier)
        if found is None:
            raise missing_entry(identifier, await read_pruned(connection, tenant))
    return found
