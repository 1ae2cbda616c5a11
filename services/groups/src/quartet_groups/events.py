"""Events of groups; their JSON Schemas are in schemas/."""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypedDict, TypeVar
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
    """A group that is a member of another: its id and display name."""

    id: UUID
    display: str


class GroupFacts(TypedDict):
    """The data of every group event."""

    id: str
    displayName: str
    externalId: str | None


def created(group_id: UUID, version: int, facts: GroupFacts) -> DomainEvent:
    """A group was created; its members are in separate events."""
    return DomainEvent(CREATED, f"groups/{group_id}", version, {**facts})


def updated(
    group_id: UUID, version: int, facts: GroupFacts, changed: list[str], changes: dict[str, Any]
) -> DomainEvent:
    """A group was changed; `changed` names the attributes, `changes` are the members of `changed_values`."""
    return DomainEvent(UPDATED, f"groups/{group_id}", version, {**facts, "changed": changed, **changes})


def deleted(group_id: UUID, version: int, facts: GroupFacts) -> DomainEvent:
    """A group was deleted."""
    return DomainEvent(DELETED, f"groups/{group_id}", version, {**facts})


def members_added(group_id: UUID, version: int, facts: GroupFacts, members: Sequence[UUID]) -> list[DomainEvent]:
    """Users became members: events with at most 1,000 users each."""
    return _membership(MEMBERS_ADDED, group_id, version, facts, members)


def members_removed(group_id: UUID, version: int, facts: GroupFacts, members: Sequence[UUID]) -> list[DomainEvent]:
    """Users left the group: events with at most 1,000 users each."""
    return _membership(MEMBERS_REMOVED, group_id, version, facts, members)


def groups_nested(group_id: UUID, version: int, facts: GroupFacts, nested: Sequence[NestedGroup]) -> list[DomainEvent]:
    """Groups became members: events with at most 1,000 groups each."""
    return _nesting(NESTING_ADDED, group_id, version, facts, nested)


def groups_unnested(
    group_id: UUID, version: int, facts: GroupFacts, nested: Sequence[NestedGroup]
) -> list[DomainEvent]:
    """Groups left the group: events with at most 1,000 groups each."""
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
