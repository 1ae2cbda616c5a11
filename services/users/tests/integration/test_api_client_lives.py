"""What becomes of API clients: who decides about them, what is published, and which tokens a change leaves alone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from joserfc.jwk import ECKey
from werkzeug.datastructures import Headers

from quartet_common.auth.scopes import SCOPES, SERVICE_SCOPE
from quartet_common.core.caller import Caller
from quartet_common.runtime.unit_of_work import unit_of_work
from quartet_common.web.denied_requests import EXTENSION
from quartet_testing.clock import Clock
from quartet_testing.machines import GRANT, Machines, assertion, basic
from quartet_testing.plugin import ConfigFor
from quartet_testing.services import RunningService, new_tenant, run_service
from quartet_users.api_clients.api_client_domain import ApiClient, NewClient
from quartet_users.api_clients.api_client_usecases import CLIENT_SCOPES, MAX_SECRETS, add_client
from quartet_users.app import SERVICE
from quartet_users.config import UsersConfig
from quartet_users.tenants import tenant_domain, tenant_store

KEY = ECKey.generate_key("P-256")
OTHER_KEY = ECKey.generate_key("P-256")


def jwks(*keys: ECKey) -> dict[str, Any]:
    return {"keys": [key.as_dict(private=False) for key in keys]}


@pytest.fixture(scope="session")
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
async def later(config_for: ConfigFor[UsersConfig], clock: Clock) -> AsyncIterator[RunningService]:
    """The service with a clock of the test's own."""
    async with run_service(SERVICE, config_for(UsersConfig), clock=clock) as running:
        yield running


async def machines_of(users: RunningService, tenant: str) -> Machines:
    """The clients of a tenant that is there, for an administrator with no other scope."""
    async with users.container.database.transaction() as connection:
        await tenant_store.insert_tenant(connection, tenant_domain.create(tenant, "", users.container.clock())[0])
    return Machines(users, tenant, users.tokens.headers(tenant, ["tenant:admin"], actor="carla"))


@pytest.fixture
async def machines(users: RunningService, tenant: str) -> Machines:
    return await machines_of(users, tenant)


@pytest.fixture
async def moving(later: RunningService, clock: Clock, tenant: str) -> Machines:
    """The clients of a tenant where the clock is the test's own."""
    clock.ahead = timedelta()
    return await machines_of(later, tenant)


async def test_everything_about_a_client_is_published_and_no_secret_is(machines: Machines) -> None:
    made = await machines.make()
    path = f"/{made['client_id']}"
    assert (await machines.ask("PATCH", path, json={"name": "wages", "scopes": ["users:read", "groups:read"]}))[
        0
    ] == 200
    status, second = await machines.ask("POST", f"{path}/secrets", json={})
    assert status == 201
    assert (await machines.ask("DELETE", f"{path}/secrets/{second['id']}"))[0] == 204
    assert (await machines.ask("DELETE", path))[0] == 204
    published = await machines.users.outbox(machines.tenant)
    assert [(event.routing_key, event.sequence) for event in published if event.subject.startswith("clients/")] == [
        ("users.client.created.v1", 1),
        ("users.client.updated.v1", 2),
        ("users.client.secret_created.v1", 3),
        ("users.client.secret_revoked.v1", 4),
        ("users.client.deleted.v1", 5),
    ]
    assert {event.actorid for event in published} == {"carla"}
    [changed] = await machines.published("users.client.updated.v1")
    assert (changed["id"], changed["changed"]) == (made["client_id"], ["name", "scopes"])
    assert changed["changes"] == [
        {"path": "name", "before": made["name"], "after": "wages"},
        {"path": "scopes", "before": sorted(made["scopes"]), "after": ["groups:read", "users:read"]},
    ]
    for secret in (made["client_secret"], second["client_secret"]):
        assert all(secret[-49:] not in str(event.data) for event in published)


async def test_an_administrator_gives_every_scope_of_a_tenant_and_none_beyond(machines: Machines) -> None:
    made = await machines.make(*CLIENT_SCOPES)
    assert set(made["scopes"]) == SCOPES - {SERVICE_SCOPE, "platform:admin"}
    platform = Machines(machines.users, "quartet", machines.users.tokens.headers("quartet", sorted(SCOPES)))
    for who in (machines, platform):
        for scope in ("platform:admin", "service", "users:admin", "", "*"):
            status, problem = await who.ask("POST", json={"name": "x", "scopes": ["users:read", scope]})
            assert (status, problem["code"]) == (400, "bad_scopes"), scope
    status, problem = await machines.ask("PATCH", f"/{made['client_id']}", json={"scopes": ["platform:admin"]})
    assert (status, problem["code"]) == (400, "bad_scopes")
    assert set((await machines.read(made))["scopes"]) == CLIENT_SCOPES


