"""Subscriptions of the users service: it stores groups, memberships and nestings from events of the groups service."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from uuid import UUID

from quartet_common.core.caller import Caller
from quartet_common.data.connections import Connection
from quartet_common.messaging.envelope import Event
from quartet_common.messaging.subscriptions import Subscription, by_tenant
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
    detached_groups,
    known_group,
    membership_edges,
    nesting_edges,
)
from quartet_users.roles import grant_store, scope_revocation_store
from quartet_users.roles.scope_revocation import revoking_lost_scopes

EVENTS_AT_ONCE = 20
"""Events of one statement; each has up to 1,000 members."""


def subscriptions(container: AppContainer[UsersConfig]) -> Sequence[Subscription]:
    """One subscription with one handler, which locks all groups of a batch in one order."""
    return [Subscription("groups.*.*.v1", partial(handle_events, container))]


async def handle_events(container: AppContainer[UsersConfig], connection: Connection, events: Sequence[Event]) -> None:
    """Store the newest name, members and deletion of each group.

    Locks tenant by tenant: grants if members left a group with roles, nestings if they change, groups. This order
    prevents deadlocks of workers. Events have versions, so their order does not matter.
    """
    for tenant, own in by_tenant(events):
        kinds: dict[str, list[Event]] = defaultdict(list)
        for event in own:
            kinds[event.routing_key].append(event)
        left = _left(kinds)
        if left and await scope_revocation_store.have_roles(connection, tenant, list(left)):
            caller = _cause(own) or Caller.service(tenant, container.config.client_id)
            users = [edge.member for edge in membership_edges(kinds[LEFT])]
            groups = [
                group for kind in (UNNESTED, DELETED) for event in kinds[kind] for group in detached_groups(event)
            ]
            async with (
                unit_of_work_in(container, connection, caller) as work,
                revoking_lost_scopes(work, users=users, groups=groups),
            ):
                await _apply(connection, tenant, own, kinds)
        else:
            await _apply(connection, tenant, own, kinds)


async def _apply(
    connection: Connection, tenant: str, events: Sequence[Event], kinds: Mapping[str, Sequence[Event]]
) -> None:
    gone = [known_group(event, deleted=True) for event in kinds[DELETED]]
    members = [event for event in events if event.routing_key in MEMBERSHIPS]
    nestings = [event for event in events if event.routing_key in NESTINGS]
    if nestings or gone:
        await membership_store.lock_nestings(connection, tenant)
    named = [known_group(event) for event in (*kinds[CREATED], *kinds[UPDATED], *members, *nestings)]
    await membership_store.upsert_groups(connection, tenant, [*named, *gone])
    for some in _slices(members):
        await membership_store.set_memberships(connection, tenant, membership_edges(some))
    for some in _slices(nestings):
        await membership_store.set_nestings(connection, tenant, nesting_edges(some))
    if gone:
        ids = [group.id for group in gone]
        await membership_store.delete_edges_of_groups(connection, tenant, ids)
        await grant_store.delete_grants_of_groups(connection, tenant, ids)


def _left(kinds: Mapping[str, Sequence[Event]]) -> set[UUID]:
    """The groups that members have left, or that were deleted: roles may be lost by that."""
    return {known_group(event).id for kind in (LEFT, UNNESTED, DELETED) for event in kinds.get(kind, ())}


def _cause(events: Sequence[Event]) -> Caller | None:
    """The caller of `events` if all have the same one, without addresses and user agents, which may differ."""
    callers = {replace(event.caller, source_address=None, user_agent=None) for event in events}
    return callers.pop() if len(callers) == 1 else None


def _slices(events: Sequence[Event]) -> Iterator[Sequence[Event]]:
    return (events[start : start + EVENTS_AT_ONCE] for start in range(0, len(events), EVENTS_AT_ONCE))
