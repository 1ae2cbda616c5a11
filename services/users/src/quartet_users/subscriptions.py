"""Subscriptions: what the users service learns of groups, as one list and the handlers behind it."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from uuid import UUID

import msgspec

from quartet_common.database import Connection
from quartet_common.messaging.envelope import Event
from quartet_common.messaging.subscriptions import Subscription
from quartet_users import memberships
from quartet_users.memberships import Edge, KnownGroup

EVENTS_AT_ONCE = 20
"""Events that are applied by one statement: each names up to 1,000 members."""


class GroupFacts(msgspec.Struct, frozen=True, rename="camel"):
    """What is read of every group event's data."""

    id: UUID
    display_name: str


class Reference(msgspec.Struct, frozen=True):
    """A user or a group that an event names."""

    value: UUID


class MembershipFacts(GroupFacts, frozen=True, rename="camel"):
    """What is read of an event that tells who joined or left a group."""

    members: list[Reference]


class NestingFacts(GroupFacts, frozen=True, rename="camel"):
    """What is read of an event that tells which groups joined or left a group."""

    groups: list[Reference]


def subscriptions() -> Sequence[Subscription]:
    """What the service consumes."""
    return [
        Subscription("groups.group.created.v1", named),
        Subscription("groups.group.updated.v1", named),
        Subscription("groups.membership.added.v1", users_joined),
        Subscription("groups.membership.removed.v1", users_left),
        Subscription("groups.nesting.added.v1", groups_joined),
        Subscription("groups.nesting.removed.v1", groups_left),
        Subscription("groups.group.deleted.v1", deleted),
    ]


async def named(connection: Connection, events: Sequence[Event]) -> None:
    """Keep the newest name of each group."""
    for tenant, own in _by_tenant(events):
        await memberships.learn_groups(connection, tenant, map(_known, own))


async def users_joined(connection: Connection, events: Sequence[Event]) -> None:
    """Keep who belongs to a group."""
    await _set_memberships(connection, events, present=True)


async def users_left(connection: Connection, events: Sequence[Event]) -> None:
    """Keep who does not belong to a group any more."""
    await _set_memberships(connection, events, present=False)


async def groups_joined(connection: Connection, events: Sequence[Event]) -> None:
    """Keep which groups belong to a group."""
    await _set_nestings(connection, events, present=True)


async def groups_left(connection: Connection, events: Sequence[Event]) -> None:
    """Keep which groups do not belong to a group any more."""
    await _set_nestings(connection, events, present=False)


async def deleted(connection: Connection, events: Sequence[Event]) -> None:
    """Leave a tombstone of each group, and nothing else."""
    for tenant, own in _by_tenant(events):
        await memberships.lock_nestings(connection, tenant)
        gone = [_known(event, deleted=True) for event in own]
        await memberships.learn_groups(connection, tenant, gone)
        await memberships.forget_groups(connection, tenant, [group.id for group in gone])


async def _set_memberships(connection: Connection, events: Sequence[Event], *, present: bool) -> None:
    for tenant, own in _by_tenant(events):
        await memberships.learn_groups(connection, tenant, map(_known, own))
        for some in _slices(own):
            told = [(event.sequence, msgspec.convert(event.data, MembershipFacts)) for event in some]
            edges = [Edge(user.value, facts.id, version, present) for version, facts in told for user in facts.members]
            await memberships.set_memberships(connection, tenant, edges)


async def _set_nestings(connection: Connection, events: Sequence[Event], *, present: bool) -> None:
    for tenant, own in _by_tenant(events):
        await memberships.lock_nestings(connection, tenant)
        await memberships.learn_groups(connection, tenant, map(_known, own))
        for some in _slices(own):
            told = [(event.sequence, msgspec.convert(event.data, NestingFacts)) for event in some]
            edges = [Edge(child.value, facts.id, version, present) for version, facts in told for child in facts.groups]
            await memberships.set_nestings(connection, tenant, edges)


def _slices(events: Sequence[Event]) -> Iterator[Sequence[Event]]:
    return (events[start : start + EVENTS_AT_ONCE] for start in range(0, len(events), EVENTS_AT_ONCE))


def _known(event: Event, *, deleted: bool = False) -> KnownGroup:
    facts = msgspec.convert(event.data, GroupFacts)
    return KnownGroup(facts.id, event.sequence, deleted, facts.display_name)


def _by_tenant(events: Sequence[Event]) -> list[tuple[str, list[Event]]]:
    found: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        found[event.tenantid].append(event)
    return sorted(found.items())