async def test_only_administrators_of_the_tenant_come_near(machines: Machines) -> None:
    made = await machines.make()
    path = f"/{made['client_id']}"
    [secret] = (await machines.read(made))["secrets"]
    poor = machines.users.tokens.headers(machines.tenant, sorted(SCOPES - {"tenant:admin"}))
    other = machines.users.tokens.headers(new_tenant(), ["tenant:admin"])
    for headers, status in ((poor, 403), (other, 404), ({}, 401)):
        asked: list[tuple[str, str, dict[str, Any]]] = [
            ("GET", path, {}),
            ("PATCH", path, {"json": {"name": "mine"}}),
            ("POST", f"{path}/secrets", {"json": {}}),
            ("DELETE", f"{path}/secrets/{secret['id']}", {}),
            ("DELETE", path, {}),
        ]
        answers = [(await machines.ask(method, at, headers=headers, **body))[0] for method, at, body in asked]
        assert answers == [status] * len(asked)
    for headers, status in ((poor, 403), ({}, 401)):
        assert (await machines.ask("GET", headers=headers))[0] == status
        assert (await machines.ask("POST", headers=headers, json={"name": "x", "scopes": ["users:read"]}))[0] == status
    assert (await machines.ask("GET", headers=other))[1] == {"clients": [], "next": None}
    assert (await machines.read(made))["version"] == 1
    assert (await machines.token(made))[0] == 200


async def test_what_is_not_there_is_not_found(machines: Machines) -> None:
    made = await machines.make()
    for wrong in (
        f"{machines.tenant}.{'a' * 16}",
        "x",
        "quartet-admin",
        made["client_id"] + "x",
        "é",
        "." * 300,
    ):
        assert (await machines.ask("GET", f"/{wrong}"))[0] == 404, wrong
        assert (await machines.ask("PATCH", f"/{wrong}", json={"name": "x"}))[0] == 404
        assert (await machines.ask("DELETE", f"/{wrong}"))[0] == 404
        assert (await machines.ask("POST", f"/{wrong}/secrets", json={}))[0] == 404
    another = await machines.make()
    [foreign] = (await machines.read(another))["secrets"]
    for secret in (str(uuid4()), "x", foreign["id"]):
        assert (await machines.ask("DELETE", f"/{made['client_id']}/secrets/{secret}"))[0] == 404
    assert (await machines.token(another))[0] == 200


async def test_a_client_ends_when_it_says_and_no_token_lives_longer(moving: Machines, clock: Clock) -> None:
    end = datetime.now(UTC) + timedelta(hours=1)
    made = await moving.make(expires_at=end.isoformat())
    assert datetime.fromisoformat(made["expires_at"]) == end
    assert (await moving.token(made))[1]["expires_in"] == 600
    clock.ahead = timedelta(minutes=55)
    status, answer = await moving.token(made)
    assert status == 200
    assert 200 < answer["expires_in"] <= 300
    clock.ahead = timedelta(hours=1)
    status, answer = await moving.token(made)
    assert (status, answer["error"]) == (401, "invalid_client")
    assert (await moving.ask("PATCH", f"/{made['client_id']}", json={"expires_at": None}))[0] == 200
    assert (await moving.token(made))[1]["expires_in"] == 600


async def test_an_end_that_comes_sooner_revokes_and_one_that_comes_later_does_not(machines: Machines) -> None:
    made = await machines.make()
    path, bearer = f"/{made['client_id']}", await machines.bearer(made)
    for days, status in ((30, 401), (60, 200), (20, 401)):
        end = (datetime.now(UTC) + timedelta(days=days)).isoformat()
        assert (await machines.ask("PATCH", path, json={"expires_at": end}))[0] == 200
        assert await machines.use(bearer) == status
        bearer = await machines.bearer(made)
    assert (await machines.ask("PATCH", path, json={"expires_at": "2001-01-01T00:00:00Z"}))[0] == 400


