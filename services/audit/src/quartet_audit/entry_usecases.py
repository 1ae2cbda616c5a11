"""Use cases: one function per question or command; opens the one transaction."""

from collections.abc import Sequence
from datetime import datetime

from quartet_audit import entry_search_store, entry_store
from quartet_audit.entry_domain import Search, append
from quartet_audit.entry_search_store import Page
from quartet_audit.events import data_exported
from quartet_common.config.settings import ServiceConfig
from quartet_common.core.caller import Caller
from quartet_common.core.errors import NotFoundError
from quartet_common.core.identifiers import parse_id
from quartet_common.data.connections import Connection
from quartet_common.messaging.envelope import Event
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.unit_of_work import unit_of_work


async def record_events(connection: Connection, events: Sequence[Event], now: datetime) -> None:
    """Append `events` to the logs of their tenants, in the order given; those that a log holds already are left out.

    The inbox forgets after a month, the log never does: a dead letter put back after a year is still not doubled.
    """
    sizes = await entry_store.lock_logs(connection, {event.tenantid for event in events})
    known = await entry_store.find_known(connection, events)
    fresh = [event for event in events if (event.tenantid, event.id) not in known]
    if fresh:
        await entry_store.add_entries(connection, append(fresh, sizes, now))


async def find_entries(container: AppContainer[ServiceConfig], tenant: str, search: Search) -> Page:
    """The first page that answers `search`."""
    async with container.database.snapshot() as connection:
        return await entry_search_store.read_page(connection, tenant, search)


async def read_entry(container: AppContainer[ServiceConfig], tenant: str, identifier: str) -> bytes:
    """The JSON of one entry. Raises NotFoundError (404) when the tenant has none with this id."""
    found = None
    if (parsed := parse_id(identifier)) is not None:
        async with container.database.connection() as connection:
            found = await entry_store.get_entry(connection, tenant, parsed)
    if found is None:
        raise NotFoundError("There is no entry with this id.")
    return found


async def note_export(container: AppContainer[ServiceConfig], caller: Caller) -> None:
    """Have the log say who took all of it along, before the first byte leaves."""
    async with unit_of_work(container, caller) as work:
        work.publish([data_exported()])
