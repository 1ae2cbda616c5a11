"""Tokens end with the commit of what ends them: the next request to the process that has committed is refused."""

import base64
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest
from quart import Response

from quartet_common.core.errors import UnavailableError
from quartet_common.runtime.container import AppContainer
from quartet_testing.client import PATCH, USER
from quartet_testing.conditions import eventually
from quartet_testing.machines import Machines, basic
from quartet_testing.people import PASSWORD, People, Session
from quartet_testing.plugin import ConfigFor
from quartet_testing.roles import RoleAdmin
from quartet_testing.services import RunningService
from quartet_users.app import SERVICE
from quartet_users.config import UsersConfig

BULK = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
OTHER_PASSWORD = "another horse battery staple"
DEACTIVATION = [{"op": "replace", "path": "active", "value": False}]
NEW_PASSWORD = [{"op": "replace", "path": "password", "value": OTHER_PASSWORD}]


@pytest.fixture(autouse=True)
def _list_is_not_read(users: RunningService, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what the process applies itself counts: its list of revocations is not read from the database."""

    def away() -> Any:
        raise UnavailableError("postgresql")

    monkeypatch.setattr(users.container.revocations, "_database", away)
    monkeypatch.setattr(users.container.revocations, "_read_at", float("inf"))


Changes = Callable[[People, dict[str, Any], Session], Awaitable[int]]


def user_request(method: str, **body: Any) -> Changes:
    """A SCIM request for the person."""

    async def change(people: People, person: dict[str, Any], _: Session) -> int:
        path = f"/scim/v2/Users/{person['id']}"
        sent = {"userName": person["userName"], **body} if method == "PUT" else body
        answer = await people.users.client.open(path, method=method, headers=people.headers, json=sent)
        return int(answer.status_code)

    return change


def bulk_request(method: str, **data: Any) -> Changes:
    """A Bulk with one operation on the person."""

    async def change(people: People, person: dict[str, Any], _: Session) -> int:
        sent = {"userName": person["userName"], **data} if method == "PUT" else data
        operation = {"method": method, "path": f"/Users/{person['id']}", "data": sent}
        body = {"schemas": [BULK], "Operations": [operation]}
        answer = await people.users.client.post("/scim/v2/Bulk", headers=people.headers, json=body)
        return int((await answer.get_json(force=True))["Operations"][0]["status"])

    return change


def end_sessions(path: str, *, by_oneself: bool) -> Changes:
    """The end of one or of all sessions of the person, by an administrator or by the person."""

    async def change(people: People, person: dict[str, Any], session: Session) -> int:
        headers = (await people.log_in(person)).headers if by_oneself else people.headers
        where = path.format(session=session.id, user=person["id"])
        return int((await people.users.client.delete(f"/users/sessions{where}", headers=headers)).status_code)

    return change


async def change_password(people: People, person: dict[str, Any], _: Session) -> int:
    headers = (await people.log_in(person)).headers
    body = {"old_password": PASSWORD, "new_password": OTHER_PASSWORD}
    return int((await people.users.client.post("/users/password", headers=headers, json=body)).status_code)


async def log_in_with_new_password(people: People, person: dict[str, Any], _: Session) -> int:
    return (await people.try_login(person["userName"], new_password=OTHER_PASSWORD))[0]


async def use_refresh_token_twice(people: People, _: dict[str, Any], session: Session) -> int:
    token = session.tokens["refresh_token"]
    assert (await people.refresh(token))[0] == 200
    return (await people.refresh(token))[0]


def revoke(kind: str) -> Changes:
    """RFC 7009, by the person's own application."""

    async def change(people: People, _: dict[str, Any], session: Session) -> int:
        form = {"client_id": "quartet-cli", "token": session.tokens[kind]}
        return int((await people.users.client.post("/oauth2/revoke", form=form)).status_code)

    return change


PATHS: dict[str, tuple[Changes, int]] = {
    "PATCH active": (user_request("PATCH", schemas=[PATCH], Operations=DEACTIVATION), 200),
    "PATCH password": (user_request("PATCH", schemas=[PATCH], Operations=NEW_PASSWORD), 200),
    "PUT active": (user_request("PUT", schemas=[USER], active=False), 200),
    "PUT password": (user_request("PUT", schemas=[USER], password=OTHER_PASSWORD), 200),
    "DELETE": (user_request("DELETE"), 204),
    "Bulk PATCH": (bulk_request("PATCH", schemas=[PATCH], Operations=DEACTIVATION), 200),
    "Bulk PUT": (bulk_request("PUT", schemas=[USER], active=False), 200),
    "Bulk DELETE": (bulk_request("DELETE"), 204),
    "log out": (end_sessions("/{session}", by_oneself=True), 204),
    "end others": (end_sessions("?others=true", by_oneself=True), 204),
    "end a session": (end_sessions("/{session}", by_oneself=False), 204),
    "end all sessions": (end_sessions("?user={user}", by_oneself=False), 204),
    "change the password": (change_password, 204),
    "log in with a new password": (log_in_with_new_password, 200),
    "use a refresh token twice": (use_refresh_token_twice, 400),
    "revoke the access token": (revoke("access_token"), 200),
    "revoke the refresh token": (revoke("refresh_token"), 200),
}


@pytest.mark.parametrize("path", PATHS)
async def test_the_next_request_of_a_person_is_refused(people: People, path: str) -> None:
    person = await people.person()
    session = await people.log_in(person)
    assert not await session.is_refused()
    change, status = PATHS[path]
    assert await change(people, person, session) == status
    assert await session.is_refused()


@pytest.mark.parametrize("path", ["take", "delete", "narrow"])
async def test_the_next_request_is_refused_when_a_role_is_lost(people: People, admin: RoleAdmin, path: str) -> None:
    person = await people.person()
    role = await admin.role("readers", "users:read", "users:write")
    await admin.give(role, person["id"])
    session = await people.log_in(person)
    assert not await session.is_refused()
    if path == "take":
        await admin.take(role, person["id"])
    elif path == "delete":
        assert (await admin.send("DELETE", f"/users/roles/{role}"))[0] == 204
    else:
        assert (await admin.send("PATCH", f"/users/roles/{role}", {"scopes": ["users:read"]}))[0] == 200
    assert await session.is_refused()


@pytest.mark.parametrize("path", ["delete", "narrow", "end a secret"])
async def test_the_next_request_of_an_api_client_is_refused(
    users: RunningService, made_tenant: str, headers: dict[str, str], path: str
) -> None:
    machines = Machines(users, made_tenant, headers)
    made = await machines.make("users:read", "users:write")
    bearer, client = await machines.bearer(made), f"/{made['client_id']}"
    assert await machines.use(bearer) == 200
    if path == "delete":
        status, _ = await machines.ask("DELETE", client)
    elif path == "narrow":
        status, _ = await machines.ask("PATCH", client, json={"scopes": ["users:read"]})
    else:
        [secret] = (await machines.read(made))["secrets"]
        status, _ = await machines.ask("DELETE", f"{client}/secrets/{secret['id']}")
    assert status in (200, 204)
    assert await machines.use(bearer) == 401


@pytest.mark.parametrize("by_itself", [True, False])
async def test_the_next_request_with_a_scim_token_is_refused(
    users: RunningService, made_tenant: str, headers: dict[str, str], *, by_itself: bool
) -> None:
    machines = Machines(users, made_tenant, users.tokens.headers(made_tenant, ("tenant:admin", "users:read")))
    client = await machines.make()
    body = {"name": "okta", "scopes": ["users:read"], "client_id": client["client_id"]}
    made = await users.client.post("/users/scim-tokens", headers=machines.headers, json=body)
    token = await made.get_json()
    assert await machines.use(token["token"]) == 200
    if by_itself:
        who = basic(client["client_id"], client["client_secret"])
        answer = await users.client.post("/oauth2/revoke", headers=who, form={"token": token["token"]})
    else:
        answer = await users.client.delete(f"/users/scim-tokens/{token['id']}", headers=machines.headers)
    assert answer.status_code in (200, 204)
    assert await machines.use(token["token"]) == 401


@pytest.mark.parametrize("path", ["suspend", "delete"])
async def test_the_next_request_in_a_tenant_is_refused(
    users: RunningService, platform: dict[str, str], made_tenant: str, headers: dict[str, str], path: str
) -> None:
    machines = Machines(users, made_tenant, headers)
    bearer, address = await machines.bearer(await machines.make()), f"/users/tenants/{made_tenant}"
    assert await machines.use(bearer) == 200
    if path == "suspend":
        answer: Response = await users.client.post(f"{address}/suspend", headers=platform)
    else:
        answer = await users.client.delete(address, headers=platform)
    assert answer.status_code in (200, 202)
    assert await machines.use(bearer) == 401


def key_id(token: str) -> str:
    """The `kid` of a token."""
    head = token.partition(".")[0]
    return str(orjson.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))["kid"])


