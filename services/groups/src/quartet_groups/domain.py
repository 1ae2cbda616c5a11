"""The rules for groups: what a command makes of a group and which events tell of it; no I/O."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from quartet_common.ids import parse_id
from quartet_common.messaging.outbox import DomainEvent
from quartet_groups import events
from quartet_groups.events import GroupFacts
from quartet_scim.errors import invalid_value
from quartet_scim.patch import MemberChanges
from quartet_scim.resource import Attributes, Resource, changed_names


@dataclass(frozen=True)
class Group(Resource):
    """A group as kept; its attributes hold no members."""

    @property
    def display_name(self) -> str:
        """The name for people."""
        return str(self.attributes["displayName"])


@dataclass(frozen=True)
class MemberChange:
    """Ids that became members and ids that are none any more."""

    added: Sequence[UUID]
    removed: Sequence[UUID]

    def __bool__(self) -> bool:
        return bool(self.added or self.removed)


def split_members(attributes: Attributes) -> tuple[Attributes, list[UUID]]:
    """`attributes` without members, and the members' ids, each once, in the order sent.

    Raises ScimError 400 for a member without value, one that is no id, or one that is said to be a group.
    """
    rest = {name: value for name, value in attributes.items() if name != "members"}
    ids: dict[UUID, None] = {}
    for index, member in enumerate(attributes.get("members", ())):
        if str(member.get("type", "User")).lower() != "user":
            raise invalid_value(f"members[{index}].type: only users can be members at present.")
        found = parse_id(str(member.get("value", "")))
        if found is None:
            raise invalid_value(f"members[{index}].value: no user has that id.")
        ids[found] = None
    return rest, list(ids)


@dataclass(frozen=True)
class MemberOrders:
    """What a PATCH wants of the members: if `replaces_all` everybody goes who is not in `added`, else `removed` go."""

    replaces_all: bool
    removed: Sequence[UUID]
    added: Sequence[UUID]


def read_orders(changes: MemberChanges) -> MemberOrders:
    """`changes` with ids for texts. To remove what is no id changes nothing: nobody has it.

    Raises ScimError 400 for somebody to add who cannot be a member.
    """
    _, added = split_members({"members": list(changes.added.values())})
    removed = [found for found in map(parse_id, changes.removed) if found is not None]
    return MemberOrders(changes.replaces_all, removed, added)


def create(
    group_id: UUID, attributes: Attributes, members: Sequence[UUID], now: datetime
) -> tuple[Group, list[DomainEvent]]:
    """A new group and the events of it."""
    group = Group(group_id, attributes, 1, now, now)
    told = events.created(group.id, group.version, _facts(group))
    return group, [told, *_membership(group, MemberChange(members, ()))]


def change(
    group: Group, attributes: Attributes, members: MemberChange, now: datetime
) -> tuple[Group, list[DomainEvent]]:
    """`group` with `attributes` in place of its own and other members; the same and no event when nothing differs."""
    names = changed_names(group.attributes, attributes)
    if not names and not members:
        return group, []
    changed = group.next(now, attributes)
    told = [events.updated(changed.id, changed.version, _facts(changed), names)] if names else []
    return changed, [*told, *_membership(changed, members)]


def lose_members(group: Group, gone: Iterable[UUID], now: datetime) -> tuple[Group, list[DomainEvent]]:
    """`group` without members that do not exist any more."""
    changed = group.next(now)
    return changed, _membership(changed, MemberChange((), list(gone)))


def delete(group: Group, members: Sequence[UUID], now: datetime) -> list[DomainEvent]:
    """The events of a group's end, the first of which is that nobody belongs to it any more."""
    last = group.next(now)
    return [
        *_membership(last, MemberChange((), members)),
        events.deleted(last.id, last.version, _facts(last)),
    ]


def _membership(group: Group, change: MemberChange) -> list[DomainEvent]:
    return [
        *events.members_added(group.id, group.version, _facts(group), change.added),
        *events.members_removed(group.id, group.version, _facts(group), change.removed),
    ]


def _facts(group: Group) -> GroupFacts:
    return {"id": str(group.id), "displayName": group.display_name, "externalId": group.external_id}
