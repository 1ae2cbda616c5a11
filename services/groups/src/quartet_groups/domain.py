"""The rules for groups: what a command makes of a group and which events tell of it; no I/O."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from quartet_common.ids import parse_id
from quartet_common.messaging.outbox import DomainEvent
from quartet_groups import events
from quartet_scim.errors import invalid_value

Attributes = dict[str, Any]


@dataclass(frozen=True)
class Group:
    """A group as kept: `attributes` is the SCIM document without id, meta and members; `version` counts from 1."""

    id: UUID
    attributes: Attributes
    version: int
    created: datetime
    modified: datetime

    @property
    def display_name(self) -> str:
        """The name for people."""
        return str(self.attributes["displayName"])

    @property
    def external_id(self) -> str | None:
        """The client's own id."""
        value = self.attributes.get("externalId")
        return value if isinstance(value, str) else None


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


def create(
    group_id: UUID, attributes: Attributes, members: Sequence[UUID], now: datetime
) -> tuple[Group, list[DomainEvent]]:
    """A new group and the events of it."""
    group = Group(group_id, attributes, 1, now, now)
    return group, [events.created(group), *events.membership(group, MemberChange(members, ()))]


def change(
    group: Group, attributes: Attributes, members: MemberChange, now: datetime
) -> tuple[Group, list[DomainEvent]]:
    """`group` with `attributes` in place of its own and other members; the same and no event when nothing differs."""
    names = _changed_names(group.attributes, attributes)
    if not names and not members:
        return group, []
    changed = replace(group, attributes=attributes, version=group.version + 1, modified=now)
    told = [events.updated(changed, names)] if names else []
    return changed, [*told, *events.membership(changed, members)]


def lose_members(group: Group, gone: Iterable[UUID], now: datetime) -> tuple[Group, list[DomainEvent]]:
    """`group` without members that do not exist any more."""
    changed = replace(group, version=group.version + 1, modified=now)
    return changed, events.membership(changed, MemberChange((), list(gone)))


def delete(group: Group, members: Sequence[UUID]) -> list[DomainEvent]:
    """The events of a group's end, the first of which is that nobody belongs to it any more."""
    last = replace(group, version=group.version + 1)
    return [*events.membership(last, MemberChange((), members)), events.deleted(last)]


def _changed_names(before: Attributes, after: Attributes) -> list[str]:
    names = (before.keys() | after.keys()) - {"schemas"}
    return sorted(name for name in names if before.get(name) != after.get(name))
