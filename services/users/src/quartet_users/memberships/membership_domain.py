"""Groups and memberships as they are known from events."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class KnownGroup:
    """A group after the event with the sequence `version`."""

    id: UUID
    version: int
    deleted: bool
    display: str


@dataclass(frozen=True, slots=True)
class Edge:
    """Whether `member`, a user or a group, is in a group (`present`) after the event with the sequence `version`."""

    member: UUID
    group: UUID
    version: int
    present: bool
