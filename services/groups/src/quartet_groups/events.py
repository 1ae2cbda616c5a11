"""The events that the groups service publishes: the contract, with one JSON Schema each in schemas/."""

from collections.abc import Sequence
from typing import NamedTuple, TypedDict, TypeVar
from uuid import UUID

from quartet_common.messaging.outbox import DomainEvent

T = TypeVar("T")

CREATED = "groups.group.created.v1"
UPDATED = "groups.group.updated.v1"
DELETED = "groups.group.deleted.v1"
MEMBERS_ADDED = "groups.membership.added.v1"
MEMBERS_REMOVED = "groups.membership.removed.v1"
NESTING_ADDED = "groups.nesting.added.v1"
NESTING_REMOVED = "groups.nesting.removed.v1"

PUBLISHED = (CREATED, UPDATED, DELETED, MEMBERS_ADDED, MEMBERS_REMOVED, NESTING_ADDED, NESTING_REMOVED)

MEMBERS_PER_EVENT = 1000


class NestedGroup(NamedTuple):
    """A group that is a member of another, by its id and its name for people."""

    id: UUID
    display: str


class GroupFacts(TypedDict):
    """The data of every group event."""

    id: str
    displayName: str
    externalId: str | None


def created(group_id: UUID, version: int, facts: GroupFacts) -> DomainEvent:
    """A group came into being; its members follow in events of their own."""
    return DomainEvent(CREATED, f"groups/{group_id}", version, {**facts})


def updated(group_id: UUID, version: int, facts: GroupFacts, changed: list[str]) -> DomainEvent:
    """Attributes of a group changed; `changed` names them."""
    return DomainEvent(UPDATED, f"groups/{group_id}", version, {**facts, "changed": changed})


def deleted(group_id: UUID, version: int, facts: GroupFacts) -> DomainEvent:
    """A group is gone."""
    return DomainEvent(DELETED, f"groups/{group_id}", version, {**facts})


def members_added(group_id: UUID, version: int, facts: GroupFacts, members: Sequence[UUID]) -> list[DomainEvent]:
    """Users became members, at most 1,000 an event."""
    return _membership(MEMBERS_ADDED, group_id, version, facts, members)


def members_removed(group_id: UUID, version: int, facts: GroupFacts, members: Sequence[UUID]) -> list[DomainEvent]:
    """Users are no members any more, at most 1,000 an event."""
    return _membership(MEMBERS_REMOVED, group_id, version, facts, members)


def groups_nested(group_id: UUID, version: int, facts: GroupFacts, nested: Sequence[NestedGroup]) -> list[DomainEvent]:
    """Groups became members, at most 1,000 an event."""
    return _nesting(NESTING_ADDED, group_id, version, facts, nested)


def groups_unnested(
    group_id: UUID, version: int, facts: GroupFacts, nested: Sequence[NestedGroup]
) -> list[DomainEvent]:
    """Groups are no members any more, at most 1,000 an event."""
    return _nesting(NESTING_REMOVED, group_id, version, facts, nested)


def _membership(
    kind: str, group_id: UUID, version: int, facts: GroupFacts, members: Sequence[UUID]
) -> list[DomainEvent]:
    named = [[{"value": str(one), "type": "User"} for one in some] for some in _parts(members)]
    return [DomainEvent(kind, f"groups/{group_id}", version, {**facts, "members": some}) for some in named]


def _nesting(
    kind: str, group_id: UUID, version: int, facts: GroupFacts, nested: Sequence[NestedGroup]
) -> list[DomainEvent]:
    named = [[{"value": str(one.id), "display": one.display} for one in some] for some in _parts(nested)]
    return [DomainEvent(kind, f"groups/{group_id}", version, {**facts, "groups": some}) for some in named]


def _parts(items: Sequence[T]) -> list[Sequence[T]]:
    return [items[start : start + MEMBERS_PER_EVENT] for start in range(0, len(items), MEMBERS_PER_EVENT)]