async def test_the_overlap_is_a_day_unless_another_is_named_and_never_prolongs(moving: Machines, clock: Clock) -> None:
    made = await moving.make()
    path = f"/{made['client_id']}/secrets"
    for overlap, ends_in in ((60, 60), (3600, 60), (None, 60)):
        body = {} if overlap is None else {"overlap_seconds": overlap}
        status, answer = await moving.ask("POST", path, json=body)
        assert status == 201
        end = datetime.fromisoformat(answer["others_end_at"]) - clock()
        assert abs(end.total_seconds() - (overlap or 86400)) < 30
        first = (await moving.read(made))["secrets"][0]
        assert datetime.fromisoformat(first["expires_at"]) - clock() <= timedelta(seconds=ends_in)
    for wrong in (-1, 30 * 86400 + 1, 1.5, "60", None):
        assert (await moving.ask("POST", path, json={"overlap_seconds": wrong}))[0] == 400, wrong


async def test_rotations_that_race_leave_one_secret_without_an_end(machines: Machines) -> None:
    made = await machines.make()
    path = f"/{made['client_id']}/secrets"
    answers = await asyncio.gather(*(machines.ask("POST", path, json={}) for _ in range(MAX_SECRETS + 2)))
    assert sorted(status for status, _ in answers) == [201] * (MAX_SECRETS - 1) + [409] * 3
    found = await machines.read(made)
    assert [one["expires_at"] is None for one in found["secrets"]].count(True) == 1
    assert found["version"] == MAX_SECRETS
    for status, answer in answers:
        if status == 201:
            assert (await machines.token(made, answer["client_secret"]))[0] == 200


async def test_a_client_with_keys_has_no_secret_and_changes_them_with_an_overlap(machines: Machines) -> None:
    made = await machines.make(authentication="private_key_jwt", jwks=jwks(KEY))
    path, issuer = f"/{made['client_id']}", machines.users.container.config.issuer
    assert made["client_secret"] is None
    assert (await machines.read(made))["secrets"] == []

    async def token(key: ECKey) -> tuple[int, dict[str, Any]]:
        proof = assertion(made["client_id"], key, issuer)
        return await machines.post({"grant_type": "client_credentials", **proof})

    status, answer = await token(KEY)
    assert status == 200
    assert (await machines.ask("PATCH", path, json={"jwks": jwks(KEY, OTHER_KEY)}))[0] == 200
    assert await machines.use(answer["access_token"]) == 200
    assert (await machines.ask("PATCH", path, json={"jwks": jwks(OTHER_KEY)}))[0] == 200
    assert await machines.use(answer["access_token"]) == 401
    status, problem = await machines.ask("POST", f"{path}/secrets", json={})
    assert (status, problem["code"]) == (409, "no_secrets")
    unusable: list[Any] = [None, {"keys": []}, {"keys": [KEY.as_dict(private=True)]}]
    for wrong in unusable:
        assert (await machines.ask("PATCH", path, json={"jwks": wrong}))[0] == 400
    secretive = await machines.make()
    status, problem = await machines.ask("PATCH", f"/{secretive['client_id']}", json={"jwks": jwks(KEY)})
    assert (status, problem["code"]) == (409, "no_keys")


async def test_the_last_use_is_known_to_the_minute(moving: Machines, clock: Clock) -> None:
    made = await moving.make()
    await moving.ask("POST", f"/{made['client_id']}/secrets", json={})

    async def used() -> tuple[Any, ...]:
        found = await moving.read(made)
        return found["last_used_at"], *(one["last_used_at"] for one in found["secrets"])

    assert await used() == (None, None, None)
    await moving.bearer(made)
    client, first, second = await used()
    assert client == first is not None
    assert second is None
    clock.ahead = timedelta(seconds=30)
    await moving.bearer(made)
    assert await used() == (client, first, None)
    clock.ahead = timedelta(seconds=61)
    await moving.bearer(made)
    assert (await used())[0] > client
    assert (await moving.token(made, "wrong"))[0] == 401


async def test_a_client_that_is_made_within_another_transaction_goes_with_it(machines: Machines) -> None:
    container, caller = machines.users.container, Caller(machines.tenant, "carla")
    async with unit_of_work(container, caller) as work:
        kept = await add_client(work, NewClient("kept", frozenset({"users:read"})))
    assert kept.secret is not None
    assert kept.secret not in repr(kept)
    undone: list[ApiClient] = []
    with suppress(ZeroDivisionError):
        async with unit_of_work(container, caller) as work:
            made = await add_client(work, NewClient("undone", frozenset({"users:read"})))
            undone.append(made.client)
            raise ZeroDivisionError
    assert [one["client_id"] for one in (await machines.ask("GET"))[1]["clients"]] == [kept.client.id]
    for scopes in (set[str](), {"service"}, {"platform:admin"}):
        with pytest.raises(ValueError, match="scopes"):
            async with unit_of_work(container, caller) as work:
                await add_client(work, NewClient("x", frozenset(scopes)))


