"""The rules: what an entry is, which place in its tenant's log it gets, and what can be asked about the log."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from quartet_common.messaging.envelope import Event

TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}.*")
NO_TRACE = "0" * 32


class Resource(msgspec.Struct, frozen=True):
    """What an event was about: `type` is the collection as the event's subject has it, e.g. `users`."""

    type: str
    id: str


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One event as the log keeps it. `id` is the event's own; `sequence` counts the tenant's entries from 0."""

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
    source_address: str | None
    data: dict[str, Any]


class Position(NamedTuple):
    """A place in the order of pages: when an entry happened, and its sequence among those of one moment."""

    time: datetime
    sequence: int


BEGINNING = Position(datetime.min.replace(tzinfo=UTC), -1)
END = Position(datetime.max.replace(tzinfo=UTC), -1)


@dataclass(frozen=True)
class Search:
    """A question about a tenant's log: the entries between `after` and `before`, both exclusive, that pass all filters.

    `action`, `actor`, `resource` and `outcome` are exact; `prefix` is what the action begins with.
    """

    action: str | None = None
    prefix: str | None = None
    actor: str | None = None
    resource: str | None = None
    outcome: str | None = None
    after: Position = BEGINNING
    before: Position = END
    newest_first: bool = True
    limit: int = 50

    def beyond(self, position: Position) -> "Search":
        """The rest of the question once everything up to `position` was answered."""
        return replace(self, before=position) if self.newest_first else replace(self, after=position)


def append(events: Sequence[Event], sizes: Mapping[str, int], now: datetime) -> list[Entry]:
    """The entries of `events`, each at the end of its tenant's log; `sizes` holds how long each log is before."""
    ends = dict(sizes)
    entries = []
    for event in events:
        sequence = ends[event.tenantid]
        ends[event.tenantid] = sequence + 1
        entries.append(_entry(event, sequence, now))
    return entries


def _entry(event: Event, sequence: int, now: datetime) -> Entry:
    collection, _, identifier = event.subject.partition("/")
    return Entry(
        id=event.id,
        sequence=sequence,
        time=event.time.astimezone(UTC),
        recorded_time=now,
        tenant=event.tenantid,
        action=event.action,
        type=event.type,
        actor=event.actorid,
        resource=Resource(collection, identifier),
        outcome=event.outcome,
        trace_id=trace_id(event.traceparent),
        source_address=event.sourceip,
        data=event.data,
    )


def trace_id(traceparent: str | None) -> str | None:
    """The trace id in a W3C `traceparent` (Trace Context section 3.2), or None where there is no valid one."""
    match = TRACEPARENT.fullmatch(traceparent or "")
    return match[1] if match and match[1] != NO_TRACE else None
