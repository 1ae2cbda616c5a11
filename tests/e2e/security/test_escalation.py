"""Those who have something already and want more: scopes, tenants, identities, and what others own."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest

from quartet_cli.stack import Stack
from quartet_common.core.identifiers import SYSTEM_TENANT
from quartet_testing.client import GROUPS, USER, USERS, Api, Document, bulk_document, patch_document, unique
from quartet_testing.conditions import eventually
from quartet_testing.forgery import Forger, claims_of
from quartet_testing.services import direct

pytestmark = pytest.mark.local_stack

As = Callable[..., Api]
"""`having("users:read", tenant=...)`: a client of the module's tenant that has these scopes and no others."""

ROLES, CLIENTS, SCIM_TOKENS, TENANTS = "/users/roles", "/users/clients", "/users/scim-tokens", "/users/tenants"


@pytest.fixture
async def having(stack: Stack, forger: Forger) -> AsyncIterator[As]:
    """Clients of the module's tenant with some scopes."""
    made: list[Api] = []

    def make(scope: str, **claims: Any) -> Api:
        made.append(Api(stack.url, forger.genuine(scope=scope, jti=str(uuid4()), **claims)))
        return made[-1]

    yield make
    for one in made:
        await one.aclose()


async def made_client(api: Api, *scopes: str) -> Document:
    """A new API client, with its secret."""
    answer = await api.post(CLIENTS, json={"name": unique("client"), "scopes": list(scopes)})
    assert answer.status_code == 201, answer.text
    created: Document = answer.json()
    return created


async def ask_token(api: Api, client: Document, **form: str) -> httpx.Response:
    """What the token endpoint says to a client."""
    async with httpx.AsyncClient(base_url=api.base_url, trust_env=False) as anybody:
        auth = (client["client_id"], client["client_secret"])
        return await anybody.post("/oauth2/token", data={"grant_type": "client_credentials", **form}, auth=auth)


# ---- attributes that are not a client's to set -----------------------------------------------------------------

FOREIGN: dict[str, Any] = {
    "id": str(uuid4()),
    "meta": {"resourceType": "Group", "version": 'W/"99"', "created": "1970-01-01T00:00:00Z", "location": "http://x"},
    "groups": [{"value": str(uuid4()), "display": "admins"}],
    "roles": [{"value": "tenant:admin", "primary": True}, {"value": "platform:admin"}],
    "scopes": ["platform:admin"],
    "entitlements": [{"value": "tenant:admin"}],
    "tenant": SYSTEM_TENANT,
    "tenant_id": SYSTEM_TENANT,
    "passwordHash": "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaA",
    "password_hash": "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaA",
    "__class__": {"__init__": {"__globals__": {}}},
    "__proto__": {"admin": True},
}


async def test_a_user_that_is_sent_with_more_than_it_may_have_gets_none_of_it(mine: Api, having: As) -> None:
    writer = having("users:write users:read")
    user = await writer.create_user(**FOREIGN)
    path = f"{USERS}/{user['id']}"
    await writer.put(path, json={**FOREIGN, "schemas": [USER], "userName": user["userName"]})
    await writer.patch(path, json=patch_document({"op": "replace", "value": FOREIGN}))
    for name, value in FOREIGN.items():
        await writer.patch(path, json=patch_document({"op": "add", "path": name, "value": value}))
    shown = (await mine.get(path)).json()
    assert shown["id"] == user["id"] != FOREIGN["id"]
    assert (shown["meta"]["resourceType"], shown["meta"]["created"]) == ("User", user["meta"]["created"])
    assert shown["meta"]["location"].endswith(path)
    assert not {"groups", "scopes", "tenant", "tenant_id", "password_hash", "passwordHash"} & shown.keys()
    assert "argon2" not in str(shown)
    of_user = (await mine.get(f"{ROLES}/of/{user['id']}")).json()
    assert (of_user["roles"], of_user["scopes"]) == ([], [])


@pytest.mark.parametrize("path", [ROLES, CLIENTS, SCIM_TOKENS])
async def test_a_body_with_more_than_is_known_is_refused(mine: Api, path: str) -> None:
    body = {"name": unique("name"), "scopes": ["users:read"]}
    for name in ("tenant", "tenant_id", "id", "client_id_", "client_secret", "secret", "is_bootstrap", "created_by"):
        answer = await mine.post(path, json={**body, name: "x"})
        assert answer.status_code == 400, name
    assert (await mine.post(path, json=body)).status_code == 201


