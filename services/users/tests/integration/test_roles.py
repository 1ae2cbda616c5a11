"""Roles over HTTP: who may make, change and give them, and what follows for people."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest

from quartet_common.core.caller import Caller
from quartet_common.core.errors import UnavailableError
from quartet_common.core.identifiers import SYSTEM_TENANT, new_id
from quartet_common.messaging.subscriptions import dispatch
from quartet_testing.group_events import GroupEvents
from quartet_testing.roles import Method, RoleAdmin
from quartet_testing.services import RunningService, new_tenant
from quartet_users.groups_client import NoGroups
from quartet_users.roles import role_usecases
from quartet_users.roles.role_usecases import Decider
from quartet_users.subscriptions import subscriptions
from quartet_users.users import user_store

Headers = dict[str, str]


async def receive(users: RunningService, *events: Any) -> None:
    async with users.container.database.transaction() as connection:
        await dispatch(connection, subscriptions(users.container), events)


async def test_a_role_is_made_read_changed_listed_and_removed(admin: RoleAdmin) -> None:
    body = {"name": "Auditor", "description": "reads", "scopes": ["audit:export", "audit:read"]}
    status, made = await admin.send("POST", "/users/roles", body)
    assert (status, made["version"], made["scopes"]) == (201, 1, ["audit:export", "audit:read"])
    path = f"/users/roles/{made['id']}"
    assert await admin.send("GET", path) == (200, made)
    status, changed = await admin.send("PATCH", path, {"name": "Auditors", "scopes": ["audit:read"]})
    assert (status, changed["name"], changed["scopes"]) == (200, "Auditors", ["audit:read"])
    assert (changed["version"], changed["description"]) == (2, "reads")
    assert await admin.send("PATCH", path, {"name": "Auditors"}) == (200, changed)
    assert (await admin.send("GET", "/users/roles"))[1] == {"roles": [changed], "next": None}
    assert await admin.send("DELETE", path) == (204, None)
    for method in ("GET", "DELETE"):
        assert (await admin.send(method, path))[0] == 404


async def test_what_a_user_has_is_read_while_the_user_is_being_changed(
    users: RunningService, admin: RoleAdmin, tenant: str
) -> None:
    user = await admin.user(logged_in=False)
    async with users.container.database.transaction() as connection:
        await user_store.lock_user(connection, tenant, UUID(user))
        assert await asyncio.wait_for(admin.scopes(user), 2) == []
    assert (await admin.send("GET", f"/users/roles/of/{new_id()}"))[0] == 404


async def test_each_change_is_published_once_and_nothing_of_what_was_not_changed(
    users: RunningService, admin: RoleAdmin, tenant: str
) -> None:
    role, user = await admin.role("Auditor", "audit:read"), await admin.user()
    await admin.give(role, user)
    again = await admin.send("POST", f"/users/roles/{role}/grants", {"type": "User", "id": user})
    assert again[0] == 200
    await admin.send("PATCH", f"/users/roles/{role}", {"name": "Auditor"})
    await admin.send("PATCH", f"/users/roles/{role}", {"name": "Reader"})
    assert (await admin.send("DELETE", f"/users/roles/{role}/grants/{user}"))[0] == 204
    assert (await admin.send("DELETE", f"/users/roles/{role}"))[0] == 204
    published = [event for event in await users.outbox(tenant) if event.subject == f"roles/{role}"]
    assert [(event.action.rpartition(".")[2], event.sequence) for event in published] == [
        ("created", 1), ("granted", 2), ("updated", 3), ("revoked", 4), ("deleted", 5),
    ]  # fmt: skip
    [renamed] = [event for event in published if event.routing_key == "users.role.updated.v1"]
    assert renamed.data["changes"] == [{"path": "name", "before": "Auditor", "after": "Reader"}]
    assert published[1].data == {"id": role, "name": "Auditor", "grantee": user, "granteeType": "User"}
    assert {event.actorid for event in published} == {"hr-sync"}


async def test_pages_of_roles_and_grants_lead_through_all_and_to_the_end(admin: RoleAdmin) -> None:
    made = [await admin.role(f"role {number}", "users:read") for number in range(5)]
    people = sorted([await admin.user(f"u{number}") for number in range(5)])
    for user in people:
        await admin.give(made[0], user)
    assert await walk(admin, "/users/roles", "roles") == made
    assert await walk(admin, f"/users/roles/{made[0]}/grants", "grants") == people
    wrong = await admin.send("GET", "/users/roles?cursor=abc")
    assert (wrong[0], wrong[1]["code"]) == (400, "bad_cursor")


async def walk(admin: RoleAdmin, path: str, name: str) -> list[str]:
    """The ids of all pages of two."""
    found, onward = [], ""
    while True:
        status, page = await admin.send("GET", f"{path}?count=2{onward}")
        assert status == 200
        assert len(page[name]) <= 2
        found += [one["id"] for one in page[name]]
        if page["next"] is None:
            return found
        onward = f"&cursor={page['next']}"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"name": "x", "scopes": ["root"]}, "unknown_scope"),
        ({"name": "x", "scopes": ["service"]}, "unknown_scope"),
        ({"name": "x", "scopes": ["platform:admin"]}, "unknown_scope"),
        ({"name": "x", "scopes": []}, "bad_body"),
        ({"name": "", "scopes": ["users:read"]}, "bad_body"),
        ({"name": "a\nb", "scopes": ["users:read"]}, "bad_body"),
        ({"name": "x" * 129, "scopes": ["users:read"]}, "bad_body"),
        ({"name": "x", "scopes": "users:read"}, "bad_body"),
        ({"name": "x", "scopes": ["users:read"], "id": "1"}, "bad_body"),
        ([], "bad_body"),
    ],
)
async def test_what_no_role_can_be_is_refused_and_says_why(admin: RoleAdmin, body: object, code: str) -> None:
    status, answer = await admin.send("POST", "/users/roles", body)
    assert (status, answer["code"]) == (400, code)


async def test_a_name_is_taken_once_by_many_who_ask_at_once(admin: RoleAdmin) -> None:
    body = {"name": "Auditor", "scopes": ["audit:read"]}
    answers = await asyncio.gather(*(admin.send("POST", "/users/roles", body) for _ in range(4)))
    assert sorted(status for status, _ in answers) == [201, 409, 409, 409]
    other = await admin.role("Other", "audit:read")
    status, answer = await admin.send("PATCH", f"/users/roles/{other}", {"name": "AUDITOR"})
    assert (status, answer["code"]) == (409, "name_taken")


async def test_only_an_administrator_of_the_tenant_decides_about_roles(
    users: RunningService, admin: RoleAdmin, tenant: str
) -> None:
    role = await admin.role("Auditor", "audit:read")
    poor = users.tokens.headers(tenant, ("users:read", "users:write", "audit:read"))
    attempts: tuple[tuple[Method, str], ...] = (
        ("POST", "/users/roles"), ("GET", "/users/roles"), ("GET", f"/users/roles/{role}"),
        ("PATCH", f"/users/roles/{role}"), ("DELETE", f"/users/roles/{role}"),
        ("GET", f"/users/roles/{role}/grants"), ("POST", f"/users/roles/{role}/grants"),
        ("DELETE", f"/users/roles/{role}/grants/{role}"), ("GET", f"/users/roles/of/{role}"),
    )  # fmt: skip
    for method, path in attempts:
        assert (await admin.send(method, path, headers=poor))[0] == 403, (method, path)


async def test_what_reaches_over_all_tenants_is_given_and_taken_by_those_who_have_it(users: RunningService) -> None:
    full = users.tokens.headers(SYSTEM_TENANT, ("tenant:admin", "platform:admin", "users:write"))
    platform = RoleAdmin(users, SYSTEM_TENANT, full)
    plain = RoleAdmin(users, SYSTEM_TENANT, users.tokens.headers(SYSTEM_TENANT, ("tenant:admin",)))
    name = new_tenant()
    body = {"name": name, "scopes": ["platform:admin"]}
    assert (await plain.send("POST", "/users/roles", body))[0] == 403
    role = await platform.role(name, "platform:admin")
    user = await platform.user(name)
    grants = f"/users/roles/{role}/grants"
    assert (await plain.send("POST", grants, {"type": "User", "id": user}))[0] == 403
    await platform.give(role, user)
    assert (await plain.send("DELETE", f"{grants}/{user}"))[0] == 403
    assert (await plain.send("PATCH", f"/users/roles/{role}", {"scopes": ["users:read"]}))[0] == 403
    assert (await plain.send("DELETE", f"/users/roles/{role}"))[0] == 403
    lesser = await plain.role(f"{name} 2", "users:read")
    wider = {"scopes": ["users:read", "platform:admin"]}
    assert (await plain.send("PATCH", f"/users/roles/{lesser}", wider))[0] == 403
    for one in (role, lesser):
        assert (await platform.send("DELETE", f"/users/roles/{one}"))[0] == 204


async def test_a_role_is_granted_to_existing_users_and_groups_only(
    users: RunningService, admin: RoleAdmin, tenant: str
) -> None:
    role, user, group = (
        await admin.role("Auditor", "audit:read"),
        await admin.user(),
        new_id(),
    )
    grants = f"/users/roles/{role}/grants"
    await receive(users, GroupEvents(tenant).created(group), GroupEvents(tenant).deleted(group, 2))
    for kind, one in (("User", str(new_id())), ("Group", str(group))):
        status, answer = await admin.send("POST", grants, {"type": kind, "id": one})
        assert (status, answer["code"]) == (400, "unknown_grantee")
    status, answer = await admin.send("POST", grants, {"type": "Group", "id": user})
    assert (status, answer["code"]) == (400, "unknown_grantee")
    status, _ = await admin.send("POST", f"/users/roles/{new_id()}/grants", {"type": "User", "id": user})
    assert status == 404
    assert (await admin.send("DELETE", f"{grants}/{user}"))[0] == 404


class Groups(NoGroups):
    """The groups service, which has one group."""

    def __init__(self, known: UUID) -> None:
        self.known = known
        self.marked: list[UUID] = []

    async def mark(self, caller: Caller, ids: Sequence[UUID]) -> dict[UUID, str]:  # noqa: ARG002
        self.marked += ids
        return {one: "Guides" for one in ids if one == self.known}


async def test_a_group_that_no_event_has_told_of_yet_can_have_a_role_at_once(
    users: RunningService, admin: RoleAdmin, tenant: str
) -> None:
    role = UUID(await admin.role("Auditor", "audit:read"))
    groups, who = Groups(new_id()), Decider(Caller(tenant, "hr"), frozenset({"tenant:admin"}))
    assert await role_usecases.give_role(users.container, groups, who, role, "Group", groups.known)
    assert not await role_usecases.give_role(users.container, groups, who, role, "Group", groups.known)
    assert groups.marked == [groups.known] * 2
    _, shown = await admin.send("GET", f"/users/roles/{role}/grants")
    assert [(one["type"], one["display"], one["granted_by"]) for one in shown["grants"]] == [("Group", "Guides", "hr")]
    user = await admin.user()
    published = GroupEvents(tenant)
    await receive(
        users, published.created(groups.known, 1, "Tour Guides"), published.users("added", groups.known, 1, UUID(user))
    )
    assert await admin.scopes(user) == ["audit:read"]


async def test_it_is_shown_by_which_way_a_user_has_a_role(users: RunningService, admin: RoleAdmin, tenant: str) -> None:
    auditor, reader = [await admin.role(name, f"{name}:read") for name in ("audit", "users")]
    user, guides, staff, published = await admin.user(), new_id(), new_id(), GroupEvents(tenant)
    await receive(
        users,
        published.users("added", guides, 1, UUID(user)),
        published.groups("added", staff, 1, guides, name="Staff"),
    )
    await admin.give(auditor, user)
    await admin.give(auditor, str(staff), "Group")
    await admin.give(reader, str(guides), "Group")
    _, found = await admin.send("GET", f"/users/roles/of/{user}")
    assert found["scopes"] == ["audit:read", "users:read"]
    assert [[way["id"] for way in role["through"]] for role in found["roles"]] == [[user, str(staff)], [str(guides)]]
    assert found["roles"][0]["through"][1] == {"type": "Group", "id": str(staff), "display": "Staff"}
    assert (await admin.send("GET", f"/users/roles/of/{new_id()}"))[0] == 404


async def test_the_last_active_administrator_stays_one_whichever_way_it_would_end(admin: RoleAdmin) -> None:
    role = await admin.role("Administrator", "tenant:admin")
    user = await admin.user()
    asleep = await admin.user("asleep", active=False)
    for who in (user, asleep):
        await admin.give(role, who)
    path = f"/users/roles/{role}"
    attempts: tuple[tuple[Method, str, object], ...] = (
        ("DELETE", path, None),
        ("DELETE", f"{path}/grants/{user}", None),
        ("PATCH", path, {"scopes": ["users:read"]}),
    )
    for method, address, body in attempts:
        status, answer = await admin.send(method, address, body)
        assert (status, answer["code"]) == (409, "last_administrator"), (method, address)
    assert await admin.scopes(user) == ["tenant:admin"]
    other = await admin.user("other")
    await admin.give(role, other)
    assert (await admin.send("DELETE", f"{path}/grants/{user}"))[0] == 204


async def test_two_administrators_cannot_remove_each_other_at_once(admin: RoleAdmin) -> None:
    role = await admin.role("Administrator", "tenant:admin")
    people = [await admin.user(name) for name in ("one", "two")]
    for who in people:
        await admin.give(role, who)
    paths = [f"/users/roles/{role}/grants/{who}" for who in people]
    answers = await asyncio.gather(*(admin.send("DELETE", path) for path in paths))
    assert sorted(status for status, _ in answers) == [204, 409]


async def test_while_the_groups_service_is_away_no_group_gets_a_role(
    users: RunningService, admin: RoleAdmin, tenant: str
) -> None:
    class Away(NoGroups):
        async def mark(self, caller: Caller, ids: Sequence[UUID]) -> dict[UUID, str]:  # noqa: ARG002
            raise UnavailableError("groups")

    role, known = UUID(await admin.role("r", "audit:read")), new_id()
    await receive(users, GroupEvents(tenant).created(known, 1, "Guides"))
    who = Decider(Caller(tenant, "hr"), frozenset({"tenant:admin"}))
    for group in (known, new_id()):
        with pytest.raises(UnavailableError):
            await role_usecases.give_role(users.container, Away(), who, role, "Group", group)
    assert (await admin.send("GET", f"/users/roles/{role}/grants"))[1]["grants"] == []
