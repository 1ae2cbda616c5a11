"""The groups of users whatever the order: events that are shuffled and repeated end where the commands ended."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quartet_common.core.identifiers import new_id
from quartet_common.messaging.envelope import Event
from quartet_common.messaging.subscriptions import dispatch
from quartet_testing.group_events import GroupEvents
from quartet_testing.services import RunningService, new_tenant
from quartet_users.subscriptions import subscriptions
from quartet_users.users import user_store
from quartet_users.users.user_domain import User

USERS, GROUPS = 3, 4

Command = tuple[str, int, int]


@dataclass
class Model:
    """The groups service in little: what belongs to what, and the events of each change."""

    published: GroupEvents
    users: Sequence[UUID] = field(default_factory=lambda: [new_id() for _ in range(USERS)])
    groups: Sequence[UUID] = field(default_factory=lambda: [new_id() for _ in range(GROUPS)])
    versions: dict[int, int] = field(default_factory=dict)
    members: set[tuple[int, int]] = field(default_factory=set)
    nested: set[tuple[int, int]] = field(default_factory=set)
    gone: set[int] = field(default_factory=set)
    events: list[Event] = field(default_factory=list)

    def run(self, command: Command) -> None:
        """Carry one command out, if it can be."""
        what, group, other = command
        if group in self.gone or (what in ("nest", "unnest") and other in self.gone):
            return
        version = self.versions[group] = self.versions.get(group, 0) + 1
        uuid = self.groups[group]
        if what == "join":
            self.members.add((other % USERS, group))
            self.events.append(self.published.users("added", uuid, version, self.users[other % USERS]))
        elif what == "leave":
            self.members.discard((other % USERS, group))
            self.events.append(self.published.users("removed", uuid, version, self.users[other % USERS]))
        elif what == "nest" and group not in self.below(group, other):
            self.nested.add((other, group))
            self.events.append(self.published.groups("added", uuid, version, self.groups[other]))
        elif what == "unnest":
            self.nested.discard((other, group))
            self.events.append(self.published.groups("removed", uuid, version, self.groups[other]))
        elif what == "rename":
            self.events.append(self.published.updated(uuid, version))
        elif what == "delete":
            self.delete(group, version)

    def below(self, parent: int, child: int) -> set[int]:
        """Where the child may not go: what is below it, and itself."""
        found = {child}
        for _ in self.groups:
            found |= {low for low, high in self.nested if high in found}
        return found if parent != child else {parent}

    def delete(self, group: int, version: int) -> None:
        """The group is gone, with its members and its place."""
        gone = [user for user, one in self.members if one == group]
        self.events += [self.published.users("removed", self.groups[group], version, self.users[user]) for user in gone]
        self.events.append(self.published.deleted(self.groups[group], version))
        self.members = {(user, one) for user, one in self.members if one != group}
        self.nested = {pair for pair in self.nested if group not in pair}
        self.gone.add(group)

    def groups_of(self, user: int) -> dict[tuple[UUID, str], str]:
        """Name and type of each group of the user, as it must be shown."""
        direct = {group for one, group in self.members if one == user}
        reached = set(direct)
        for _ in self.groups:
            reached |= {high for low, high in self.nested if low in reached}
        last = {event.data["id"]: event for event in sorted(self.events, key=lambda event: event.sequence)}
        names = {group: last[str(self.groups[group])].data["displayName"] for group in reached}
        return {(self.groups[group], names[group]): "direct" if group in direct else "indirect" for group in reached}


COMMANDS = st.lists(
    st.tuples(
        st.sampled_from(["join", "join", "nest", "nest", "leave", "unnest", "rename", "delete"]),
        st.integers(0, GROUPS - 1),
        st.integers(0, GROUPS - 1),
    ),
    min_size=3,
    max_size=25,
)


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(commands=COMMANDS, data=st.data())
async def test_whatever_the_order_of_deliveries_the_end_is_the_same(
    users: RunningService, commands: list[Command], data: st.DataObject
) -> None:
    tenant = new_tenant()
    model = Model(GroupEvents(tenant))
    await insert(users, tenant, model.users)
    for command in commands:
        model.run(command)
    again = data.draw(st.lists(st.sampled_from(model.events), max_size=10)) if model.events else []
    deliveries = data.draw(st.permutations([*model.events, *again]))
    size = data.draw(st.integers(1, 30))
    for start in range(0, len(deliveries), size):
        await receive(users, deliveries[start : start + size])
    for number, user in enumerate(model.users):
        assert await shown(users, tenant, user) == model.groups_of(number)


async def receive(users: RunningService, events: Sequence[Event]) -> None:
    async with users.container.database.transaction() as connection:
        await dispatch(connection, subscriptions(users.container), events)


async def insert(users: RunningService, tenant: str, ids: Sequence[UUID]) -> None:
    """Make users without a request."""
    now = datetime.now(UTC)
    async with users.container.database.transaction() as connection:
        for one in ids:
            assert await user_store.insert_user(connection, tenant, User(one, {"userName": str(one)}, 1, now, now))


async def shown(users: RunningService, tenant: str, user: UUID) -> dict[tuple[UUID, str], str]:
    """Name and type of each group of the user, as it is shown."""
    headers = users.tokens.headers(tenant, ["users:read"])
    response = await users.client.get(f"/scim/v2/Users/{user}", headers=headers)
    groups = (await response.get_json(force=True)).get("groups", [])
    found = {(UUID(one["value"]), one["display"]): one["type"] for one in groups}
    assert len(found) == len(groups)
    return found