# ---- scopes ----------------------------------------------------------------------------------------------------

BEYOND = ["platform:admin", "service", "*", "users:*", "users:read users:write", "USERS:READ", "", " users:read"]
"""What no administrator of a tenant can give: it is not the tenant's, or is no scope."""


@pytest.mark.parametrize("path", [ROLES, CLIENTS, SCIM_TOKENS])
@pytest.mark.parametrize("beyond", BEYOND)
async def test_an_administrator_of_a_tenant_gives_no_scope_beyond_it(mine: Api, path: str, beyond: str) -> None:
    answer = await mine.post(path, json={"name": unique("name"), "scopes": [beyond]})
    assert answer.status_code in (400, 403), answer.text
    answer = await mine.post(path, json={"name": unique("name"), "scopes": ["users:read", beyond]})
    assert answer.status_code in (400, 403), answer.text
    made = await mine.post(path, json={"name": unique("name"), "scopes": ["users:read"]})
    assert made.status_code == 201
    name = made.json().get("client_id") or made.json()["id"]
    changed = await mine.patch(f"{path}/{name}", json={"scopes": [beyond]})
    assert changed.status_code in (400, 403, 405), changed.text


@pytest.mark.parametrize("path", [ROLES, CLIENTS])
async def test_an_administrator_of_the_platforms_tenant_does_not_make_itself_the_platforms(
    having: As, path: str
) -> None:
    administrator = having("tenant:admin", tenant=SYSTEM_TENANT)
    answer = await administrator.post(path, json={"name": unique("name"), "scopes": ["platform:admin"]})
    assert answer.status_code in (400, 403), answer.text
    assert (await administrator.get(TENANTS)).status_code == 403


async def test_platform_administration_in_a_customers_tenant_opens_nothing(having: As) -> None:
    pretender = having("platform:admin tenant:admin")
    for method, path in (("GET", TENANTS), ("POST", TENANTS), ("DELETE", f"{TENANTS}/{SYSTEM_TENANT}")):
        answer = await pretender.request(method, path, json={"id": "x", "display_name": "x"})
        assert answer.status_code == 403


@pytest.mark.parametrize(
    "scope", ["users:write users:read", "groups:write groups:read", "events:manage", "audit:export"]
)
async def test_who_administers_nothing_reaches_no_administration(stack: Stack, having: As, scope: str) -> None:
    poor = having(scope)
    for path in (ROLES, CLIENTS, SCIM_TOKENS, TENANTS, "/users/data/export"):
        body = {"name": unique("name"), "scopes": ["users:read"], "id": "x", "display_name": "x"}
        assert (await poor.get(path)).status_code == 403, path
        if path != "/users/data/export":
            assert (await poor.post(path, json=body)).status_code == 403, path
    assert (await poor.post(direct(stack, "/users/lookup"), json={"ids": []})).status_code == 403


WIDER = {
    "one scope more": {"scope": "users:read users:write"},
    "another scope": {"scope": "tenant:admin"},
    "the services' scope": {"scope": "service"},
    "a tab between": {"scope": "users:read\tusers:write"},
    "no-break space between": {"scope": "users:read\u00a0users:write"},
    "another tenant": {"tenant": "default"},
    "every tenant": {"tenant": "*"},
    "no tenant": {"tenant": "../default"},
    "a foreign audience": {"resource": "https://evil.example.com"},
    "another grant": {"grant_type": "password", "username": "x", "password": "x"},
}


@pytest.mark.parametrize("name", WIDER)
async def test_a_client_gets_no_more_than_it_has(mine: Api, name: str) -> None:
    client = await made_client(mine, "users:read")
    refused = await ask_token(mine, client, **WIDER[name])
    assert refused.status_code == 400, refused.text
    assert "access_token" not in refused.json()
    given = await ask_token(mine, client, scope="users:read", tenant=client["client_id"].partition(".")[0])
    assert (given.status_code, given.json()["scope"]) == (200, "users:read")
    assert claims_of(given.json()["access_token"])["tenant"] == claims_of(mine.headers["Authorization"])["tenant"]


