"""Revocation events: stored by every service."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from quartet_common.auth.revocation_store import keep
from quartet_common.auth.revocations import Kind, Revocation
from quartet_common.data.connections import Connection
from quartet_common.messaging.envelope import Event


class RevocationFacts(msgspec.Struct, frozen=True, rename="camel"):
    """The data of the event. `tenant` may differ from the event's own: the platform suspends tenants."""

    tenant: str
    kind: Kind
    id: str
    revoked_at: datetime
    endless: bool
    expires_at: datetime | None = None


async def handle_events(connection: Connection, events: Sequence[Event]) -> None:
    """Store the revocations of REVOKED events; idempotent."""
    facts = [msgspec.convert(event.data, RevocationFacts) for event in events]
    await keep(connection, [Revocation(**msgspec.structs.asdict(one)) for one in facts])