async def test_the_next_request_with_a_token_of_a_withdrawn_key_is_refused(
    config_for: ConfigFor[UsersConfig], people: People
) -> None:
    config = config_for(UsersConfig)
    client = next(one for one in config.bootstrap_clients.clients if "platform:admin" in one.scopes)
    form = {"grant_type": "client_credentials", "tenant": "quartet", "scope": "platform:admin"}
    own: AppContainer[UsersConfig] = AppContainer(config)
    app = SERVICE.create_app(own)
    async with app.test_app():
        test_client = app.test_client()
        who = basic(client.client_id, client.client_secret.get_secret_value())
        answer = await (await test_client.post("/oauth2/token", headers=who, form=form)).get_json()
        bearer = {"Authorization": f"Bearer {answer['access_token']}"}
        assert (await test_client.get("/users/keys", headers=bearer)).status_code == 200
        assert (await test_client.post("/users/keys/rotate?now=true", headers=bearer)).status_code == 200
        assert (await test_client.get("/users/keys", headers=bearer)).status_code == 401
    person = await people.person()

    async def has_the_new_key() -> bool:
        return key_id((await people.log_in(person)).tokens["access_token"]) != key_id(answer["access_token"])

    await eventually(has_the_new_key, "the other process to sign with the new key")  # for the tests that follow


async def test_a_change_that_is_rolled_back_ends_no_token(
    people: People, admin: RoleAdmin, headers: dict[str, str]
) -> None:
    person = await people.person()
    role = await admin.role("administrator", "tenant:admin")
    await admin.give(role, person["id"])
    session = await people.log_in(person)
    status, answer = await admin.send("DELETE", f"/users/roles/{role}")
    assert (status, answer["code"]) == (409, "last_administrator")
    assert not await session.is_refused()
