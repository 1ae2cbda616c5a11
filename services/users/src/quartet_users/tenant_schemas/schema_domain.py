"""The rules for schemas of tenants; no I/O."""

from collections.abc import Sequence

from quartet_scim.errors import too_many, uniqueness
from quartet_scim.schema import Schema, group_schema, user_resource_type
from quartet_scim.schema_registration import find_conflict, urns_of

MAX_SCHEMAS = 20
"""The maximum number of schemas of a tenant."""


def require_schema_capacity(schema: Schema, known: Sequence[Schema]) -> None:
    """Check that a tenant with the `known` schemas may register another one.

    Raises ScimError 409 if its URN conflicts with another, 400 for too many schemas.
    """
    taken = find_conflict(schema.id, [*urns_of(user_resource_type(*known)), group_schema().id])
    if taken is not None:
        raise uniqueness(f"id: the URN equals, or could be confused with, the schema {taken} or an attribute of it.")
    if len(known) >= MAX_SCHEMAS:
        raise too_many(f"A tenant has at most {MAX_SCHEMAS} schemas of its own. Delete one first.")
