"""Lost scopes: whose tokens are refused when roles, groups and nestings change, whatever the order of the news."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quartet_common.core.caller import Caller
from quartet_common.core.clock import utc_now
from quartet_common.core.errors import HeldError
from quartet_common.core.identifiers import new_id
from quartet_common.messaging.envelope import Event
from quartet_common.messaging.event_types import REVOKED
from quartet_common.messaging.subscriptions import dispatch
from quartet_testing.group_events import GroupEvents
from quartet_testing.roles import RoleAdmin, log_in
from quartet_testing.services import RunningService, new_tenant
from quartet_users.groups_client import NoGroups
from quartet_users.roles import grant_store, role_domain, role_store, role_usecases, scope_revocation
from quartet_users.roles.role_domain import GranteeType
from quartet_users.roles.role_usecases import Decider, RoleChange
from quartet_users.subscriptions import subscriptions
from quartet_users.users import user_store
from quartet_users.users.user_domain import User


async def receive(users: RunningService, *events: Event) -> None:
    async with users.container.database.transaction() as connection:
        await dispatch(connection, subscriptions(users.container), events)


async def test_a_user_who_loses_a_scope_has_its_tokens_refused_at_once_unless_another_grant_has_it(
    users: RunningService, admin: RoleAdmin, tenant: str
) -> None:
    one, same = [await admin.role(name, "audit:read") for name in ("one", "same")]
    user, lucky = [await admin.user(name) for name in ("user", "lucky")]
    for who in (user, lucky):
        await admin.give(one, who)
    await admin.give(same, lucky)
    token = users.tokens.headers(tenant, ("tenant:admin",), user, client_id="quartet-cli")
    assert (await admin.send("GET", "/users/roles", headers=token))[0] == 200
    assert (await admin.send("DELETE", f"/users/roles/{one}/grants/{user}"))[0] == 204
    assert (await admin.send("GET", "/users/roles", headers=token))[0] == 401
    assert (await admin.send("DELETE", f"/users/roles/{one}"))[0] == 204
    assert await admin.revoked() == [UUID(user)]


async def test_a_role_with_fewer_scopes_revokes_and_one_with_more_does_not(admin: RoleAdmin) -> None:
    role, user = await admin.role("r", "audit:read"), await admin.user()
    await admin.give(role, user)
    for wanted in (["audit:read", "users:read"], ["users:read", "audit:read", "groups:read"]):
        assert (await admin.send("PATCH", f"/users/roles/{role}", {"scopes": wanted}))[0] == 200
    assert await admin.revoked() == []
    assert (await admin.send("PATCH", f"/users/roles/{role}", {"scopes": ["users:read"]}))[0] == 200
    assert await admin.revoked() == [UUID(user)]


async def test_a_deleted_group_takes_its_roles_along_and_a_deleted_user_its_grants(
    users: RunningService, admin: RoleAdmin, tenant: str
) -> None:
    role, user, group, published = (
        await admin.role("r", "users:read"),
        await admin.user(),
        new_id(),
        GroupEvents(tenant),
    )
    await receive(users, published.users("added", group, 1, UUID(user)))
    await admin.give(role, str(group), "Group")
    await admin.give(role, await admin.user("other"))
    await receive(users, published.deleted(group, 2))
    assert await admin.revoked() == [UUID(user)]
    assert await admin.scopes(user) == []
    _, shown = await admin.send("GET", f"/users/roles/{role}/grants")
    [left] = shown["grants"]
    assert left["display"] == "other"
    assert (await admin.send("DELETE", f"/scim/v2/Users/{left['id']}"))[0] == 204
    _, shown = await admin.send("GET", f"/users/roles/{role}/grants")
    assert shown["grants"] == []


async def test_an_end_of_nesting_revokes_tokens_of_members_below_unless_another_path_remains(
    users: RunningService, admin: RoleAdmin, tenant: str
) -> None:
    role, published = await admin.role("r", "audit:read"), GroupEvents(tenant)
    deep, lucky = [UUID(await admin.user(name)) for name in ("deep", "lucky")]
    guides, staff, everybody = (new_id() for _ in range(3))
    await receive(
        users, published.users("added", guides, 1, deep, lucky), published.users("added", everybody, 1, lucky)
    )
    await receive(users, published.groups("added", staff, 1, guides), published.groups("added", everybody, 2, staff))
    await admin.give(role, everybody, "Group")
    assert await admin.scopes(deep) == ["audit:read"]
    for _ in range(2):
        await receive(users, published.groups("removed", everybody, 3, staff))
        assert await admin.revoked() == [deep]
    assert (await admin.scopes(deep), await admin.scopes(lucky)) == ([], ["audit:read"])


async def test_users_who_cannot_have_valid_tokens_get_no_revocation(
    users: RunningService, admin: RoleAdmin, tenant: str
) -> None:
    role = await admin.role("r", "audit:read")
    long_ago, never, lately = [await admin.user(name, logged_in=False) for name in ("long ago", "never", "lately")]
    await log_in(users, tenant, UUID(long_ago), hours_ago=2.1)
    await log_in(users, tenant, UUID(lately), hours_ago=1)
    for one in (long_ago, never, lately):
        await admin.give(role, one)
    assert (await admin.send("DELETE", f"/users/roles/{role}"))[0] == 204
    assert await admin.revoked() == [UUID(lately)]


async def test_a_change_of_many_users_leaves_the_others_to_the_worker(
    users: RunningService, admin: RoleAdmin, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scope_revocation, "AT_ONCE", 2)
    role, group, published = await admin.role("r", "audit:read"), new_id(), GroupEvents(tenant)
    people = [UUID(await admin.user(f"u{number}")) for number in range(5)]
    await receive(users, published.users("added", group, 1, *people))
    await admin.give(role, str(group), "Group")
    assert (await admin.send("DELETE", f"/users/roles/{role}"))[0] == 204
    assert len(await admin.revoked()) == 2
    await scope_revocation.revoke_remaining(users.container)
    assert sorted(await admin.revoked()) == sorted(people)
    revoked = [event for event in await users.outbox(tenant) if event.routing_key == REVOKED]
    assert {event.actorid for event in revoked} == {"hr-sync"}
    assert [event.actortype for event in revoked] == ["client"] * 2 + [None] * 3, "the worker knows the actor's id only"


async def test_a_user_who_has_the_scope_again_before_the_worker_runs_keeps_the_tokens(
    users: RunningService, admin: RoleAdmin, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scope_revocation, "AT_ONCE", 1)
    role, same = [await admin.role(name, "audit:read") for name in ("r", "same")]
    people = [await admin.user(f"u{number}") for number in range(3)]
    for one in people:
        await admin.give(role, one)
    assert (await admin.send("DELETE", f"/users/roles/{role}"))[0] == 204
    [first] = await admin.revoked()
    lucky, other = [UUID(one) for one in people if UUID(one) != first]
    await admin.give(same, lucky)
    await scope_revocation.revoke_remaining(users.container)
    assert await admin.revoked() == [first, other]


async def test_reading_scopes_for_a_token_raises_held_error_while_they_are_removed(
    users: RunningService, admin: RoleAdmin, tenant: str
) -> None:
    role, user = await admin.role("r", "audit:read"), await admin.user()
    await admin.give(role, user)
    database = users.container.database
    async with database.transaction() as taking:
        await role_store.lock_scopes(taking, tenant)
        await grant_store.revoke(taking, tenant, UUID(role), UUID(user))
        with pytest.raises(HeldError):
            async with database.transaction() as asking:
                await role_store.scopes_of_user(asking, tenant, UUID(user))
    async with database.transaction() as asking:
        assert await role_store.scopes_of_user(asking, tenant, UUID(user)) == frozenset()


USERS, GROUPS, ROLES = 3, 3, 3
UNDONE = {"join": "leave", "nest": "unnest"}
SCOPES = ("users:read", "users:write", "groups:read", "audit:read")


@dataclass
class Oracle:
    """What the users service must hold, in plain Python: edges by their versions, roles, and who has them."""

    members: dict[tuple[int, int], tuple[int, bool]] = field(default_factory=dict)
    nested: dict[tuple[int, int], tuple[int, bool]] = field(default_factory=dict)
    gone: set[int] = field(default_factory=set)
    roles: dict[int, frozenset[str]] = field(default_factory=dict)
    grants: set[tuple[int, GranteeType, int]] = field(default_factory=set)

    def scopes(self, user: int) -> set[str]:
        """What the user has."""
        reached = {group for (one, group), (_, present) in self.members.items() if one == user and present}
        for _ in range(GROUPS):
            reached |= {high for (low, high), (_, present) in self.nested.items() if present and low in reached}
        has = {
            role
            for role, kind, one in self.grants
            if (kind == "User" and one == user) or (kind == "Group" and one in reached)
        }
        return {scope for role in has for scope in self.roles[role]}

    def hear(self, news: "Sequence[News]") -> None:
        """A batch of events: the newest of each edge counts, and what is deleted stays so."""
        self.gone |= {one.group for one in news if one.kind == "delete"}
        for one in sorted(news, key=lambda one: one.version):
            edges = self.members if one.kind in ("join", "leave") else self.nested
            edge = (one.other, one.group)
            is_over = one.group in self.gone or (edges is self.nested and one.other in self.gone)
            if one.kind != "delete" and not is_over and edges.get(edge, (0, False))[0] < one.version:
                edges[edge] = (one.version, one.kind in ("join", "nest"))
        self.members = {edge: state for edge, state in self.members.items() if edge[1] not in self.gone}
        self.nested = {edge: state for edge, state in self.nested.items() if not self.gone.intersection(edge)}
        self.grants = {one for one in self.grants if one[1] == "User" or one[2] not in self.gone}


@dataclass(frozen=True)
class News:
    """An event of a group: a user joins or leaves, a group is nested or not any more, the group is deleted."""

    kind: str
    group: int
    other: int
    version: int


@dataclass
class World:
    """A tenant with users, groups and roles, beside its oracle."""

    users: RunningService
    tenant: str = field(default_factory=new_tenant)
    people: Sequence[UUID] = field(default_factory=lambda: [new_id() for _ in range(USERS)])
    groups: Sequence[UUID] = field(default_factory=lambda: [new_id() for _ in range(GROUPS)])
    roles: dict[int, UUID] = field(default_factory=dict)
    oracle: Oracle = field(default_factory=Oracle)

    @property
    def who(self) -> Decider:
        """The administrator."""
        return Decider(Caller(self.tenant, "hr"), frozenset({"tenant:admin"}))

    async def begin(self) -> None:
        """Users and groups that nothing belongs to yet, and roles that nobody has."""
        container = self.users.container
        made = [User(one, {"schemas": ["x"], "userName": str(one)}, 1, utc_now(), utc_now()) for one in self.people]
        async with container.database.transaction() as connection:
            await user_store.insert_users(connection, self.tenant, made)
        await log_in(self.users, self.tenant, *self.people)
        await receive(self.users, *(GroupEvents(self.tenant).created(group) for group in self.groups))
        for place in range(ROLES):
            role = role_domain.create(f"role {place}", "", SCOPES[place : place + 2], utc_now())
            await role_usecases.create_role(container, self.who, role)
            self.roles[place], self.oracle.roles[place] = role.id, role.scopes

    async def hear(self, news: Sequence[News]) -> None:
        """A batch of events comes."""
        await receive(self.users, *(self.event(one) for one in news))
        self.oracle.hear(news)

    def event(self, one: News) -> Event:
        """The event that tells it."""
        published, group = GroupEvents(self.tenant), self.groups[one.group]
        if one.kind == "delete":
            return published.deleted(group, one.version)
        kind = "added" if one.kind in ("join", "nest") else "removed"
        if one.kind in ("join", "leave"):
            return published.users(kind, group, one.version, self.people[one.other])
        return published.groups(kind, group, one.version, self.groups[one.other])

    async def give(self, role: int, kind: GranteeType, place: int) -> None:
        """A role is given."""
        if role in self.oracle.roles and not (kind == "Group" and place in self.oracle.gone):
            grantee = (self.people if kind == "User" else self.groups)[place]
            await role_usecases.give_role(self.users.container, NoGroups(), self.who, self.roles[role], kind, grantee)
            self.oracle.grants.add((role, kind, place))

    async def take(self, role: int, kind: GranteeType, place: int) -> None:
        """A role is taken."""
        if (role, kind, place) in self.oracle.grants:
            grantee = (self.people if kind == "User" else self.groups)[place]
            await role_usecases.take_role(self.users.container, self.who, self.roles[role], grantee)
            self.oracle.grants.discard((role, kind, place))

    async def change(self, role: int, scopes: frozenset[str]) -> None:
        """A role gets other scopes."""
        if role in self.oracle.roles:
            await role_usecases.change_role(self.users.container, self.who, self.roles[role], RoleChange(scopes=scopes))
            self.oracle.roles[role] = scopes

    async def remove(self, role: int) -> None:
        """A role is removed."""
        if role in self.oracle.roles:
            await role_usecases.delete_role(self.users.container, self.who, self.roles[role])
            self.oracle.grants = {one for one in self.oracle.grants if one[0] != role}
            del self.oracle.roles[role]

    async def revoked(self) -> list[UUID]:
        """The subjects of published revocations, in order."""
        published = await self.users.outbox(self.tenant)
        return [UUID(event.data["id"]) for event in published if event.routing_key == REVOKED]

    async def check(self, story: object) -> None:
        """Scopes are the oracle's."""
        async with self.users.container.database.connection() as connection:
            for place, user in enumerate(self.people):
                assert await role_store.scopes_of_user(connection, self.tenant, user) == self.oracle.scopes(place), (
                    story
                )
            assert await connection.fetchval("SELECT count(*) FROM scope_losses WHERE tenant_id = $1", self.tenant) == 0


