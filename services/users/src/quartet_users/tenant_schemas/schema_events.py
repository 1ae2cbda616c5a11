"""Events of the schemas of tenants."""

from typing import Any

from quartet_common.messaging.outbox import DomainEvent
from quartet_scim.schema import Schema

SCHEMA_CREATED = "users.schema.created.v1"

SCHEMA_DELETED = "users.schema.deleted.v1"


def schema_created(schema: Schema, version: int) -> DomainEvent:
    """A schema was registered; `version` counts the changes of the tenant's schemas."""
    return DomainEvent(SCHEMA_CREATED, f"schemas/{schema.id}", version, _schema_facts(schema))


def schema_deleted(schema: Schema, version: int) -> DomainEvent:
    """A schema was deleted."""
    return DomainEvent(SCHEMA_DELETED, f"schemas/{schema.id}", version, _schema_facts(schema))


def _schema_facts(schema: Schema) -> dict[str, Any]:
    return {"id": schema.id, "name": schema.name, "attributes": [attribute.name for attribute in schema.attributes]}
