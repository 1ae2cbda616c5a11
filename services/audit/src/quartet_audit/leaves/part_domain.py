"""Parts: divides an event into facts and personal parts, and joins parts to an entry (docs/audit-formats.md)."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from quartet_audit.leaves.leaf_domain import PARTS, Part
from quartet_common.messaging.envelope import Event

NAMES = ("userName", "displayName", "name")
"""Members of an event's data that may name its resource; the first one that is there does."""


class Resource(msgspec.Struct, frozen=True):
    """What an event was about: `type` is the collection as the event's subject has it, e.g. `users`."""

    type: str
    id: str

    @classmethod
    def of(cls, subject: str) -> "Resource":
        """The resource of a subject, `<collection>/<id>`."""
        collection, _, identifier = subject.partition("/")
        return cls(collection, identifier)


class Facts(msgspec.Struct, kw_only=True):
    """The part without personal data. `id` is the event's own; `sequence` counts the tenant's entries from 0."""

    id: UUID
    sequence: int
    time: datetime
    recorded_time: datetime
    tenant: str
    action: str
    type: str
    actor: str
    resource: Resource
    outcome: str
    trace_id: str | None


class Actor(msgspec.Struct):
    """Who did it, for people."""

    actor_name: str | None = None
    actor_type: str | None = None


class ResourceName(msgspec.Struct):
    """What it was done to, for people."""

    resource_name: str | None = None


class Source(msgspec.Struct):
    """Where the request came from."""

    source_address: str | None = None
    user_agent: str | None = None


class Changes(msgspec.Struct):
    """The data of the event."""

    data: dict[str, Any] | None = None


_encode = msgspec.json.Encoder().encode
_absent = {
    "actor": _encode(Actor()),
    "resource": _encode(ResourceName()),
    "source": _encode(Source()),
    "changes": _encode(Changes()),
}


def divide(event: Event, facts: Facts, salts: Iterator[bytes]) -> dict[str, Part]:
    """The parts of the entry of `event`, by name; each takes a salt. A part without a value is left out."""
    parts = {"facts": Part(_encode(facts), next(salts))}
    if event.actorname is not None or event.actortype is not None:
        parts["actor"] = Part(_encode(Actor(event.actorname, event.actortype)), next(salts))
    if (name := _name(event.data)) is not None:
        parts["resource"] = Part(_encode(ResourceName(name)), next(salts))
    if event.sourceip is not None or event.useragent is not None:
        parts["source"] = Part(_encode(Source(event.sourceip, event.useragent)), next(salts))
    parts["changes"] = Part(_encode(Changes(event.data)), next(salts))
    return parts


def _name(data: Mapping[str, Any]) -> str | None:
    for key in NAMES:
        if isinstance(name := data.get(key), str):
            return name
    return None


def join(parts: Mapping[str, bytes | None], erased: bytes | None) -> bytes:
    """The JSON of an entry from that of its parts; members of a part that is not there are null.

    `erased` is the JSON array of what was erased, or None.
    """
    members = [(parts[part] or _absent[part])[1:-1] for part in PARTS]
    if erased is not None:
        members.append(b'"erased":' + erased)
    return b"{%b}" % b",".join(members)
