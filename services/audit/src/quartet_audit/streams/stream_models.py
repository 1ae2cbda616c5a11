"""Shapes of streams over HTTP."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType, field

from quartet_audit.entries.filter_domain import Filters
from quartet_audit.streams.stream_domain import MAX_NAME, Destination, Stream
from quartet_common.core.validation_messages import NO_CONTROL_CHARACTERS

Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME, pattern=NO_CONTROL_CHARACTERS)]
MAX_OVERLAP = 168
Overlap = Annotated[int, Meta(ge=0, le=MAX_OVERLAP)]
Index = Annotated[int, Meta(ge=0, le=2**62)]
Time = Annotated[datetime, Meta(tz=True)]


class NewStream(Struct, forbid_unknown_fields=True):
    """A stream to create. `from` is the sequence of its first entry, or the time at which that was recorded; without it
    the stream begins with what is appended next.
    """

    name: Name
    destination: Destination
    filters: Filters = field(default_factory=Filters)
    format: str = "quartet"
    start: Index | Time | None = field(name="from", default=None)


class StreamChange(Struct, forbid_unknown_fields=True):
    """The members of a stream to change; the others stay. `filters` and `destination` are replaced as a whole.

    `rotate_secret` has a webhook get a new secret; the former one signs too for so many hours.
    """

    name: Name | None = None
    destination: Destination | None = None
    filters: Filters | None = None
    format: str | None = None
    rotate_secret: Overlap | None = None


class Replay(Struct, forbid_unknown_fields=True):
    """Where to begin again: the sequence of an entry, or the time at which it was recorded."""

    start: Index | Time = field(name="from")


class Pause(Struct):
    """When and why a stream was paused."""

    time: datetime
    reason: str


class StreamState(Struct):
    """A stream. `next` is the sequence of the next entry to deliver, `waiting` how many entries of the log come from
    there on. `problem` is that of the last attempt, if it failed. `secret` is shown once; the one before
    it signs too until `former_secret_until`.
    """

    id: UUID
    name: str
    destination: Destination
    filters: Filters
    format: str
    created_time: datetime
    next: int
    waiting: int
    delivered_time: datetime | None
    failures: int
    failing_since: datetime | None
    next_attempt_time: datetime | None
    problem: str | None
    paused: Pause | None
    former_secret_until: datetime | None
    secret: str | UnsetType = UNSET

    @classmethod
    def of(cls, stream: Stream, secret: str | None = None) -> "StreamState":
        """The state of `stream`, with a `secret` that was made for it just now."""
        is_failing = stream.failing_since is not None and stream.paused_at is None
        return cls(
            id=stream.id,
            name=stream.name,
            destination=stream.destination,
            filters=stream.filters,
            format=stream.format,
            created_time=stream.created_at,
            next=stream.position,
            waiting=max(stream.size - stream.position, 0),
            delivered_time=stream.delivered_at,
            failures=stream.failures,
            failing_since=stream.failing_since,
            next_attempt_time=stream.due_at if is_failing else None,
            problem=stream.problem,
            paused=None if stream.paused_at is None else Pause(stream.paused_at, stream.pause_reason or ""),
            former_secret_until=stream.former_secret_until,
            secret=UNSET if secret is None else secret,
        )


class StreamList(Struct):
    """All streams of the tenant, the oldest first."""

    streams: list[StreamState]
