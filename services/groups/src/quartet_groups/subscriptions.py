"""Subscriptions: what the groups service learns of users, as one list and the handlers behind it."""

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

import msgspec

from quartet_common.container import AppContainer
from quartet_common.database import Connection
from quartet_common.messaging import outbox
from quartet_common.messaging.envelope import Event
from quartet_common.messaging.outbox import Caller
from quartet_common.messaging.subscriptions import Subscription
from quartet_groups import domain, member_store, store
from quartet_groups.config import GroupsConfig


class UserFacts(msgspec.Struct, frozen=True, rename="camel"):
    """What is read of a user event's data."""

    id: UUID
    user_name: str
    display_name: str | None = None


def subscriptions(container: AppContainer[GroupsConfig]) -> Sequence[Subscription]:
    """What the service consumes."""
    handlers = UserEvents(container)
    return [
        Subscription("users.user.created.v1", handlers.changed),
        Subscription("users.user.updated.v1", handlers.changed),
        Subscription("users.user.deleted.v1", handlers.deleted),
    ]


class UserEvents:
    """Applies what happened to users."""

    def __init__(self, container: AppContainer[GroupsConfig]) -> None:
        self._container = container

    async def changed(self, connection: Connection, events: Sequence[Event]) -> None:
        """Keep the newest name of each user."""
        for tenant, own in _by_tenant(events).items():
            newest = {event.subject: event for event in sorted(own, key=lambda event: event.sequence)}
            await store.learn_users(
                connection, tenant, [(*_named(event), event.sequence, False) for event in newest.values()]
            )

    async def deleted(self, connection: Connection, events: Sequence[Event]) -> None:
        """Leave a tombstone, take the users out of all groups, and tell of it in the name of who deleted them."""
        for tenant, own in _by_tenant(events).items():
            await store.learn_users(connection, tenant, [(*_named(event), event.sequence, True) for event in own])
            by_user = {_named(event)[0]: event for event in own}
            await self._leave_groups(connection, tenant, by_user)

    async def _leave_groups(self, connection: Connection, tenant: str, by_user: dict[UUID, Event]) -> None:
        ids = list(by_user)
        locked = await store.lock_groups(connection, tenant, await member_store.groups_of(connection, tenant, ids))
        groups = {group.id: group for group in locked}
        now = self._container.clock()
        for group_id, user_id in await member_store.remove_everywhere(connection, tenant, ids):
            groups[group_id], told = domain.lose_members(groups[group_id], [user_id], now)
            cause = by_user[user_id]
            caller = Caller(tenant, cause.actorid, cause.sourceip)
            await outbox.add(connection, caller, told, now=now, service=self._container.config.service)
        await store.touch_groups(connection, tenant, list(groups.values()))


def _named(event: Event) -> tuple[UUID, str]:
    facts = msgspec.convert(event.data, UserFacts)
    return facts.id, facts.display_name or ""


def _by_tenant(events: Sequence[Event]) -> dict[str, list[Event]]:
    found: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        found[event.tenantid].append(event)
    return found
