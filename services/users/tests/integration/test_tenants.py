"""Tenants over HTTP: made, listed, renamed, suspended, resumed, deleted, and refused to everybody else."""

import asyncio
import base64
from typing import Any
from uuid import UUID

import pytest

from quartet_common.core.identifiers import NIL_ID
from quartet_common.messaging.envelope import Event
from quartet_testing.services import RunningService, new_tenant
from quartet_users.roles import role_store
from quartet_users.roles.role_domain import scopes_of_tenant
from quartet_users.tenants import tenant_usecases

Headers = dict[str, str]
TENANTS = "/users/tenants"
ADMINISTRATOR_SCOPES = scopes_of_tenant("acme")


class Platform:
    """What the platform's administrator does."""

    def __init__(self, users: RunningService, headers: Headers) -> None:
        self.users = users
        self.headers = headers

    async def ask(self, method: str, path: str = "", body: Any = None, **query: str) -> tuple[int, Any]:
        """Status and JSON."""
        send = getattr(self.users.client, method)
        sent = {} if body is None else {"json": body}
        answer = await send(TENANTS + path, headers=self.headers, query_string=query, **sent)
        return answer.status_code, await answer.get_json(force=True)

    async def make(self, tenant: str, **parts: Any) -> Any:
        """A new tenant as it is shown once."""
        status, made = await self.ask("post", body={"id": tenant, **parts})
        assert status == 201, made
        return made

    async def published(self, tenant: str) -> list[Event]:
        """The events of a tenant in the platform's log."""
        return [event for event in await self.users.outbox("quartet") if event.data.get("id") == tenant]


@pytest.fixture
def operator(users: RunningService, platform: Headers) -> Platform:
    """The platform's administrator."""
    return Platform(users, platform)


async def test_a_tenant_is_made_with_an_event_in_the_platforms_log(operator: Platform, tenant: str) -> None:
    made = await operator.make(tenant, display_name="Acme")
    assert (made["id"], made["display_name"], made["status"], made["version"]) == (tenant, "Acme", "active", 1)
    assert made["administrator"] is None
    assert (await operator.ask("get", f"/{tenant}"))[1] == {
        name: made[name] for name in (await shown(operator, tenant))
    }
    [event] = await operator.published(tenant)
    assert (event.routing_key, event.subject, event.tenantid) == (
        "users.tenant.created.v1",
        f"tenants/{tenant}",
        "quartet",
    )
    assert (event.actorid, event.data) == ("operator", {"id": tenant})


async def shown(operator: Platform, tenant: str) -> Any:
    """A tenant as it is read."""
    return (await operator.ask("get", f"/{tenant}"))[1]


async def test_an_id_is_given_once_even_to_many_who_ask_at_once(operator: Platform, tenant: str) -> None:
    answers = await asyncio.gather(*(operator.ask("post", body={"id": tenant}) for _ in range(5)))
    assert sorted(status for status, _ in answers) == [201, 409, 409, 409, 409]
    assert len(await operator.published(tenant)) == 1
    assert {answer["code"] for status, answer in answers if status == 409} == {"tenant_taken"}
    assert (await operator.ask("post", body={"id": "quartet"}))[0] == 409


@pytest.mark.parametrize("wrong", ["", "Acme", "acme_", "-acme", "acme-", "a.b", "a" * 64, "a\n", "*", "ä", None, 7])
async def test_an_id_that_is_none_is_refused(operator: Platform, wrong: Any) -> None:
    assert (await operator.ask("post", body={"id": wrong}))[0] == 400


