"""Rules of the schemas that tenants register."""

from collections.abc import Sequence

from quartet_scim.errors import too_many, uniqueness
from quartet_scim.schema import Schema, group_schema, user_resource_type
from quartet_scim.schema_registration import find_conflict, urns_of

MAX_SCHEMAS = 20
"""Schemas that one tenant may register."""


def require_schema_capacity(schema: Schema, known: Sequence[Schema]) -> None:
    """Refuse a schema that a tenant cannot have beside the ones that it has registered.

    Raises ScimError 409 if its URN is taken, 400 if there are too many.
    """
    taken = find_conflict(schema.id, [*urns_of(user_resource_type(*known)), group_schema().id])
    if taken is not None:
        raise uniqueness(f"id: the URN equals, or could be confused with, the schema {taken} or an attribute of it.")
    if len(known) >= MAX_SCHEMAS:
        raise too_many(f"A tenant has at most {MAX_SCHEMAS} schemas of its own. Delete one first.")
