"""Origin events: every service stores the origins of tenants."""

from collections.abc import Sequence

import msgspec

from quartet_common.auth.origin_store import TenantOrigins, keep
from quartet_common.data.connections import Connection
from quartet_common.messaging.envelope import Event


class OriginFacts(msgspec.Struct, frozen=True):
    """The data of an event: all origins of its tenant after the change, and their version."""

    version: int
    origins: list[str]


async def handle_events(connection: Connection, events: Sequence[Event]) -> None:
    """Store the origins of ORIGINS events; idempotent."""
    facts = [(event.tenantid, msgspec.convert(event.data, OriginFacts)) for event in events]
    await keep(connection, [TenantOrigins(tenant, one.version, one.origins) for tenant, one in facts])
