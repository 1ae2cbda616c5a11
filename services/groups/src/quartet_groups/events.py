"""The events that the groups service publishes: the contract, with one JSON Schema each in schemas/."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from quartet_common.messaging.outbox import DomainEvent

if TYPE_CHECKING:
    from quartet_groups.domain import Group, MemberChange

CREATED = "groups.group.created.v1"
UPDATED = "groups.group.updated.v1"
DELETED = "groups.group.deleted.v1"
MEMBERS_ADDED = "groups.membership.added.v1"
MEMBERS_REMOVED = "groups.membership.removed.v1"

PUBLISHED = (CREATED, UPDATED, DELETED, MEMBERS_ADDED, MEMBERS_REMOVED)

MEMBERS_PER_EVENT = 1000


def created(group: "Group") -> DomainEvent:
    """A group came into being; its members follow in events of their own."""
    return DomainEvent(CREATED, f"groups/{group.id}", group.version, _facts(group))


def updated(group: "Group", changed: list[str]) -> DomainEvent:
    """Attributes of a group changed; `changed` names them."""
    return DomainEvent(UPDATED, f"groups/{group.id}", group.version, {**_facts(group), "changed": changed})


def deleted(group: "Group") -> DomainEvent:
    """A group is gone."""
    return DomainEvent(DELETED, f"groups/{group.id}", group.version, _facts(group))


def membership(group: "Group", change: "MemberChange") -> list[DomainEvent]:
    """Who belongs to the group now and who does not any more, at most 1,000 members an event."""
    return [
        *_chunks(MEMBERS_ADDED, group, change.added),
        *_chunks(MEMBERS_REMOVED, group, change.removed),
    ]


def _chunks(kind: str, group: "Group", members: Sequence[UUID]) -> Iterator[DomainEvent]:
    for start in range(0, len(members), MEMBERS_PER_EVENT):
        some = [{"value": str(one), "type": "User"} for one in members[start : start + MEMBERS_PER_EVENT]]
        yield DomainEvent(kind, f"groups/{group.id}", group.version, {**_facts(group), "members": some})


def _facts(group: "Group") -> dict[str, Any]:
    return {"id": str(group.id), "displayName": group.display_name, "externalId": group.external_id}
