"""Logins over HTTP: who gets in, who does not, and that nobody can tell why."""

import asyncio
import unicodedata
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import argon2
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from quartet_testing.conditions import eventually
from quartet_testing.forgery import claims_of
from quartet_testing.people import PASSWORD, People
from quartet_testing.services import new_tenant
from quartet_users.passwords.password_hashing import Passwords
from quartet_users.roles import role_store
from quartet_users.tenants import tenant_domain, tenant_store

NEW = "another horse, another staple"


async def test_a_person_logs_in_and_is_who_the_token_says(people: People) -> None:
    person = await people.person(displayName="Barbara")
    session = await people.log_in(person)
    assert session.tokens["token_type"] == "Bearer"
    assert (session.tokens["expires_in"], session.tokens["scope"]) == (600, "")
    assert session.tokens["refresh_expires_in"] == 7 * 86400
    read = await people.users.client.get("/scim/v2/Me", headers=session.headers)
    assert (read.status_code, (await read.get_json(force=True))["displayName"]) == (200, "Barbara")
    key = (await (await people.users.client.get("/.well-known/jwks.json")).get_json())["keys"][0]
    claims = jwt.decode(session.tokens["access_token"], ECKey.import_key(key), algorithms=["ES256"]).claims
    wanted = {"sub": person["id"], "sid": session.id, "client_id": "quartet-cli", "tenant": people.tenant, "scope": ""}
    assert wanted.items() <= claims.items()
    assert abs(claims["auth_time"] - claims["iat"]) <= 1


async def test_a_login_is_published_without_the_password_or_a_token(people: People) -> None:
    person = await people.person()
    session = await people.log_in(person, client_id="quartet-console")
    [published] = await people.published("users.login.succeeded.v1")
    ids = {"userId": person["id"], "userName": person["userName"], "sessionId": session.id}
    assert published == {**ids, "clientId": "quartet-console"}


async def test_what_a_person_does_is_recorded_with_the_name_of_its_token_and_its_user_agent(people: People) -> None:
    person = await people.person()
    session = await people.log_in(person)
    renamed = {"schemas": person["schemas"], "userName": f"new-{person['userName']}"}
    path = f"/scim/v2/Users/{person['id']}"
    assert (await people.users.client.put(path, headers=people.headers, json=renamed)).status_code == 200

    async def end(headers: dict[str, str]) -> tuple[str, str, str | None, str | None, str | None]:
        sent = {**headers, "User-Agent": "console/1.0\x07"}
        await people.users.client.post(
            "/users/password", headers=sent, json={"old_password": PASSWORD, "new_password": f"{NEW} {uuid4()}"}
        )
        last = (await people.users.outbox(people.tenant))[-1]
        return last.routing_key, last.actorid, last.actorname, last.actortype, last.useragent

    wanted = ("users.user.updated.v1", person["id"], person["userName"], "user", "console/1.0")
    assert await end(session.headers) == wanted, "a token keeps the name of its issue"
    begun = [event for event in await people.users.outbox(people.tenant) if "login.succeeded" in event.type]
    assert [(one.actorname, one.actortype) for one in begun] == [(person["userName"], "user")]


async def test_a_refreshed_token_has_the_name_of_now(people: People) -> None:
    person = await people.person()
    session = await people.log_in(person)
    renamed = {"schemas": person["schemas"], "userName": f"new-{person['userName']}"}
    path = f"/scim/v2/Users/{person['id']}"
    assert (await people.users.client.put(path, headers=people.headers, json=renamed)).status_code == 200
    status, tokens = await people.refresh(session.tokens["refresh_token"])
    assert status == 200
    names = [claims_of(one["access_token"])["preferred_username"] for one in (session.tokens, tokens)]
    assert names == [person["userName"], renamed["userName"]]


async def test_a_name_is_found_whatever_its_case(people: People) -> None:
    person = await people.person()
    assert (await people.try_login(person["userName"].upper()))[0] == 200


async def test_a_person_has_the_scopes_of_its_roles(people: People) -> None:
    person = await people.person()
    async with people.users.container.database.transaction() as connection:
        role = uuid4()
        await connection.execute(
            "INSERT INTO roles (tenant_id, id, name, description, scopes, version, created_at, modified_at)"
            " VALUES ($1, $2, 'Reader', '', '{users:read}', 1, now(), now())",
            people.tenant,
            role,
        )
        await connection.execute(
            "INSERT INTO role_grants (tenant_id, grantee_id, role_id, grantee_type, granted_at, granted_by)"
            " VALUES ($1, $2::uuid, $3, 'User', now(), 'tester')",
            people.tenant,
            person["id"],
            role,
        )
        assert await role_store.scopes_of_user(connection, people.tenant, person["id"]) == {"users:read"}
    session = await people.log_in(person)
    assert session.tokens["scope"] == "users:read"
    assert (await people.users.client.get("/scim/v2/Users", headers=session.headers)).status_code == 200


