"""Subscriptions: what the users service learns of groups, as one list and the handlers behind it."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from uuid import UUID

from quartet_common.core.caller import Caller
from quartet_common.data.connections import Connection
from quartet_common.messaging.envelope import Event
from quartet_common.messaging.subscriptions import Subscription
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.unit_of_work import unit_of_work_in
from quartet_users.config import UsersConfig
from quartet_users.memberships import membership_store
from quartet_users.memberships.group_event_data import (
    CREATED,
    DELETED,
    LEFT,
    MEMBERSHIPS,
    NESTINGS,
    UNNESTED,
    UPDATED,
    _below,
    _joined_or_left,
    _known,
    _nested_or_not,
)
from quartet_users.roles import role_store, scope_revocation_store
from quartet_users.roles.scope_revocation import watching

EVENTS_AT_ONCE = 20
"""Events that are applied by one statement: each names up to 1,000 members."""


def subscriptions(container: AppContainer[UsersConfig]) -> Sequence[Subscription]:
    """What the service consumes: one handler for all, which locks groups once, in one order."""
    return [Subscription("groups.*.*.v1", partial(handle_events, container))]


async def handle_events(container: AppContainer[UsersConfig], connection: Connection, events: Sequence[Event]) -> None:
    """Keep the newest of each group: its name, who belongs to it, or that it was deleted.

    Locks by tenant: the roles, if any group is left; the nestings, if they change; the groups. So two who apply events
    cannot block each other. Events carry versions, so it does not matter that they are not applied in the order in
    which they came.
    """
    for tenant, own in _by_tenant(events):
        kinds: dict[str, list[Event]] = defaultdict(list)
        for event in own:
            kinds[event.routing_key].append(event)
        left = _left(kinds)
        if left and await scope_revocation_store.are_given_roles(connection, tenant, list(left)):
            caller = Caller(tenant, _actor(own, container.config.client_id))
            users = [edge.member for edge in _joined_or_left(kinds[LEFT])]
            groups = [group for kind in (UNNESTED, DELETED) for event in kinds[kind] for group in _below(event)]
            async with (
                unit_of_work_in(container, connection, caller) as work,
                watching(work, users=users, groups=groups),
            ):
                await _apply(connection, tenant, own, kinds)
        else:
            await _apply(connection, tenant, own, kinds)


async def _apply(
    connection: Connection, tenant: str, events: Sequence[Event], kinds: Mapping[str, Sequence[Event]]
) -> None:
    gone = [_known(event, deleted=True) for event in kinds[DELETED]]
    members = [event for event in events if event.routing_key in MEMBERSHIPS]
    nestings = [event for event in events if event.routing_key in NESTINGS]
    if nestings or gone:
        await membership_store.lock_nestings(connection, tenant)
    named = [_known(event) for event in (*kinds[CREATED], *kinds[UPDATED], *members, *nestings)]
    await membership_store.learn_groups(connection, tenant, [*named, *gone])
    for some in _slices(members):
        await membership_store.set_memberships(connection, tenant, _joined_or_left(some))
    for some in _slices(nestings):
        await membership_store.set_nestings(connection, tenant, _nested_or_not(some))
    if gone:
        ids = [group.id for group in gone]
        await membership_store.forget_groups(connection, tenant, ids)
        await role_store.forget_grantees(connection, tenant, ids)


def _left(kinds: Mapping[str, Sequence[Event]]) -> set[UUID]:
    """The groups that users or groups have left, or that are gone: through them roles may be lost."""
    return {_known(event).id for kind in (LEFT, UNNESTED, DELETED) for event in kinds.get(kind, ())}


def _actor(events: Sequence[Event], otherwise: str) -> str:
    """Who caused `events`, if it was one."""
    actors = {event.actorid for event in events}
    return actors.pop() if len(actors) == 1 else otherwise


def _slices(events: Sequence[Event]) -> Iterator[Sequence[Event]]:
    return (events[start : start + EVENTS_AT_ONCE] for start in range(0, len(events), EVENTS_AT_ONCE))


def _by_tenant(events: Sequence[Event]) -> list[tuple[str, list[Event]]]:
    found: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        found[event.tenantid].append(event)
    return sorted(found.items())
