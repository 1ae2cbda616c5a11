"""Privileges: who may change how a user logs in, when that user holds scopes by roles."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import pytest

from quartet_common.core.caller import Caller
from quartet_common.core.fair_share import ShareExceededError
from quartet_common.core.identifiers import SYSTEM_TENANT, new_id
from quartet_common.data.connections import Connection
from quartet_common.messaging.envelope import Event
from quartet_common.messaging.subscriptions import dispatch
from quartet_testing.client import USER, USERS, bulk_document, patch_document
from quartet_testing.group_events import GroupEvents
from quartet_testing.roles import RoleAdmin, log_in
from quartet_testing.services import RunningService, new_tenant
from quartet_users import group_marker_client
from quartet_users.roles import mark_store, marks
from quartet_users.subscriptions import subscriptions
from quartet_users.users import user_store

Headers = dict[str, str]
Change = Callable[[str, dict[str, Any]], tuple[str, str, Any]]
"""Method, path and body of a change of a user, by its id and document."""


def patched(*operations: dict[str, Any]) -> Change:
    """A PATCH with `operations`."""
    return lambda user, _: ("PATCH", f"{USERS}/{user}", patch_document(*operations))


def put(**attributes: Any) -> Change:
    """A PUT of what the user is, but for `attributes`."""
    return lambda user, document: ("PUT", f"{USERS}/{user}", {**document, **attributes})


PASSWORD = "correct horse battery staple"
PRIVILEGED: dict[str, Change] = {
    "a password by path": patched({"op": "replace", "path": "password", "value": PASSWORD}),
    "a password without path": patched({"op": "add", "value": {"password": PASSWORD}}),
    "a password by the attribute's whole name": patched({"op": "add", "path": f"{USER}:password", "value": PASSWORD}),
    "a password removed": patched({"op": "remove", "path": "password"}),
    "a password among others": patched(
        {"op": "replace", "path": "displayName", "value": "x"}, {"op": "replace", "path": "PASSWORD", "value": PASSWORD}
    ),
    "a password by PUT": put(password=PASSWORD),
    "deactivation by path": patched({"op": "replace", "path": "active", "value": False}),
    "deactivation without path": patched({"op": "replace", "value": {"active": False}}),
    "deactivation by text": patched({"op": "replace", "path": "active", "value": "False"}),
    "deactivation by PUT": put(active=False),
    "another userName": patched({"op": "replace", "path": "userName", "value": "mallory"}),
    "another userName without path": patched({"op": "replace", "value": {"userName": "mallory"}}),
    "another userName by PUT": put(userName="mallory"),
    "deletion": lambda user, _: ("DELETE", f"{USERS}/{user}", None),
}
ORDINARY: dict[str, Change] = {
    "another name": patched({"op": "replace", "path": "displayName", "value": "x"}),
    "an e-mail address": patched({"op": "add", "path": "emails", "value": [{"value": "x@example.com"}]}),
    "what is as it was": put(),
    "the same userName and active": patched({"op": "replace", "value": {"userName": "babs", "active": True}}),
}


async def send(users: RunningService, headers: Headers, method: str, path: str, body: Any) -> tuple[int, Any]:
    answer = await users.client.open(path, method=method, headers=headers, json=body)
    sent = await answer.get_data()
    return answer.status_code, (await answer.get_json(force=True)) if sent else None


@pytest.fixture
def having(users: RunningService, tenant: str) -> Callable[..., Headers]:
    """Tokens with some scopes."""
    return lambda *scopes, **claims: users.tokens.headers(tenant, scopes, **claims)


async def make_holder(admin: RoleAdmin, *scopes: str, **attributes: Any) -> str:
    """A user who holds `scopes` by a role."""
    user = await admin.user("babs", active=True, **attributes)
    await admin.give(await admin.role("some", *scopes), user)
    return user


async def read(users: RunningService, admin: RoleAdmin, user: str) -> dict[str, Any]:
    status, document = await admin.send("GET", f"{USERS}/{user}")
    assert status == 200
    found: dict[str, Any] = document
    return found


@pytest.mark.parametrize("name", PRIVILEGED)
async def test_who_lacks_a_users_scopes_does_not_change_how_the_user_logs_in(
    users: RunningService, admin: RoleAdmin, having: Callable[..., Headers], name: str
) -> None:
    user = await make_holder(admin, "audit:read", "users:read")
    document = await read(users, admin, user)
    request = PRIVILEGED[name](user, document)
    status, answer = await send(users, having("users:write", "users:read", "tenant:admin"), *request)
    assert (status, answer["schemas"]) == (403, ["urn:ietf:params:scim:api:messages:2.0:Error"])
    assert answer["detail"].startswith(f"The user {user} holds scopes that the access token lacks: audit:read.")
    assert await read(users, admin, user) == document
    status, answer = await send(users, having("users:write", "users:read", "audit:read"), *request)
    assert status in (200, 204), answer


@pytest.mark.parametrize("name", ORDINARY)
async def test_all_else_of_a_user_is_changed_without_the_users_scopes(
    users: RunningService, admin: RoleAdmin, having: Callable[..., Headers], name: str
) -> None:
    user = await make_holder(admin, "audit:read")
    status, answer = await send(users, having("users:write"), *ORDINARY[name](user, await read(users, admin, user)))
    assert status == 200, answer


@pytest.mark.parametrize("name", PRIVILEGED)
async def test_a_user_without_roles_is_changed_by_every_writer(
    users: RunningService, admin: RoleAdmin, having: Callable[..., Headers], name: str
) -> None:
    user = await admin.user("babs", active=True)
    request = PRIVILEGED[name](user, await read(users, admin, user))
    status, answer = await send(users, having("users:write"), *request)
    assert status in (200, 204), answer


async def test_activating_a_user_needs_its_scopes_too(
    users: RunningService, admin: RoleAdmin, having: Callable[..., Headers]
) -> None:
    user = await admin.user("babs", active=False)
    await admin.give(await admin.role("some", "audit:read"), user)
    request = ("PATCH", f"{USERS}/{user}", patch_document({"op": "replace", "path": "active", "value": True}))
    assert (await send(users, having("users:write"), *request))[0] == 403
    assert (await send(users, having("users:write", "audit:read"), *request))[0] == 200


async def test_scopes_by_groups_and_by_groups_above_them_count(
    users: RunningService, admin: RoleAdmin, having: Callable[..., Headers], tenant: str
) -> None:
    user, inner, outer, published = await admin.user(), new_id(), new_id(), GroupEvents(tenant)
    events = [published.users("added", inner, 1, UUID(user)), published.groups("added", outer, 1, inner)]
    async with users.container.database.transaction() as connection:
        await dispatch(connection, subscriptions(users.container), events)
    await admin.give(await admin.role("some", "audit:read"), outer, "Group")
    request = ("DELETE", f"{USERS}/{user}", None)
    assert (await send(users, having("users:write"), *request))[0] == 403
    assert (await send(users, having("users:write", "audit:read"), *request))[0] == 204


async def test_me_with_a_narrowed_token_is_refused_like_any_other(
    users: RunningService, admin: RoleAdmin, having: Callable[..., Headers]
) -> None:
    user = await make_holder(admin, "audit:read", "users:write")
    body = patch_document({"op": "replace", "path": "password", "value": PASSWORD})
    narrowed = having("users:write", actor=user, client_id="quartet-cli")
    assert (await send(users, narrowed, "PATCH", "/scim/v2/Me", body))[0] == 403
    whole = having("users:write", "audit:read", actor=user, client_id="quartet-cli")
    assert (await send(users, whole, "PATCH", "/scim/v2/Me", body))[0] == 200


@pytest.mark.parametrize("name", PRIVILEGED)
async def test_an_operation_of_a_bulk_is_refused_alone(
    users: RunningService, admin: RoleAdmin, having: Callable[..., Headers], name: str
) -> None:
    user = await make_holder(admin, "audit:read")
    document = await read(users, admin, user)
    method, path, data = PRIVILEGED[name](user, document)
    made = {"schemas": [USER], "userName": "new"}
    body = bulk_document(
        {"method": method, "path": path.removeprefix("/scim/v2"), **({"data": data} if data else {})},
        {"method": "POST", "path": "/Users", "bulkId": "n", "data": made},
    )
    status, answer = await send(users, having("users:write"), "POST", "/scim/v2/Bulk", body)
    assert (status, [one["status"] for one in answer["Operations"]]) == (200, ["403", "201"])
    assert "audit:read" in answer["Operations"][0]["response"]["detail"]
    assert await read(users, admin, user) == document
    body["Operations"] = body["Operations"][:1]
    status, answer = await send(users, having("users:write", "audit:read"), "POST", "/scim/v2/Bulk", body)
    assert [one["status"] for one in answer["Operations"]] in (["200"], ["204"])


async def test_refusals_are_recorded_with_the_scopes_that_were_missing(
    users: RunningService, admin: RoleAdmin, having: Callable[..., Headers], tenant: str
) -> None:
    user = await make_holder(admin, "audit:read", "audit:export")
    await send(users, having("users:write"), "DELETE", f"{USERS}/{user}", None)
    bulk = bulk_document({"method": "DELETE", "path": f"/Users/{user}"})
    await send(users, having("users:write"), "POST", "/scim/v2/Bulk", bulk)
    refused = [event.data for event in await users.outbox(tenant) if event.routing_key == "users.request.refused.v1"]
    assert [(one["status"], one["scope"], one["path"]) for one in refused] == [
        (403, "audit:export audit:read", f"{USERS}/{user}"),
        (403, "audit:export audit:read", "/scim/v2/Bulk"),
    ]


async def test_a_refusal_names_the_scopes_in_its_challenge(
    users: RunningService, admin: RoleAdmin, having: Callable[..., Headers]
) -> None:
    user = await make_holder(admin, "audit:read", "audit:export")
    answer = await users.client.delete(f"{USERS}/{user}", headers=having("users:write"))
    challenge = 'Bearer realm="quartet", error="insufficient_scope", scope="audit:export audit:read"'
    assert answer.headers["WWW-Authenticate"] == challenge


async def test_a_provisioning_client_changes_who_holds_scopes_of_the_tenant(
    users: RunningService, admin: RoleAdmin, having: Callable[..., Headers]
) -> None:
    user = await make_holder(admin, "audit:read", "tenant:admin")
    assert (await send(users, having("users:write"), "DELETE", f"{USERS}/{user}", None))[0] == 403
    provisioning = having("users:write", "privileged:write")
    assert (await send(users, provisioning, "DELETE", f"{USERS}/{user}", None))[0] == 204


async def test_a_scim_token_writes_privileged_users_only_if_it_was_made_for_that(
    users: RunningService, admin: RoleAdmin, having: Callable[..., Headers], made_tenant: str
) -> None:
    user = await make_holder(admin, "audit:read")
    creator = having("tenant:admin", "users:read", "users:write", "groups:read", "groups:write", "privileged:write")
    statuses = []
    for scopes in (None, ["users:write"], ["users:write", "privileged:write"]):
        body = {"name": "okta"} if scopes is None else {"name": "okta", "scopes": scopes}
        status, made = await send(users, creator, "POST", "/users/scim-tokens", body)
        assert status == 201, made
        bearer = {"Authorization": f"Bearer {made['token']}"}
        statuses.append((await send(users, bearer, "DELETE", f"{USERS}/{user}", None))[0])
    assert statuses == [403, 403, 204]
    lesser = having("tenant:admin", "users:write")
    body = {"name": "okta", "scopes": ["users:write", "privileged:write"]}
    assert (await send(users, lesser, "POST", "/users/scim-tokens", body))[0] == 403


@pytest.fixture
async def operator(users: RunningService) -> str:
    """A platform administrator: a user of the platform's tenant who holds platform:admin and nothing else."""
    own = users.tokens.headers(SYSTEM_TENANT, ["users:write", "tenant:admin", "platform:admin"])
    admin = RoleAdmin(users, SYSTEM_TENANT, own)
    user = await admin.user(f"operator-{new_id()}")
    await admin.give(await admin.role(f"operators-{new_id()}", "platform:admin"), user)
    return user


