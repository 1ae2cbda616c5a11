"""What the audit service publishes; the JSON Schemas stand in schemas/."""

from quartet_common.core.identifiers import new_id
from quartet_common.messaging.outbox import DomainEvent

DATA_EXPORTED = "audit.data.exported.v1"

PUBLISHED = (DATA_EXPORTED,)


def data_exported() -> DomainEvent:
    """Somebody was let in to stream the whole log of the tenant."""
    return DomainEvent(DATA_EXPORTED, f"exports/{new_id()}", 1, {"format": "ndjson"})
