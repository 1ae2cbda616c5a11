"""The URNs of schemas in a request, by which a process can see whether it knows all of them."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from quartet_scim.attribute_conversion import MAX_KEYS
from quartet_scim.filters import MAX_CHARACTERS
from quartet_scim.schema import ResourceType
from quartet_scim.schema_registration import urns_of

_URN = re.compile(r"urn:[A-Za-z0-9._~%+/:-]+", re.ASCII | re.IGNORECASE)
_PREFIX = "urn:"


def urns_in_text(*texts: str | None) -> Iterator[str]:
    """The URNs, also with attribute names, in filters, paths and lists of attributes; none in a text longer than a
    filter, which the parser refuses.
    """
    for text in texts:
        if text is not None and len(text) <= MAX_CHARACTERS and _PREFIX in text.lower():
            yield from _URN.findall(text)


def urns_in_message(payload: Mapping[str, Any]) -> Iterator[str]:
    """The URNs of attributes in a body: a resource, a PatchOp or a search request.

    Without those that are only in `schemas` of a resource, since they write nothing.
    """
    yield from _of_keys(payload)
    for name, value in payload.items() if len(payload) <= MAX_KEYS else ():
        if isinstance(value, str):
            yield from urns_in_text(value)
        elif isinstance(value, list) and name.lower() == "operations":
            for operation in value:
                if isinstance(operation, dict):
                    yield from _of_operation(operation)
        elif isinstance(value, list) and name.lower().endswith("attributes"):
            yield from urns_in_text(*(one for one in value if isinstance(one, str)))


def _of_keys(payload: Mapping[str, Any]) -> Iterator[str]:
    """The URNs among the keys of an object; none of one that is refused for its size."""
    return (key for key in payload if key[:4].lower() == _PREFIX) if len(payload) <= MAX_KEYS else iter(())


def _of_operation(operation: Mapping[str, Any]) -> Iterator[str]:
    for name, value in operation.items():
        if isinstance(value, str) and name.lower() == "path":
            yield from urns_in_text(value)
        elif isinstance(value, dict):
            yield from _of_keys(value)


def has_unknown(resource_type: ResourceType, urns: Iterable[str]) -> bool:
    """Whether one of `urns` is neither a schema of the type nor an attribute of one."""
    known: list[str] | None = None
    for urn in dict.fromkeys(urns):
        known = known or [one.lower() for one in urns_of(resource_type)]
        lower = urn.lower()
        if not any(lower == one or lower.startswith((f"{one}:", f"{one}.")) for one in known):
            return True
    return False