async def test_nobody_becomes_the_platforms_administrator_by_writing_users(
    users: RunningService, operator: str
) -> None:
    """The attack: an administrator of the tenant makes a client with every scope there is, which sets the password."""
    administrator = users.tokens.headers(SYSTEM_TENANT, ["tenant:admin"])
    scopes = ["users:read", "users:write", "tenant:admin", "privileged:write"]
    status, client = await send(users, administrator, "POST", "/users/clients", {"name": "x", "scopes": scopes})
    assert status == 201
    form = {"grant_type": "client_credentials", "tenant": SYSTEM_TENANT}
    answer = await users.client.post("/oauth2/token", form=form, auth=(client["client_id"], client["client_secret"]))
    assert answer.status_code == 200
    bearer = {"Authorization": f"Bearer {(await answer.get_json())['access_token']}"}
    document = (await send(users, bearer, "GET", f"{USERS}/{operator}", None))[1]
    for name, change in PRIVILEGED.items():
        status, refused = await send(users, bearer, *change(operator, document))
        assert (status, "lacks: platform:admin." in refused["detail"]) == (403, True), name
    login = {"tenant": SYSTEM_TENANT, "user_name": document["userName"], "password": PASSWORD}
    assert (await send(users, {}, "POST", "/users/login", login))[0] == 401


