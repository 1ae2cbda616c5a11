"""Events of streams."""

from typing import Any

import msgspec

from quartet_audit.streams.stream_domain import File, Stream
from quartet_common.messaging.outbox import DomainEvent

STREAM_CREATED = "audit.stream.created.v1"
STREAM_UPDATED = "audit.stream.updated.v1"
STREAM_PAUSED = "audit.stream.paused.v1"
STREAM_RESUMED = "audit.stream.resumed.v1"
STREAM_REPLAYED = "audit.stream.replayed.v1"
STREAM_DELETED = "audit.stream.deleted.v1"


def stream_created(stream: Stream) -> DomainEvent:
    """A stream was created."""
    return _stream_event(STREAM_CREATED, stream)


def stream_changed(stream: Stream, *, is_rotated: bool = False) -> DomainEvent:
    """Name, destination, filters or format of a stream was changed, or the secret of its webhook was rotated."""
    return _stream_event(STREAM_UPDATED, stream, **({"secretRotated": True} if is_rotated else {}))


def stream_paused(stream: Stream, reason: str) -> DomainEvent:
    """A stream was paused by a request, or because its destination failed for three days."""
    return _stream_event(STREAM_PAUSED, stream, reason=reason)


def stream_resumed(stream: Stream) -> DomainEvent:
    """A stream delivers again from where it was paused."""
    return _stream_event(STREAM_RESUMED, stream)


def stream_replayed(stream: Stream, position: int) -> DomainEvent:
    """A stream delivers again from the entry at `position` on."""
    return _stream_event(STREAM_REPLAYED, stream, **{"from": position})


def stream_deleted(stream: Stream) -> DomainEvent:
    """A stream was deleted."""
    return _stream_event(STREAM_DELETED, stream)


def _stream_event(type_: str, stream: Stream, **more: Any) -> DomainEvent:
    """The event of a stream. Of a URL it has host and port only, since the rest may be secret."""
    destination = stream.destination
    target = destination.name if isinstance(destination, File) else "{}:{}".format(*destination.target)
    data = {"name": stream.name, "destination": type(destination).__name__.lower(), "target": target}
    filters = msgspec.to_builtins(stream.filters)
    return DomainEvent(
        type_, f"streams/{stream.id}", stream.version, {**data, "format": stream.format, "filters": filters, **more}
    )