async def test_without_a_role_a_person_reads_itself_and_nobody_else(people: People) -> None:
    person, other = await people.person(), await people.person()
    client, session = people.users.client, await people.log_in(person)
    assert (await client.get("/scim/v2/Me", headers=session.headers)).status_code == 200
    for path in (f"/scim/v2/Users/{other['id']}", f"/scim/v2/Users/{person['id']}", "/scim/v2/Users"):
        assert (await client.get(path, headers=session.headers)).status_code == 403, path
    for method in (client.patch, client.put, client.delete):
        assert (await method("/scim/v2/Me", headers=session.headers)).status_code == 403


Wrong = Callable[[People], Awaitable[dict[str, Any]]]


async def wrong_password(people: People) -> dict[str, Any]:
    return {"user_name": (await people.person())["userName"], "password": "wrong horse battery"}


async def unknown_user(people: People) -> dict[str, Any]:
    return {"user_name": "nobody@example.com"}


async def without_password(people: People) -> dict[str, Any]:
    return {"user_name": (await people.person(None))["userName"]}


async def inactive(people: People) -> dict[str, Any]:
    return {"user_name": (await people.person(active=False))["userName"]}


async def unknown_tenant(people: People) -> dict[str, Any]:
    return {"user_name": (await people.person())["userName"], "tenant": new_tenant()}


async def odd_tenant(people: People) -> dict[str, Any]:
    return {"user_name": (await people.person())["userName"], "tenant": "'; --"}


async def odd_name(people: People) -> dict[str, Any]:
    return {"user_name": "\0" * 2000}


async def overlong(people: People) -> dict[str, Any]:
    return {"user_name": (await people.person())["userName"], "password": "x" * 5000}


WRONG = (wrong_password, unknown_user, without_password, inactive, unknown_tenant, odd_tenant, odd_name, overlong)


@pytest.mark.parametrize("wrong", WRONG)
async def test_whatever_is_wrong_the_answer_and_the_work_are_the_same(
    people: People, monkeypatch: pytest.MonkeyPatch, wrong: Wrong
) -> None:
    work: list[argon2.Parameters] = []

    def counted(self: argon2.PasswordHasher, hash: str, password: str) -> bool:  # noqa: A002  # argon2's name
        work.append(argon2.extract_parameters(hash))
        return verify(self, hash, password)

    sent = {"password": PASSWORD, **await wrong(people)}
    verify = argon2.PasswordHasher.verify
    monkeypatch.setattr(argon2.PasswordHasher, "verify", counted)
    status, answer = await people.try_login(**sent)
    detail = "Wrong tenant, user name or password."
    about = {"type": "about:blank", "title": "Unauthorized"}
    assert (status, answer) == (401, {**about, "status": 401, "detail": detail, "code": "invalid_credentials"})
    assert work == [argon2.extract_parameters(await Passwords().hash("another", "acme"))]


async def test_failures_are_told_as_summaries_with_their_reason(people: People) -> None:
    person = await people.person()
    for _ in range(3):
        await people.try_login(person["userName"], "wrong horse battery")
    await people.try_login("N" * 500)

    async def both() -> list[Any] | None:
        published = sorted(await people.published("users.login.failed.v1"), key=lambda one: one["reason"])
        return published if sum(one["count"] for one in published) == 4 else None

    unknown, *known = await eventually(both, "summaries")
    assert (unknown["reason"], unknown["userName"], unknown["userId"]) == ("unknown_user", "N" * 128, None)
    assert {(one["reason"], one["userId"], one["userName"]) for one in known} == {
        ("wrong_password", person["id"], person["userName"])
    }
    events = [event for event in await people.users.outbox(people.tenant) if event.type.endswith("login.failed.v1")]
    assert {event.outcome for event in events} == {"denied"}


