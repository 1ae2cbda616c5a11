"""Events of exports."""

from collections.abc import Mapping

from quartet_common.core.identifiers import new_id
from quartet_common.messaging.outbox import DomainEvent

DATA_EXPORTED = "audit.data.exported.v1"
LOG_EXPORTED = "audit.data.exported.v2"


def data_exported() -> DomainEvent:
    """All data of the tenant was exported."""
    return DomainEvent(DATA_EXPORTED, f"exports/{new_id()}", 1, {"format": "ndjson"})


def log_exported(format_: str, start: int, filters: Mapping[str, str]) -> DomainEvent:
    """The log of the tenant was exported in a format, from the entry `start` on, as far as it passes `filters`."""
    data = {"format": format_, "start": start, "filters": dict(filters)}
    return DomainEvent(LOG_EXPORTED, f"exports/{new_id()}", 1, data)
