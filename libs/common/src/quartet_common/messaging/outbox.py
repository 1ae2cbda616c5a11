"""The outbox: an event becomes a row in the transaction of its change."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from opentelemetry import trace

from quartet_common.core.caller import Caller
from quartet_common.core.identifiers import new_id
from quartet_common.data.connections import Connection
from quartet_common.data.database import note_outgoing
from quartet_common.messaging.envelope import SUCCESS, TYPE_PREFIX, Event, encode

INSERT = """
INSERT INTO outbox (tenant_id, actor_id, aggregate, type, event_id, traceparent, event, urgent)
SELECT * FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::uuid[], $6::text[], $7::bytea[], $8::boolean[]
)"""
MAX_STATEMENT = 1_000_000
"""Bytes of events in one INSERT: encoding them for the database takes some milliseconds."""


@dataclass(frozen=True)
class DomainEvent:
    """An event that a domain function returns, before it has an envelope.

    `type` is short, e.g. `users.user.created.v1`; `subject` is `<collection>/<id>`, and events of one subject keep
    their order; `sequence` is the version of the resource after the change. Urgent events are published before all
    others; either all events of a subject are urgent or none, so that they keep their order. `id` is a new one and
    `time` that of the commit, unless they are given.
    """

    type: str
    subject: str
    sequence: int
    data: dict[str, Any]
    outcome: str = SUCCESS
    urgent: bool = False
    id: UUID | None = None
    time: datetime | None = None


def current_traceparent() -> str | None:
    """The traceparent (W3C Trace Context section 3.2) of the current span, or None without one."""
    span = trace.get_current_span().get_span_context()
    if not span.is_valid:
        return None
    return f"00-{trace.format_trace_id(span.trace_id)}-{trace.format_span_id(span.span_id)}-{span.trace_flags:02x}"


async def add(
    connection: Connection, caller: Caller, events: Sequence[DomainEvent], *, now: datetime, service: str
) -> list[UUID]:
    """Write `events` of one caller; see `add_of_callers`."""
    return await add_of_callers(connection, [(caller, event) for event in events], now=now, service=service)


async def add_of_callers(
    connection: Connection, events: Iterable[tuple[Caller, DomainEvent]], *, now: datetime, service: str
) -> list[UUID]:
    """Write `events` as outbox rows on `connection` and return their ids; nothing is sent before the commit.

    The transaction must have locked the row of the aggregate, so that ids follow the order of the changes.
    """
    traceparent = current_traceparent()
    ids: list[UUID] = []
    rows: list[NewOutboxRow] = []
    size = 0
    for caller, event in events:
        rows.append(_row(event, caller, now, service, traceparent))
        ids.append(rows[-1].event_id)
        size += len(rows[-1].event)
        if size >= MAX_STATEMENT:
            await _insert(connection, rows)
            rows, size = [], 0
    if rows:
        await _insert(connection, rows)
    return ids


async def _insert(connection: Connection, rows: Sequence["NewOutboxRow"]) -> None:
    note_outgoing()
    await connection.execute(INSERT, *map(list, zip(*rows, strict=True)))


def row(caller: Caller, event: DomainEvent, *, now: datetime, service: str) -> "NewOutboxRow":
    """The row of one event, for a statement that writes it together with its change."""
    note_outgoing()
    return _row(event, caller, now, service, current_traceparent())


class NewOutboxRow(NamedTuple):
    """A row of the outbox, as INSERT takes it."""

    tenant: str
    actor: str
    aggregate: str
    type: str
    event_id: UUID
    traceparent: str | None
    event: bytes
    urgent: bool


def _row(event: DomainEvent, caller: Caller, now: datetime, service: str, traceparent: str | None) -> NewOutboxRow:
    envelope = _envelope(event, caller, now, service, traceparent)
    aggregate = f"{caller.tenant}/{envelope.subject}"
    encoded = encode(envelope)
    return NewOutboxRow(
        caller.tenant, caller.actor, aggregate, envelope.type, envelope.id, traceparent, encoded, event.urgent
    )


def _envelope(event: DomainEvent, caller: Caller, now: datetime, service: str, traceparent: str | None) -> Event:
    return Event(
        id=event.id or new_id(),
        source=f"/{service}",
        type=TYPE_PREFIX + event.type,
        subject=event.subject,
        time=event.time or now,
        tenantid=caller.tenant,
        actorid=caller.actor,
        sequence=event.sequence,
        outcome=event.outcome,
        traceparent=traceparent,
        sourceip=caller.source_address,
        actorname=caller.actor_name,
        actortype=caller.actor_type,
        useragent=caller.user_agent,
        data=event.data,
    )
