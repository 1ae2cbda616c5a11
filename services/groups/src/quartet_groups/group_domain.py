"""The rules for groups: the effect of each command on a group, and its events; no I/O."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from quartet_common.messaging.changed_values import changed_values
from quartet_common.messaging.outbox import DomainEvent
from quartet_groups import events
from quartet_groups.events import GroupFacts, NestedGroup
from quartet_groups.member_domain import MemberChange, MemberOrders, Members, read_orders
from quartet_scim.patch import Operation, PatchEngine, split_member_operations
from quartet_scim.resource import Attributes, Resource, changed_names


@dataclass(frozen=True)
class Group(Resource):
    """A stored group; its attributes have no members."""

    @property
    def display_name(self) -> str:
        """The displayName."""
        return str(self.attributes["displayName"])


@dataclass(frozen=True)
class GroupPatch:
    """A PATCH of a group: members change by `orders`, and `engine` applies `operations` to the other attributes."""

    engine: PatchEngine
    orders: MemberOrders
    operations: Sequence[Operation]

    @classmethod
    def of(cls, engine: PatchEngine, operations: Sequence[Operation]) -> "GroupPatch":
        """The PATCH with `operations` of a client. Raises ScimError 400."""
        changes, others = split_member_operations(operations)
        return cls(engine, read_orders(changes), others)


def create(group_id: UUID, attributes: Attributes, members: Members, now: datetime) -> tuple[Group, list[DomainEvent]]:
    """A new group and its events."""
    group = Group(group_id, attributes, 1, now, now)
    created = events.created(group.id, group.version, _facts(group))
    return group, [created, *_membership(group, MemberChange(added=members))]


def change(
    group: Group, attributes: Attributes, members: MemberChange, now: datetime
) -> tuple[Group, list[DomainEvent]]:
    """`group` with other attributes and members; the same group and no event if nothing changed."""
    names = changed_names(group.attributes, attributes)
    if not names and not members:
        return group, []
    changed = group.next(now, attributes)
    published = _membership(changed, members)
    if names:
        changes = changed_values(group.attributes, attributes, names)
        published.insert(0, events.updated(changed.id, changed.version, _facts(changed), names, changes))
    return changed, published


def lose_members(group: Group, gone: Iterable[UUID], now: datetime) -> tuple[Group, list[DomainEvent]]:
    """`group` without deleted users."""
    changed = group.next(now)
    return changed, _membership(changed, MemberChange(removed=Members(list(gone))))


def lose_nested(group: Group, gone: NestedGroup, now: datetime) -> tuple[Group, list[DomainEvent]]:
    """`group` without a nested group that will be deleted."""
    changed = group.next(now)
    return changed, _membership(changed, MemberChange(removed=Members(groups=[gone])))


def delete(group: Group, members: Members, now: datetime) -> list[DomainEvent]:
    """The events of a deleted group: first that all its members left."""
    last = group.next(now)
    return [
        *_membership(last, MemberChange(removed=members)),
        events.deleted(last.id, last.version, _facts(last)),
    ]


def _membership(group: Group, change: MemberChange) -> list[DomainEvent]:
    of_group = (group.id, group.version, _facts(group))
    return [
        *events.members_added(*of_group, change.added.users),
        *events.groups_nested(*of_group, change.added.groups),
        *events.members_removed(*of_group, change.removed.users),
        *events.groups_unnested(*of_group, change.removed.groups),
    ]


def _facts(group: Group) -> GroupFacts:
    return {"id": str(group.id), "displayName": group.display_name, "externalId": group.external_id}
