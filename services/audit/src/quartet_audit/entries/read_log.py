"""Reads of the audit log: counted, and published as a limited number of events."""

from dataclasses import dataclass

from quartet_audit.entries.read_events import log_read
from quartet_common.core.caller import Caller
from quartet_common.messaging.event_aggregation import OTHERS, EventAggregator, Tally
from quartet_common.messaging.outbox import DomainEvent


@dataclass(frozen=True)
class Read:
    """A read: who, from which address, and the template of the route."""

    tenant: str
    actor: str
    actor_name: str | None
    actor_type: str | None
    address: str | None
    route: str


class ReadLog(EventAggregator[Read, None]):
    """Counts successful reads of logs by caller, address and route; each tenant has its own limit of events."""

    name = "reads of the audit log"

    def count(self, who: Caller, route: str) -> None:
        """Count a request of `who`."""
        self.add(Read(who.tenant, who.actor, who.actor_name, who.actor_type, who.source_address, route), None)

    def partition(self, kind: Read) -> str:
        """The tenant of a read."""
        return kind.tenant

    def overflow_key(self, kind: Read) -> Read:
        """The key that counts further reads of the tenant together."""
        return Read(kind.tenant, OTHERS, None, None, None, OTHERS)

    def event_of(self, kind: Read, tally: Tally[None]) -> tuple[Caller, DomainEvent]:
        """`audit.log.read.v1`."""
        who = Caller(kind.tenant, kind.actor, kind.address, actor_name=kind.actor_name, actor_type=kind.actor_type)
        return who, log_read(kind.route, tally.facts)
