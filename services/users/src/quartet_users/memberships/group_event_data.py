"""The data of group events: the fields that the users service reads, as groups and edges."""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from quartet_common.messaging.envelope import Event
from quartet_users.memberships.membership_domain import Edge, KnownGroup

CREATED = "groups.group.created.v1"

UPDATED = "groups.group.updated.v1"

DELETED = "groups.group.deleted.v1"

LEFT = "groups.membership.removed.v1"

UNNESTED = "groups.nesting.removed.v1"

MEMBERSHIPS = {"groups.membership.added.v1": True, LEFT: False}
"""Whether the users in an event of a type are members of the group after it."""

NESTINGS = {"groups.nesting.added.v1": True, UNNESTED: False}
"""The same for the groups in an event."""


class GroupFacts(msgspec.Struct, frozen=True, rename="camel"):
    """The fields of every group event."""

    id: UUID
    display_name: str


class Reference(msgspec.Struct, frozen=True):
    """A user or a group in an event."""

    value: UUID


class MembershipFacts(GroupFacts, frozen=True, rename="camel"):
    """The fields of an event about users that joined or left a group."""

    members: list[Reference]


class NestingFacts(GroupFacts, frozen=True, rename="camel"):
    """The fields of an event about groups that joined or left a group."""

    groups: list[Reference]


def detached_groups(event: Event) -> list[UUID]:
    """The groups whose members lose a way to roles: those that left their parent, or the deleted one."""
    if event.routing_key == DELETED:
        return [known_group(event).id]
    return [child.value for child in msgspec.convert(event.data, NestingFacts).groups]


def membership_edges(events: Sequence[Event]) -> list[Edge]:
    """The edges of events about users that joined or left groups."""
    converted = [(event, msgspec.convert(event.data, MembershipFacts)) for event in events]
    return [
        Edge(user.value, facts.id, event.sequence, MEMBERSHIPS[event.routing_key])
        for event, facts in converted
        for user in facts.members
    ]


def nesting_edges(events: Sequence[Event]) -> list[Edge]:
    """The edges of events about groups that joined or left groups."""
    converted = [(event, msgspec.convert(event.data, NestingFacts)) for event in events]
    return [
        Edge(child.value, facts.id, event.sequence, NESTINGS[event.routing_key])
        for event, facts in converted
        for child in facts.groups
    ]


def known_group(event: Event, *, deleted: bool = False) -> KnownGroup:
    """The group of an event."""
    facts = msgspec.convert(event.data, GroupFacts)
    return KnownGroup(facts.id, event.sequence, deleted, facts.display_name)