async def test_only_platform_administrators_end_the_sessions_of_one(users: RunningService, operator: str) -> None:
    await log_in(users, SYSTEM_TENANT, UUID(operator))
    administrator = users.tokens.headers(SYSTEM_TENANT, ["tenant:admin"])
    listed = (await send(users, administrator, "GET", f"/users/sessions?user={operator}", None))[1]["sessions"]
    paths = [f"/users/sessions?user={operator}", f"/users/sessions?user={operator}&others=true"]
    paths += [f"/users/sessions/{one['id']}" for one in listed]
    assert len(paths) > 2
    for path in paths:
        assert (await send(users, administrator, "DELETE", path, None))[0] == 403
    platform = users.tokens.headers(SYSTEM_TENANT, ["tenant:admin", "platform:admin"])
    assert (await send(users, platform, "DELETE", paths[2], None))[0] == 204


async def test_a_role_that_is_granted_while_the_user_is_being_changed_waits(
    users: RunningService, admin: RoleAdmin, having: Callable[..., Headers], tenant: str
) -> None:
    user, role = await admin.user(), await admin.role("some", "audit:read")
    async with users.container.database.transaction() as connection:
        await user_store.lock_user(connection, tenant, UUID(user))
        giving = asyncio.create_task(admin.give(role, user))
        done, _ = await asyncio.wait([giving], timeout=0.3)
        assert not done
    await giving
    assert (await send(users, having("users:write"), "DELETE", f"{USERS}/{user}", None))[0] == 403