async def test_only_json_from_first_party_applications_is_taken(people: People) -> None:
    person = await people.person()
    client = people.users.client
    body = {"tenant": people.tenant, "user_name": person["userName"], "password": PASSWORD}
    assert (await client.post("/users/login", form=body)).status_code == 415
    plain = await client.post("/users/login", data="{}", headers={"Content-Type": "text/plain"})
    assert plain.status_code == 415
    for wrong in ({**body, "client_id": "quartet-admin"}, {"tenant": "x"}, {**body, "password": 1}, {**body, "x": 1}):
        answer = await client.post("/users/login", json=wrong)
        assert answer.status_code == 400, wrong
        assert PASSWORD not in await answer.get_data(as_text=True)
    broken = await client.post(
        "/users/login", data=b'{"tenant": "\\ud800"}', headers={"Content-Type": "application/json"}
    )
    assert broken.status_code == 400


async def test_there_is_no_password_grant(people: People) -> None:
    person = await people.person()
    form = {"grant_type": "password", "username": person["userName"], "password": PASSWORD, "client_id": "quartet-cli"}
    answer = await people.users.client.post("/oauth2/token", form=form)
    assert (answer.status_code, (await answer.get_json())["error"]) == (400, "unsupported_grant_type")


async def test_the_same_password_in_other_code_points_is_no_new_one(people: People) -> None:
    person = await people.person(password="crème brûlée at nine")
    other = unicodedata.normalize("NFD", "crème brûlée at nine")
    status, answer = await people.try_login(person["userName"], "crème brûlée at nine", new_password=other)
    assert (status, answer["code"]) == (400, "password_refused")


async def test_a_password_that_must_be_changed_lets_in_with_a_new_one_only(people: People) -> None:
    person = await people.person()
    async with people.users.container.database.transaction() as connection:
        await connection.execute("UPDATE credentials SET must_change = true WHERE tenant_id = $1", people.tenant)
    name = person["userName"]
    assert (await people.try_login(name, "wrong horse battery"))[0] == 401
    status, answer = await people.try_login(name)
    assert (status, answer["code"]) == (403, "password_change_required")
    for new in (PASSWORD, "short", name):
        status, answer = await people.try_login(name, new_password=new)
        assert (status, answer["code"]) == (400, "password_refused"), new
    session = await people.log_in(person, new_password=NEW)
    assert not await session.is_refused()
    assert (await people.try_login(name))[0] == 401
    assert (await people.try_login(name, NEW))[0] == 200
    changes = await people.published("users.user.updated.v1")
    assert [one["changed"] for one in changes] == [["password"]]


async def test_a_hash_of_another_cost_is_verified_at_that_cost_and_made_anew(people: People) -> None:
    person = await people.person()
    old = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    database = people.users.container.database
    async with database.transaction() as connection:
        await connection.execute("UPDATE credentials SET password_hash = $2 WHERE tenant_id = $1", people.tenant, old)
    assert (await people.try_login(person["userName"], "wrong horse battery"))[0] == 401
    await people.log_in(person)
    async with database.connection() as connection:
        now = await connection.fetchval("SELECT password_hash FROM credentials WHERE tenant_id = $1", people.tenant)
    assert now.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    await people.log_in(person)


async def test_who_is_deactivated_while_the_password_is_verified_does_not_get_in(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = await people.person()
    verify = Passwords.verify

    async def slow(self: Passwords, password_hash: str | None, password: str, tenant: str | None) -> bool:
        right = await verify(self, password_hash, password, tenant)
        message = {"schemas": [PATCH], "Operations": [{"op": "replace", "path": "active", "value": False}]}
        path = f"/scim/v2/Users/{person['id']}"
        await people.users.client.patch(path, headers=people.headers, json=message)
        return right

    monkeypatch.setattr(Passwords, "verify", slow)
    assert (await people.try_login(person["userName"]))[0] == 401
    assert not await people.published("users.login.succeeded.v1")


PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"


async def test_the_same_name_in_another_tenant_is_somebody_else(people: People) -> None:
    person = await people.person()
    elsewhere = new_tenant()
    async with people.users.container.database.transaction() as connection:
        await tenant_store.insert_tenant(
            connection, tenant_domain.create(elsewhere, "", people.users.container.clock())[0]
        )
    headers = people.users.tokens.headers(elsewhere, ["users:write"])
    twin = await People(people.users, elsewhere, headers).person(NEW, userName=person["userName"])
    assert (await people.log_in(person)).tokens["user_id"] == person["id"]
    assert (await people.try_login(person["userName"], NEW))[0] == 401
    status, answer = await people.try_login(person["userName"], NEW, tenant=elsewhere)
    assert (status, answer["user_id"]) == (200, twin["id"])


async def test_twenty_at_once_all_get_in(people: People) -> None:
    person = await people.person()
    sessions = await asyncio.gather(*(people.log_in(person) for _ in range(20)))
    assert len({session.id for session in sessions}) == 20
