"""Checks that all SCIM messages share (RFC 7644 3.4.3, 3.5.2, 3.7): names in any case, and `schemas`."""

from collections.abc import Mapping
from typing import Any

from quartet_scim.errors import invalid_syntax


def lower_names(sent: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The members by their names in lower case. Raises ScimError 400 invalidSyntax for a name given twice."""
    members = {name.lower(): value for name, value in sent.items()}
    if len(members) != len(sent):
        raise invalid_syntax(f"{where} has a member twice, in different case.")
    return members


def require_schema(schemas: object, urn: str) -> None:
    """Check that `schemas`, a list or a single URN, has `urn`. Raises ScimError 400."""
    named = [schemas] if isinstance(schemas, str) else schemas
    if not isinstance(named, list) or urn.lower() not in [str(one).lower() for one in named]:
        raise invalid_syntax(f"schemas must hold {urn}.")