async def test_services_are_told_the_scopes_of_groups_by_their_own_roles(
    users: RunningService, admin: RoleAdmin, having: Callable[..., Headers], tenant: str
) -> None:
    one, two, published = new_id(), new_id(), GroupEvents(tenant)
    async with users.container.database.transaction() as connection:
        await dispatch(
            connection, subscriptions(users.container), [published.created(one, 1, "a"), published.created(two, 1, "b")]
        )
    await admin.give(await admin.role("r", "audit:read"), one, "Group")
    await admin.give(await admin.role("s", "audit:read", "users:read"), one, "Group")
    service = {**users.tokens.headers("*", ["service"], actor="quartet-groups"), "Quartet-Tenant": tenant}
    for ids, scopes in (([one, two], ["audit:read", "users:read"]), ([two], []), (["x"], [])):
        body = {"ids": [str(group) for group in ids]}
        assert await send(users, service, "POST", "/users/lookup/group-scopes", body) == (200, {"scopes": scopes})
    many = {"ids": [str(one), *(str(new_id()) for _ in range(999))]}
    expected = (200, {"scopes": ["audit:read", "users:read"]})
    assert await send(users, service, "POST", "/users/lookup/group-scopes", many) == expected
    assert (await send(users, having("tenant:admin"), "POST", "/users/lookup/group-scopes", {"ids": []}))[0] == 403