@pytest.mark.parametrize(
    "parts",
    [
        {"id": None},
        {"display_name": 7},
        {"display_name": "x" * 257},
        {"something": "else"},
        {"status": "deleted"},
        {"administrator": "bjensen"},
        {"administrator": {}},
        {"administrator": {"user_name": ""}},
        {"administrator": {"user_name": "bjensen", "email": 7}},
        {"administrator": {"user_name": "bjensen", "password": "too short"}},
        {"administrator": {"user_name": "bjensen", "scopes": ["platform:admin"]}},
    ],
)
async def test_what_is_no_tenant_is_refused_and_nothing_is_made(
    operator: Platform, tenant: str, parts: dict[str, Any]
) -> None:
    status, answer = await operator.ask("post", body={"id": tenant, **parts})
    assert (status, bool(answer["detail"])) == (400, True)
    assert (await operator.ask("post", body={}))[0] == 400
    assert (await operator.ask("get", f"/{tenant}"))[0] == 404


async def test_only_the_platforms_own_administrators_are_let_in(users: RunningService, made_tenant: str) -> None:
    everything = {*ADMINISTRATOR_SCOPES, "platform:admin"}
    strangers = [
        users.tokens.headers(made_tenant, ADMINISTRATOR_SCOPES),
        users.tokens.headers(made_tenant, everything),  # nobody gets such a token, and it would open nothing
        users.tokens.headers("quartet", ADMINISTRATOR_SCOPES),
        users.tokens.headers("*", ["service"]) | {"Quartet-Tenant": "quartet"},
    ]
    for headers in strangers:
        stranger = Platform(users, headers)
        for method, path, body in (
            ("post", "", {"id": new_tenant()}),
            ("get", "", None),
            ("get", f"/{made_tenant}", None),
            ("patch", f"/{made_tenant}", {"display_name": "taken over"}),
            ("post", f"/{made_tenant}/suspend", None),
            ("post", f"/{made_tenant}/resume", None),
            ("delete", f"/{made_tenant}", None),
        ):
            assert (await stranger.ask(method, path, body))[0] == 403, (method, path)


async def test_a_first_administrator_is_a_user_with_a_password_that_is_shown_once(
    operator: Platform, tenant: str
) -> None:
    person = {"user_name": "bjensen", "display_name": "Barbara Jensen", "email": "bjensen@example.com"}
    made = (await operator.make(tenant, administrator=person))["administrator"]
    assert made["user_name"] == "bjensen"
    assert len(made["password"]) >= 32
    headers = operator.users.tokens.headers(tenant, ["users:read"])
    user = await (await operator.users.client.get(f"/scim/v2/Users/{made['id']}", headers=headers)).get_json(force=True)
    assert (user["userName"], user["displayName"]) == ("bjensen", "Barbara Jensen")
    assert user["emails"][0]["value"] == "bjensen@example.com"
    assert "users.user.created.v1" in [event.routing_key for event in await operator.users.outbox(tenant)]
    assert await must_change(operator.users, tenant) is True
    published = [event.data for event in (*await operator.users.outbox(tenant), *await operator.published(tenant))]
    assert made["password"] not in str(published)


async def test_a_tenant_begins_with_a_role_for_its_administrators_and_a_token_for_its_identity_provider(
    operator: Platform, tenant: str
) -> None:
    users = operator.users
    made = await operator.make(tenant, administrator={"user_name": "bjensen"})
    async with users.container.database.transaction() as connection:
        found = await role_store.scopes_of_user(connection, tenant, UUID(made["administrator"]["id"]))
        [role] = await role_store.read_roles(connection, tenant, NIL_ID, 10)
    assert found == ADMINISTRATOR_SCOPES == role.scopes
    assert role.name == "administrator"
    bearer = {"Authorization": f"Bearer {made['scim_token']}"}
    [user] = (await (await users.client.get("/scim/v2/Users", headers=bearer)).get_json(force=True))["Resources"]
    assert user["userName"] == "bjensen"
    assert (await users.client.get("/users/schemas", headers=bearer)).status_code == 403
    status, given = await client_token(users, made)
    assert (status, set(given["scope"].split())) == (200, {"users:read", "users:write", "groups:read", "groups:write"})
    published = [event.data for event in (*await users.outbox(tenant), *await operator.published(tenant))]
    assert not [secret for secret in (made["scim_token"], made["client_secret"]) if secret in str(published)]
    assert (await operator.ask("post", f"/{tenant}/suspend"))[0] == 200
    status, refused = await client_token(users, made)
    assert (status, refused["error"]) == (401, "invalid_client")
    assert (await users.client.get("/scim/v2/Users", headers=bearer)).status_code == 401
    assert (await operator.ask("post", f"/{tenant}/resume"))[0] == 200
    assert (await users.client.get("/scim/v2/Users", headers=bearer)).status_code == 200
    assert (await client_token(users, made))[0] == 200