async def reasons(machines: Machines) -> set[str]:
    """Why requests to the token endpoint were refused, as published."""
    await machines.users.app.extensions[EXTENSION].flush()
    published = [
        event for event in await machines.users.outbox("quartet") if event.type.endswith(".request.refused.v1")
    ]
    return {event.data["reason"] for event in published if event.data["path"] == "/oauth2/token"}


async def test_why_a_client_is_refused_is_on_record_and_not_in_the_answer(machines: Machines) -> None:
    made, ended = await machines.make(), await machines.make()
    signing = await machines.make(authentication="private_key_jwt", jwks=jwks(KEY))
    assert (await machines.ask("POST", f"/{made['client_id']}/secrets", json={"overlap_seconds": 0}))[0] == 201
    async with machines.users.container.database.transaction() as connection:
        query = "UPDATE clients SET expires_at = now() WHERE tenant_id = $1 AND id = $2"
        await connection.execute(query, machines.tenant, ended["client_id"])
    issuer, own, nobody = machines.users.container.config.issuer, signing["client_id"], f"{machines.tenant}.{'a' * 16}"
    good = assertion(own, KEY, issuer)
    assert (await machines.post({**GRANT, **good}))[0] == 200
    tried: dict[str, tuple[dict[str, str], dict[str, str]]] = {
        "unknown_client": ({}, basic(nobody, made["client_secret"])),
        "wrong_secret": ({}, basic(made["client_id"], ended["client_secret"])),
        "expired_secret": ({}, basic(made["client_id"], made["client_secret"])),
        "expired_client": ({}, basic(ended["client_id"], ended["client_secret"])),
        "malformed": ({}, {"Authorization": "Basic !!!"}),
        "no_proof": ({"client_id": made["client_id"]}, {}),
        "replayed_assertion": (good, {}),
        "bad_assertion": (assertion(own, OTHER_KEY, issuer), {}),
        "bad_assertion_audience": (assertion(own, KEY, "https://elsewhere.example.com"), {}),
        "expired_assertion": (assertion(own, KEY, issuer, now=0), {}),
    }
    answers = [await machines.post({**GRANT, **form}, headers) for form, headers in tried.values()]
    assert answers == [(401, answers[0][1])] * len(tried)
    assert answers[0][1] == {"error": "invalid_client", "error_description": "Client authentication failed."}
    assert tried.keys() <= await reasons(machines)


async def test_the_clients_of_a_suspended_tenant_are_refused_until_it_is_resumed(machines: Machines) -> None:
    made = await machines.make()
    platform = machines.users.tokens.headers("quartet", ["platform:admin"])
    for change, status in (("suspend", 401), ("resume", 200)):
        path = f"/users/tenants/{machines.tenant}/{change}"
        assert (await machines.users.client.post(path, headers=platform)).status_code == 200
        assert (await machines.token(made))[0] == status


async def test_a_client_proves_who_it_is_in_one_way_at_a_time(machines: Machines) -> None:
    made, signing = await machines.make(), await machines.make(authentication="private_key_jwt", jwks=jwks(KEY))
    pair = basic(made["client_id"], made["client_secret"])
    proof = assertion(signing["client_id"], KEY, machines.users.container.config.issuer)
    wrong: list[tuple[Any, Any]] = [
        (proof, pair),
        ({**proof, "client_secret": made["client_secret"]}, {}),
        ({"client_secret": made["client_secret"]}, pair),
        ({"client_id": signing["client_id"]}, pair),
        ({**proof, "client_id": made["client_id"]}, {}),
        ({**proof, "client_assertion_type": "urn:example:other"}, {}),
        ({}, Headers([*pair.items(), *pair.items()])),
        ({}, Headers([*pair.items(), ("Authorization", "Bearer x")])),
    ]
    for form, headers in wrong:
        status, answer = await machines.post({**GRANT, **form}, headers)
        assert (status, answer["error"]) == (400, "invalid_request"), form
    assert (await machines.post({**GRANT, "client_id": made["client_id"]}, pair))[0] == 200
