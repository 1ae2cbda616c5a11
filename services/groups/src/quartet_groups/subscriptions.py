"""Subscriptions of the groups service: it stores names and deletions of users from events of the users service."""

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

import msgspec

from quartet_common.core.caller import Caller
from quartet_common.data.connections import Connection
from quartet_common.messaging import event_types
from quartet_common.messaging.envelope import Event
from quartet_common.messaging.subscriptions import Subscription, by_tenant
from quartet_common.runtime import tenant_deletion
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.unit_of_work import UnitOfWork, unit_of_work_in
from quartet_groups import group_domain, group_store, member_store
from quartet_groups.config import GroupsConfig

DELETED = "users.user.deleted.v1"


class UserFacts(msgspec.Struct, frozen=True, rename="camel"):
    """The fields of a user event."""

    id: UUID
    user_name: str
    display_name: str | None = None


def subscriptions(container: AppContainer[GroupsConfig]) -> Sequence[Subscription]:
    """One handler for all user events, which locks users once, in one order; and that of deleted tenants."""
    return [
        Subscription("users.user.*.v1", UserEvents(container).handle_events),
        Subscription(event_types.TENANT_DELETED, tenant_deletion.handle_events),
    ]


class UserEvents:
    """Handles events of users."""

    def __init__(self, container: AppContainer[GroupsConfig]) -> None:
        self._container = container

    async def handle_events(self, connection: Connection, events: Sequence[Event]) -> None:
        """Store the newest name of each user, or a tombstone; removes deleted users from all groups."""
        for tenant, own in by_tenant(events):
            ordered = sorted(own, key=lambda event: (event.sequence, _is_deleted(event)))
            newest = {event.subject: event for event in ordered}.values()
            users = [(*_id_and_name(event), event.sequence, _is_deleted(event)) for event in newest]
            await group_store.upsert_users(connection, tenant, users)
            gone = {_id_and_name(event)[0]: event for event in own if _is_deleted(event)}
            if gone:
                own_caller = Caller.service(tenant, self._container.config.client_id)
                async with unit_of_work_in(self._container, connection, own_caller) as work:
                    await self._leave_groups(work, gone)

    async def _leave_groups(self, work: UnitOfWork, by_user: dict[UUID, Event]) -> None:
        """Remove users from all groups, and publish it with the actor who deleted them."""
        connection, tenant, ids = work.connection, work.tenant, list(by_user)
        locked = await group_store.lock_groups(
            connection, tenant, await member_store.groups_of(connection, tenant, ids)
        )
        groups = {group.id: group for group in locked}
        lost: dict[tuple[UUID, Caller], list[UUID]] = defaultdict(list)
        for group_id, user_id in await member_store.remove_everywhere(connection, tenant, ids):
            lost[group_id, by_user[user_id].caller].append(user_id)
        for (group_id, caller), users in lost.items():
            groups[group_id], events = group_domain.lose_members(groups[group_id], users, work.now())
            work.on_behalf_of(caller).publish(events)
        await group_store.touch_groups(connection, tenant, list(groups.values()))


def _is_deleted(event: Event) -> bool:
    return event.routing_key == DELETED


def _id_and_name(event: Event) -> tuple[UUID, str]:
    facts = msgspec.convert(event.data, UserFacts)
    return facts.id, facts.display_name or ""