async def test_the_worker_has_groups_of_older_grants_marked_until_the_groups_service_has_answered(
    users: RunningService, admin: RoleAdmin, tenant: str
) -> None:
    group, published = new_id(), GroupEvents(tenant)
    async with users.container.database.transaction() as connection:
        await dispatch(connection, subscriptions(users.container), [published.created(group, 1, "a")])
    await admin.give(await admin.role("r", "audit:read"), group, "Group")
    await admin.give(await admin.role("s", "users:read"), group, "Group")

    class Recording(group_marker_client.GroupMarker):
        def __init__(self) -> None:
            self.marked: list[tuple[str, UUID]] = []

        async def mark(self, caller: Caller, ids: Sequence[UUID]) -> dict[UUID, str]:
            self.marked += [(caller.tenant, one) for one in ids]
            return {}

    first, second = Recording(), Recording()
    await marks.mark_granted_groups(users.container, first)
    await marks.mark_granted_groups(users.container, second)
    assert (first.marked.count((tenant, group)), second.marked) == (1, [])
    async with users.container.database.connection() as connection:
        assert await mark_store.find_unmarked(connection, 10) == []


async def test_a_tenant_whose_groups_cannot_be_marked_does_not_keep_those_after_it_from_it(
    users: RunningService,
) -> None:
    first, second = f"a{new_tenant()}", f"b{new_tenant()}"
    for tenant in (first, second):
        group = new_id()
        async with users.container.database.transaction() as connection:
            await dispatch(connection, subscriptions(users.container), [GroupEvents(tenant).created(group, 1, "a")])
        admin = RoleAdmin(users, tenant, users.tokens.headers(tenant, ["tenant:admin", "audit:read"]))
        await admin.give(await admin.role("r", "audit:read"), group, "Group")

    class Refusing(group_marker_client.GroupMarker):
        def __init__(self, *refused: str) -> None:
            self.refused = refused
            self.marked: list[str] = []

        async def mark(self, caller: Caller, ids: Sequence[UUID]) -> dict[UUID, str]:
            if caller.tenant in self.refused:
                raise ShareExceededError("calls")
            self.marked.append(caller.tenant)
            return dict.fromkeys(ids, "")

    refusing, again = Refusing(first), Refusing()
    await marks.mark_granted_groups(users.container, refusing)
    await marks.mark_granted_groups(users.container, again)
    assert (refusing.marked.count(second), first in refusing.marked) == (1, False)
    assert again.marked == [first]


async def test_changes_of_a_user_and_of_its_roles_and_groups_that_race_end_without_a_deadlock(
    users: RunningService,
    admin: RoleAdmin,
    having: Callable[..., Headers],
    tenant: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "quartet_common.data.database")
    published, everything = GroupEvents(tenant), having("tenant:admin", "users:write", "audit:read", "users:read")

    async def heard(*events: Event) -> None:
        async def command(connection: Connection) -> None:
            await dispatch(connection, subscriptions(users.container), list(events))

        await users.container.database.run(command)

    for number in range(10):
        user, group = UUID(await admin.user(f"babs{number}")), new_id()
        await heard(published.created(group, 1), published.users("added", group, 2, user))
        one, other = [await admin.role(f"{name}{number}", "audit:read", "users:read") for name in "ab"]
        await admin.give(one, group, "Group")

        def patch(**value: Any) -> Any:
            document = patch_document({"op": "replace", "value": value})
            return send(users, everything, "PATCH", f"{USERS}/{user}", document)  # noqa: B023

        def give(role: str, kind: str, grantee: UUID) -> Any:
            return send(users, everything, "POST", f"/users/roles/{role}/grants", {"type": kind, "id": str(grantee)})

        answers = await asyncio.gather(
            patch(active=False),
            give(one, "User", user),
            give(other, "Group", group),
            heard(published.deleted(group, 3)),
            patch(userName=f"barbara{number}"),
            give(other, "User", user),
            send(users, everything, "DELETE", f"/users/roles/{one}", None),
            send(users, everything, "DELETE", f"{USERS}/{user}", None),
        )
        statuses = [answer[0] for answer in answers if answer is not None]
        assert set(statuses) <= {200, 201, 204, 400, 404}, answers
        async with users.container.database.connection() as connection:
            gone = [user, group]
            left = "SELECT count(*) FROM role_grants WHERE tenant_id = $1 AND grantee_id = ANY($2::uuid[])"
            assert await connection.fetchval(left, tenant, gone) == 0
    assert "deadlock" not in caplog.text
