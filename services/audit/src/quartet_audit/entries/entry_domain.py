"""The rules: which place in its tenant's log an entry gets, and what can be asked about the log."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network
from typing import NamedTuple
from uuid import UUID

from quartet_audit.leaves.leaf_domain import PARTS, SALT_BYTES, Part, encode_leaf
from quartet_audit.leaves.part_domain import Facts, Resource, divide
from quartet_common.messaging.envelope import Event

TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}.*")
NO_TRACE = "0" * 32

Network = IPv4Network | IPv6Network

MAX_ACTION_BYTES = 255
"""The limit of a routing key (AMQP 0-9-1 section 4.2.5.3); a leaf may have 65,535 bytes (tlog-tiles)."""
SALTS_BYTES = SALT_BYTES * len(PARTS)
"""Random bytes that one entry needs at most."""


class LongActionError(Exception):
    """The type of an event is longer than that of any event that was published with a routing key."""

    def __init__(self, action: str) -> None:
        super().__init__(
            f"the action {action[:40]}... has {len(action.encode())} bytes, at most {MAX_ACTION_BYTES} are allowed"
        )


class Position(NamedTuple):
    """A place in the order of pages: when an entry happened, and its sequence among those of one moment."""

    time: datetime
    sequence: int


BEGINNING = Position(datetime.min.replace(tzinfo=UTC), -1)
END = Position(datetime.max.replace(tzinfo=UTC), -1)


@dataclass(frozen=True)
class Search:
    """A question about a tenant's log: the entries between `after` and `before`, both exclusive, that pass all filters.

    `prefix` is what the action begins with. `recorded_ids` are what the log may have in place of the id `resource`.
    `address` is a network that the source address is in. Each of `text`, whose
    case is folded, is in `term_domain.searched_text`, and no part of a longer word. All others are exact.
    """

    action: str | None = None
    prefix: str | None = None
    actor: str | None = None
    resource: str | None = None
    recorded_ids: tuple[str, ...] = ()
    outcome: str | None = None
    resource_type: str | None = None
    address: Network | None = None
    trace_id: str | None = None
    text: tuple[str, ...] = ()
    after: Position = BEGINNING
    before: Position = END
    newest_first: bool = True
    limit: int = 50

    @property
    def needs_parts(self) -> bool:
        """Whether one of the filters is decided by the parts of an entry, not by columns."""
        return bool(self.text) or self.address is not None or self.trace_id is not None

    @property
    def has_terms(self) -> bool:
        """Whether one of the filters has no index of its own, but terms."""
        return self.needs_parts or self.resource_type is not None

    def beyond(self, position: Position) -> "Search":
        """The rest of the question once everything up to `position` was answered."""
        return replace(self, before=position) if self.newest_first else replace(self, after=position)


class NewEntry(NamedTuple):
    """An entry at the end of its tenant's log: what is searched, its parts by name, and its leaf."""

    tenant: str
    sequence: int
    id: UUID
    time: datetime
    recorded_time: datetime
    action: str
    actor: str
    resource_type: str
    resource_id: str
    outcome: str
    parts: Mapping[str, Part]
    leaf: bytes


def append(events: Sequence[Event], sizes: Mapping[str, int], now: datetime, random: bytes) -> list[NewEntry]:
    """The entries of `events`, each at the end of its tenant's log; `sizes` holds how long each log is before.

    `random` has SALTS_BYTES for each event. Raises LongActionError.
    """
    ends = dict(sizes)
    salts = iter([random[start : start + SALT_BYTES] for start in range(0, len(random), SALT_BYTES)])
    entries = []
    for event in events:
        sequence = ends[event.tenantid]
        ends[event.tenantid] = sequence + 1
        entries.append(_entry(event, sequence, now, salts))
    return entries


def _entry(event: Event, sequence: int, now: datetime, salts: Iterator[bytes]) -> NewEntry:
    action, resource, time = event.action, Resource.of(event.subject), event.time.astimezone(UTC)
    if len(action.encode()) > MAX_ACTION_BYTES:
        raise LongActionError(action)
    facts = Facts(
        id=event.id,
        sequence=sequence,
        time=time,
        recorded_time=now,
        tenant=event.tenantid,
        action=action,
        type=event.type,
        actor=event.actorid,
        resource=resource,
        outcome=event.outcome,
        trace_id=trace_id(event.traceparent),
    )
    parts = divide(event, facts, salts)
    leaf = encode_leaf(sequence, time, event.id, action, parts)
    return NewEntry(
        event.tenantid,
        sequence,
        event.id,
        time,
        now,
        action,
        event.actorid,
        resource.type,
        resource.id,
        event.outcome,
        parts,
        leaf,
    )


def trace_id(traceparent: str | None) -> str | None:
    """The trace id in a W3C `traceparent` (Trace Context section 3.2), or None where there is no valid one."""
    match = TRACEPARENT.fullmatch(traceparent or "")
    return match[1] if match and match[1] != NO_TRACE else None
