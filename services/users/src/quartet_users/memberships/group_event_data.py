"""Data of events of groups, as far as the users service reads it."""

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
"""Whether the users that an event names belong to the group from then on."""

NESTINGS = {"groups.nesting.added.v1": True, UNNESTED: False}
"""The same of the groups that an event names."""


class GroupFacts(msgspec.Struct, frozen=True, rename="camel"):
    """What is read of every group event's data."""

    id: UUID
    display_name: str


class Reference(msgspec.Struct, frozen=True):
    """A user or a group that an event names."""

    value: UUID


class MembershipFacts(GroupFacts, frozen=True, rename="camel"):
    """What is read of an event about members that joined or left a group."""

    members: list[Reference]


class NestingFacts(GroupFacts, frozen=True, rename="camel"):
    """What is read of an event about groups that joined or left a group."""

    groups: list[Reference]


def _below(event: Event) -> list[UUID]:
    """The groups out of which users may fall by the event: those that left their parent, or the one that is gone."""
    if event.routing_key == DELETED:
        return [_known(event).id]
    return [child.value for child in msgspec.convert(event.data, NestingFacts).groups]


def _joined_or_left(events: Sequence[Event]) -> list[Edge]:
    converted = [(event, msgspec.convert(event.data, MembershipFacts)) for event in events]
    return [
        Edge(user.value, facts.id, event.sequence, MEMBERSHIPS[event.routing_key])
        for event, facts in converted
        for user in facts.members
    ]


def _nested_or_not(events: Sequence[Event]) -> list[Edge]:
    converted = [(event, msgspec.convert(event.data, NestingFacts)) for event in events]
    return [
        Edge(child.value, facts.id, event.sequence, NESTINGS[event.routing_key])
        for event, facts in converted
        for child in facts.groups
    ]


def _known(event: Event, *, deleted: bool = False) -> KnownGroup:
    facts = msgspec.convert(event.data, GroupFacts)
    return KnownGroup(facts.id, event.sequence, deleted, facts.display_name)