@pytest.mark.parametrize("client_id", ["quartet-cli", "quartet-console"])
async def test_a_client_without_a_secret_gets_no_token_for_itself(stack: Stack, client_id: str) -> None:
    async with httpx.AsyncClient(base_url=stack.url, trust_env=False) as anybody:
        for more in ({}, {"scope": "users:read"}, {"tenant": "default"}, {"client_secret": ""}):
            form = {"grant_type": "client_credentials", "client_id": client_id, **more}
            answer = await anybody.post("/oauth2/token", data=form)
            assert answer.status_code in (400, 401), answer.text
            assert "access_token" not in answer.json()


async def test_a_client_learns_nothing_of_anothers_token_and_ends_none(mine: Api, other: Api) -> None:
    asking, asked = await made_client(other, "users:read"), await made_client(mine, "users:read")
    token = (await ask_token(mine, asked)).json()["access_token"]
    for client, active in ((asking, False), (asked, True)):
        auth = (client["client_id"], client["client_secret"])
        async with httpx.AsyncClient(base_url=mine.base_url, trust_env=False, auth=auth) as somebody:
            found = await somebody.post("/oauth2/introspect", data={"token": token})
            assert (found.status_code, found.json()["active"]) == (200, active)
            if not active:
                assert found.json() == {"active": False}
                assert (await somebody.post("/oauth2/revoke", data={"token": token})).status_code == 200
    async with Api(str(mine.base_url), token) as still:
        assert (await still.get(USERS)).status_code == 200


# ---- identities ------------------------------------------------------------------------------------------------


async def test_me_is_the_person_of_the_token_and_of_its_tenant(having: As, mine: Api, other: Api) -> None:
    user, stranger = await mine.create_user(), await other.create_user()
    as_user = having("users:read users:write", sub=user["id"])
    assert (await as_user.get("/scim/v2/Me")).json()["id"] == user["id"]
    for nobody in (stranger["id"], "quartet-admin", str(uuid4()), f"{user['id']}/../x", "me", "*"):
        answer = await having("users:read users:write", sub=nobody).get("/scim/v2/Me")
        assert answer.status_code in (404, 501), f"{nobody}: {answer.text}"
    renamed = {"schemas": [USER], "id": stranger["id"], "userName": user["userName"], "externalId": "x"}
    answer = await as_user.put("/scim/v2/Me", json=renamed)
    assert answer.status_code in (200, 400)
    assert (await other.get(f"{USERS}/{stranger['id']}")).json() == stranger


PATHS = [
    "/Users/../../users/clients",
    "/Users/%2e%2e/%2e%2e/users/clients",
    "//users/clients",
    "/../users/clients",
    "http://127.0.0.1/users/clients",
    "/Users?filter=x",
    "/Me",
    "/Bulk",
    "/Schemas",
    "",
]


@pytest.mark.parametrize("path", PATHS)
async def test_an_operation_of_a_bulk_reaches_users_and_groups_only(mine: Api, path: str) -> None:
    data = {"name": unique("name"), "scopes": ["users:read"], "schemas": [USER], "userName": unique("b")}
    before = (await mine.get(CLIENTS)).json()["clients"]
    for method in ("POST", "PUT", "PATCH", "DELETE", "GET", "post"):
        answer = await mine.post(
            "/scim/v2/Bulk", json=bulk_document({"method": method, "path": path, "bulkId": "b", "data": data})
        )
        statuses = [one["status"] for one in answer.json()["Operations"]] if answer.status_code == 200 else []
        assert all(status.startswith("4") or status == "501" for status in statuses), answer.text
    assert (await mine.get(CLIENTS)).json()["clients"] == before


