"""Subscriptions: what the groups service learns of users, as one list and the handlers behind it."""

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

import msgspec

from quartet_common.core.caller import Caller
from quartet_common.data.connections import Connection
from quartet_common.messaging import event_types
from quartet_common.messaging.envelope import Event
from quartet_common.messaging.subscriptions import Subscription
from quartet_common.runtime import tenant_deletion
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.unit_of_work import UnitOfWork, unit_of_work_in
from quartet_groups import group_domain, group_store, member_store
from quartet_groups.config import GroupsConfig

DELETED = "users.user.deleted.v1"


class UserFacts(msgspec.Struct, frozen=True, rename="camel"):
    """What is read of a user event's data."""

    id: UUID
    user_name: str
    display_name: str | None = None


def subscriptions(container: AppContainer[GroupsConfig]) -> Sequence[Subscription]:
    """What the service consumes: one handler for all of users, which locks them once, in one order."""
    return [
        Subscription("users.user.*.v1", UserEvents(container).handle_events),
        Subscription(event_types.TENANT_DELETED, tenant_deletion.handle_events),
    ]


class UserEvents:
    """Handles events of users."""

    def __init__(self, container: AppContainer[GroupsConfig]) -> None:
        self._container = container

    async def handle_events(self, connection: Connection, events: Sequence[Event]) -> None:
        """Keep the newest name of each user, or a tombstone; the deleted ones leave all groups."""
        for tenant, own in _by_tenant(events):
            ordered = sorted(own, key=lambda event: (event.sequence, _is_deleted(event)))
            newest = {event.subject: event for event in ordered}.values()
            learnt = [(*_named(event), event.sequence, _is_deleted(event)) for event in newest]
            await group_store.learn_users(connection, tenant, learnt)
            gone = {_named(event)[0]: event for event in own if _is_deleted(event)}
            if gone:
                own_caller = Caller(tenant, self._container.config.client_id)
                async with unit_of_work_in(self._container, connection, own_caller) as work:
                    await self._leave_groups(work, gone)

    async def _leave_groups(self, work: UnitOfWork, by_user: dict[UUID, Event]) -> None:
        """Take users out of all groups, and publish it in the name of the actor who deleted them."""
        connection, tenant, ids = work.connection, work.tenant, list(by_user)
        locked = await group_store.lock_groups(
            connection, tenant, await member_store.groups_of(connection, tenant, ids)
        )
        groups = {group.id: group for group in locked}
        lost: dict[tuple[UUID, Caller], list[UUID]] = defaultdict(list)
        for group_id, user_id in await member_store.remove_everywhere(connection, tenant, ids):
            cause = by_user[user_id]
            lost[group_id, Caller(tenant, cause.actorid, cause.sourceip)].append(user_id)
        for (group_id, caller), users in lost.items():
            groups[group_id], events = group_domain.lose_members(groups[group_id], users, work.now())
            work.on_behalf_of(caller).publish(events)
        await group_store.touch_groups(connection, tenant, list(groups.values()))


def _is_deleted(event: Event) -> bool:
    return event.routing_key == DELETED


def _named(event: Event) -> tuple[UUID, str]:
    facts = msgspec.convert(event.data, UserFacts)
    return facts.id, facts.display_name or ""


def _by_tenant(events: Sequence[Event]) -> list[tuple[str, list[Event]]]:
    """In one order, so that two who apply events cannot block each other."""
    found: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        found[event.tenantid].append(event)
    return sorted(found.items())