@st.composite
def stories(draw: st.DrawFn) -> list[tuple[object, ...]]:
    """Steps: changes of roles, and batches of news in any order, some of which come again."""
    place = st.integers(0, GROUPS - 1)
    kinds = st.sampled_from(["join", "join", "join", "nest", "nest", "nest", "undo", "undo", "undo", "delete"])
    # something is there from the start: each user in a group, and a chain of groups
    news = [News("join", draw(place), user, 2 + user) for user in range(USERS)]
    news += [News("nest", low + 1, low, 10 + low) for low in range(GROUPS - 1)]
    drawn = draw(st.lists(st.tuples(kinds, place, place), min_size=3, max_size=20))
    for version, (kind, group, other) in enumerate(drawn, 20):
        begun = [one for one in news if one.kind in UNDONE]
        if kind == "undo" and begun:  # what has begun ends, so that it often has an effect
            last = begun[(group * GROUPS + other) % len(begun)]
            news.append(replace(last, kind=UNDONE[last.kind], version=version))
        elif kind == "join" or (kind in ("nest", "delete") and group != other):
            news.append(News(kind, group, other % USERS if kind == "join" else other, version))
    again = draw(st.lists(st.sampled_from(news), max_size=6)) if news else []
    order = draw(st.permutations([*news, *again])) if draw(st.booleans()) else [*news, *again]
    grantee = st.one_of(st.tuples(st.just("User"), st.integers(0, USERS - 1)), st.tuples(st.just("Group"), place))
    role = st.integers(0, ROLES - 1)
    some = st.frozensets(st.sampled_from(SCOPES), min_size=1)
    change = st.one_of(
        st.tuples(st.just("give"), role, grantee),
        st.tuples(st.just("give"), role, grantee),
        st.tuples(st.just("take"), role, grantee),
        st.tuples(st.just("change"), role, some),
        st.tuples(st.just("remove"), role),
    )
    steps: list[tuple[object, ...]] = [
        ("give", one, who) for one, who in draw(st.lists(st.tuples(role, grantee), max_size=4))
    ]
    while order:
        size = draw(st.integers(1, 5))
        steps.append(("hear", order[:size]))
        order = order[size:]
        steps += draw(st.lists(change, max_size=2))
    return steps


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(story=stories())
async def test_whatever_happens_scopes_and_refused_tokens_are_those_of_the_oracle(
    users: RunningService, story: list[tuple[object, ...]]
) -> None:
    world = World(users)
    await world.begin()
    published = 0
    for step in story:
        before = [world.oracle.scopes(place) for place in range(USERS)]
        await carry_out(world, step)
        after = [world.oracle.scopes(place) for place in range(USERS)]
        lost = {world.people[place] for place in range(USERS) if before[place] - after[place]}
        found = await world.revoked()
        assert set(found[published:]) == lost, step
        assert len(found[published:]) == len(lost)
        published = len(found)
        await world.check(story)


async def carry_out(world: World, step: tuple[object, ...]) -> None:
    match step:
        case ("hear", list() as news):
            await world.hear(news)
        case ("give", int() as role, (("User" | "Group") as kind, int() as place)):
            await world.give(role, kind, place)
        case ("take", int() as role, (("User" | "Group") as kind, int() as place)):
            await world.take(role, kind, place)
        case ("change", int() as role, frozenset() as scopes):
            await world.change(role, scopes)
        case ("remove", int() as role):
            await world.remove(role)
        case _:
            raise AssertionError(step)