async def client_token(users: RunningService, made: Any) -> tuple[int, Any]:
    """What the token endpoint answers the tenant's own client."""
    pair = base64.b64encode(f"{made['client_id']}:{made['client_secret']}".encode()).decode()
    form = {"grant_type": "client_credentials"}
    answer = await users.client.post("/oauth2/token", headers={"Authorization": f"Basic {pair}"}, form=form)
    return answer.status_code, await answer.get_json(force=True)


async def test_nothing_of_a_tenant_is_there_if_a_part_of_it_cannot_be_made(
    operator: Platform, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("the last step fails")

    monkeypatch.setattr(tenant_usecases, "_add_administrator", fail)
    status, _ = await operator.ask("post", body={"id": tenant, "administrator": {"user_name": "bjensen"}})
    assert status == 500
    assert (await operator.ask("get", f"/{tenant}"))[0] == 404
    assert await operator.published(tenant) == await operator.users.outbox(tenant) == []


async def test_a_password_that_is_given_is_not_shown_and_stays(operator: Platform, tenant: str) -> None:
    person = {"user_name": "bjensen", "password": "correct horse battery staple"}
    made = await operator.make(tenant, administrator=person)
    assert made["administrator"]["password"] is None
    assert "correct horse" not in str(made)
    assert await must_change(operator.users, tenant) is False


async def must_change(users: RunningService, tenant: str) -> Any:
    """Whether the password of the tenant's only user is to be changed."""
    async with users.container.database.connection() as connection:
        return await connection.fetchval("SELECT must_change FROM credentials WHERE tenant_id = $1", tenant)


async def test_tenants_are_listed_by_pages_and_by_status(operator: Platform) -> None:
    prefix = new_tenant()
    made = [f"{prefix}-{number}" for number in range(4)]
    for one in made:
        await operator.make(one)
    assert (await operator.ask("post", f"/{made[1]}/suspend"))[0] == 200
    assert [one for one in await listed(operator, count="2") if one.startswith(prefix)] == made
    assert [one for one in await listed(operator, status="suspended") if one.startswith(prefix)] == [made[1]]
    found = await listed(operator, status="active", count="3")
    assert [one for one in found if one.startswith(prefix)] == [made[0], *made[2:]]
    assert {"quartet", "default"} <= set(found)


async def listed(operator: Platform, **query: str) -> list[str]:
    """The ids of all pages."""
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        status, page = await operator.ask("get", **query, cursor=cursor)
        assert status == 200, page
        found += [one["id"] for one in page["tenants"]]
        cursor = page["next"]
    assert found == sorted(set(found))
    return found


async def test_a_list_that_is_asked_for_wrongly_is_refused(operator: Platform, made_tenant: str) -> None:
    _, page = await operator.ask("get", status="active", count="1")
    assert page["next"] is not None
    for query in ({"status": "gone"}, {"count": "0"}, {"cursor": "x"}, {"x": "1"}, {"cursor": page["next"]}):
        assert (await operator.ask("get", **query))[0] == 400, query


async def test_a_tenant_is_renamed_and_told_of_once(operator: Platform, made_tenant: str) -> None:
    for _ in range(2):
        status, renamed = await operator.ask("patch", f"/{made_tenant}", {"display_name": "Acme Ltd"})
        assert (status, renamed["display_name"], renamed["version"]) == (200, "Acme Ltd", 2)
    _, event = await operator.published(made_tenant)
    assert (event.routing_key, event.sequence) == ("users.tenant.updated.v1", 2)
    changes = [{"path": "displayName", "before": "", "after": "Acme Ltd"}]
    assert event.data == {"id": made_tenant, "displayName": "Acme Ltd", "changes": changes}
    for wrong in ({}, {"display_name": None}, {"id": "other"}, {"display_name": "x", "status": "deleted"}):
        assert (await operator.ask("patch", f"/{made_tenant}", wrong))[0] == 400, wrong


async def test_what_is_not_there_is_not_found(operator: Platform, tenant: str) -> None:
    for method, path in (("get", ""), ("post", "/suspend"), ("post", "/resume"), ("delete", "")):
        assert (await operator.ask(method, f"/{tenant}{path}"))[0] == 404
    assert (await operator.ask("patch", f"/{tenant}", {"display_name": "x"}))[0] == 404


async def test_a_suspended_tenants_tokens_are_refused_and_count_again_when_it_is_resumed(
    operator: Platform, made_tenant: str
) -> None:
    users = operator.users
    before = users.tokens.headers(made_tenant, ["users:read"])
    assert (await users.client.get("/scim/v2/Users", headers=before)).status_code == 200
    for _ in range(2):
        assert (await operator.ask("post", f"/{made_tenant}/suspend"))[1]["status"] == "suspended"
    assert (await users.client.get("/scim/v2/Users", headers=before)).status_code == 401
    later = users.tokens.headers(made_tenant, ["users:read"], iat=before_and_after(users) + 60)
    assert (await users.client.get("/scim/v2/Users", headers=later)).status_code == 401
    other = users.tokens.headers(new_tenant(), ["users:read"])
    assert (await users.client.get("/scim/v2/Users", headers=other)).status_code == 200
    for _ in range(2):
        assert (await operator.ask("post", f"/{made_tenant}/resume"))[1]["status"] == "active"
    assert (await users.client.get("/scim/v2/Users", headers=before)).status_code == 200
    published = [event.routing_key for event in await operator.published(made_tenant)]
    kinds = ("created", "suspended", "resumed")
    assert [one for one in published if ".token." not in one] == [f"users.tenant.{kind}.v1" for kind in kinds]


def before_and_after(users: RunningService) -> int:
    """The seconds of the service's clock."""
    return int(users.container.clock().timestamp())


async def test_a_deleted_tenant_is_refused_for_good_and_its_id_is_never_given_again(
    operator: Platform, made_tenant: str
) -> None:
    users = operator.users
    token = users.tokens.headers(made_tenant, ["users:read"])
    assert (await users.client.get("/scim/v2/Users", headers=token)).status_code == 200
    await operator.ask("patch", f"/{made_tenant}", {"display_name": "Acme"})
    for _ in range(2):
        status, gone = await operator.ask("delete", f"/{made_tenant}")
        assert (status, gone["status"], gone["display_name"]) == (202, "deleted", "")
    assert (await users.client.get("/scim/v2/Users", headers=token)).status_code == 401
    assert (await operator.ask("post", body={"id": made_tenant}))[0] == 409
    for path in ("/suspend", "/resume"):
        status, answer = await operator.ask("post", f"/{made_tenant}{path}")
        assert (status, answer["code"]) == (409, "tenant_deleted")
    assert (await operator.ask("patch", f"/{made_tenant}", {"display_name": "x"}))[0] == 409
    assert (await users.client.get("/scim/v2/Users", headers=token)).status_code == 401
    published = [event.routing_key for event in await operator.published(made_tenant)]
    assert published.count("users.tenant.deleted.v1") == 1


async def test_the_platforms_own_tenant_cannot_be_suspended_or_deleted(operator: Platform) -> None:
    for method, path in (("post", "/suspend"), ("delete", "")):
        status, answer = await operator.ask(method, f"/quartet{path}")
        assert (status, answer["code"]) == (409, "platform_tenant")
    assert (await operator.ask("get", "/quartet"))[1]["status"] == "active"
