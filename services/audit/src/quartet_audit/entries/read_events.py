"""Events of reads of the log."""

from collections.abc import Mapping

from quartet_common.core.identifiers import new_id
from quartet_common.messaging.outbox import DomainEvent

LOG_READ = "audit.log.read.v1"


def log_read(route: str, facts: Mapping[str, object]) -> DomainEvent:
    """The log of the tenant was read by a route; `facts` are the numbers of a tally."""
    return DomainEvent(LOG_READ, f"reads/{new_id()}", 1, {"route": route, **facts})
