"""Groups and memberships as the users service knows them."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class KnownGroup:
    """A group as heard of; `version` says when."""

    id: UUID
    version: int
    deleted: bool
    display: str


@dataclass(frozen=True, slots=True)
class Edge:
    """That something began (`present`) or ceased to belong to a group: a user to it, or a group to its parent."""

    member: UUID
    group: UUID
    version: int
    present: bool