async def test_writers_of_a_bulk_need_the_scope_of_what_they_write(having: As, mine: Api) -> None:
    writer = having("users:write users:read")
    made = {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": unique("g")}
    answer = await writer.post(
        "/scim/v2/Bulk", json=bulk_document({"method": "POST", "path": "/Groups", "data": made, "bulkId": "b"})
    )
    assert [one["status"] for one in answer.json()["Operations"]] == ["403"], answer.text
    found = await mine.get(GROUPS, params={"filter": f'displayName eq "{made["displayName"]}"'})
    assert found.json()["totalResults"] == 0


# ---- people and groups that hold more than who writes them -----------------------------------------------------


async def scopes_of(api: Api, user: str, *, wanted: Callable[[list[str]], bool]) -> Callable[[], Awaitable[bool]]:
    """A condition: the user's scopes are as `wanted`."""

    async def probe() -> bool:
        found = (await api.get(f"{ROLES}/of/{user}")).json()
        return wanted(found["scopes"])

    return probe


async def give(api: Api, kind: str, grantee: str, *scopes: str) -> None:
    """Grant a new role to a user or a group."""
    role = (await api.post(ROLES, json={"name": unique("role"), "scopes": list(scopes)})).json()
    given = await api.post(f"{ROLES}/{role['id']}/grants", json={"type": kind, "id": grantee})
    assert given.status_code == 201, given.text


async def test_an_administrator_of_the_platforms_tenant_does_not_log_in_as_the_platforms(having: As) -> None:
    platform = having("users:write tenant:admin platform:admin", tenant=SYSTEM_TENANT)
    operator = await platform.create_user(userName=unique("operator"))
    await give(platform, "User", operator["id"], "platform:admin")
    administrator = having("tenant:admin", tenant=SYSTEM_TENANT)
    client = await made_client(administrator, "users:read", "users:write", "groups:write", "privileged:write")
    token = (await ask_token(administrator, client)).json()["access_token"]
    password = "a password that the attacker has chosen"
    async with Api(str(administrator.base_url), token) as attacker:
        path = f"{USERS}/{operator['id']}"
        set_password = {"op": "replace", "path": "password", "value": password}
        refused = await attacker.patch(path, json=patch_document(set_password))
        assert (refused.status_code, "lacks: platform:admin." in refused.json()["detail"]) == (403, True)
        bulk = bulk_document(
            {"method": "PATCH", "path": f"/Users/{operator['id']}", "data": patch_document(set_password)}
        )
        results = (await attacker.post("/scim/v2/Bulk", json=bulk)).json()["Operations"]
        assert [one["status"] for one in results] == ["403"]
    login = {"tenant": SYSTEM_TENANT, "user_name": operator["userName"], "password": password}
    async with httpx.AsyncClient(base_url=administrator.base_url, trust_env=False) as anybody:
        assert (await anybody.post("/users/login", json=login)).status_code == 401
    assert (await platform.patch(path, json=patch_document(set_password))).status_code == 200


async def test_who_writes_a_group_gives_no_role_whose_scopes_it_lacks(mine: Api, having: As) -> None:
    provisioner, bystander = having("groups:write groups:read"), having("users:write users:read")
    user, group = await mine.create_user(), await mine.create_group()
    inner = await mine.create_group()
    path, joins = f"{GROUPS}/{group['id']}", {"op": "add", "path": "members", "value": [{"value": user["id"]}]}
    nests = {"op": "add", "path": "members", "value": [{"value": inner["id"]}]}
    assert (await provisioner.patch(path, json=patch_document(nests))).status_code in (200, 204)
    await give(mine, "Group", group["id"], "tenant:admin")
    assert (await bystander.patch(path, json=patch_document(joins))).status_code == 403
    for target in (group, inner):
        refused = await provisioner.patch(f"{GROUPS}/{target['id']}", json=patch_document(joins))
        assert (refused.status_code, "lacks: tenant:admin." in refused.json()["detail"]) == (403, True)
        bulk = bulk_document({"method": "PATCH", "path": f"/Groups/{target['id']}", "data": patch_document(joins)})
        results = (await provisioner.post("/scim/v2/Bulk", json=bulk)).json()["Operations"]
        assert [one["status"] for one in results] == ["403"]
    assert (await mine.get(f"{ROLES}/of/{user['id']}")).json()["scopes"] == []
    for writer in (having("groups:write tenant:admin"), having("groups:write privileged:write")):
        bulk = bulk_document({"method": "PATCH", "path": f"/Groups/{inner['id']}", "data": patch_document(joins)})
        results = (await writer.post("/scim/v2/Bulk", json=bulk)).json()["Operations"]
        assert [one["status"] for one in results] == ["200"], results
        await eventually(await scopes_of(mine, user["id"], wanted=lambda has: has == ["tenant:admin"]), "the role")
        leaves = patch_document({"op": "remove", "path": f'members[value eq "{user["id"]}"]'})
        assert (await provisioner.patch(f"{GROUPS}/{inner['id']}", json=leaves)).status_code == 403
        assert (await writer.patch(f"{GROUPS}/{inner['id']}", json=leaves)).status_code in (200, 204)
        await eventually(await scopes_of(mine, user["id"], wanted=lambda has: has == []), "the role to be gone")
