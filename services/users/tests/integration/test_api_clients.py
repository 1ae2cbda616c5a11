"""API clients over HTTP: made, listed, changed, rotated, ended; and what is refused."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from joserfc.jwk import ECKey

from quartet_common.auth.principal import SCOPES, SERVICE_SCOPE
from quartet_common.messaging.outbox import Caller
from quartet_testing.machines import CLIENTS, Machines, assertion
from quartet_testing.plugin import ConfigFor
from quartet_testing.services import RunningService, new_tenant, run_service
from quartet_users import tenant_domain, tenant_store
from quartet_users.api_clients import CLIENT_SCOPES, KEPT, MAX_CLIENTS, MAX_SECRETS, ApiClient, NewClient, add_client
from quartet_users.app import SERVICE
from quartet_users.config import UsersConfig

KEY = ECKey.generate_key("P-256")
OTHER_KEY = ECKey.generate_key("P-256")


def jwks(*keys: ECKey) -> dict[str, Any]:
    return {"keys": [key.as_dict(private=False) for key in keys]}


class Clock:
    """A clock that can be put forward."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


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


async def test_a_client_is_shown_its_secret_once_and_works(machines: Machines) -> None:
    made = await machines.make("users:read", "groups:write")
    secret = made.pop("client_secret")
    assert made["client_id"].rpartition(".")[0] == machines.tenant
    assert len(made["client_id"].rpartition(".")[2]) == 16
    assert secret.startswith(f"quartet_secret_{machines.tenant}_")
    assert (made["name"], made["scopes"], made["created_by"]) == ("payroll", ["groups:write", "users:read"], "carla")
    assert (made["authentication"], made["jwks"], made["version"]) == ("client_secret_basic", None, 1)
    assert (made["expires_at"], made["last_used_at"]) == (None, None)
    found = await machines.read(made)
    [known] = found.pop("secrets")
    assert found == made
    assert known["hint"] == f"quartet_secret_{machines.tenant}_...{secret[-4:]}"
    assert (known["expires_at"], known["last_used_at"]) == (None, None)
    assert secret not in str(await machines.ask("GET"))
    status, answer = await machines.token({**made, "client_secret": secret})
    assert (status, answer["scope"], answer["expires_in"]) == (200, "groups:write users:read", 600)
    assert await machines.use(answer["access_token"]) == 200
    assert await machines.use(answer["access_token"], CLIENTS) == 403


async def test_everything_about_a_client_is_told_and_no_secret_is(machines: Machines) -> None:
    made = await machines.make()
    path = f"/{made['client_id']}"
    assert (await machines.ask("PATCH", path, json={"name": "wages", "scopes": ["users:read", "groups:read"]}))[
        0
    ] == 200
    status, second = await machines.ask("POST", f"{path}/secrets", json={})
    assert status == 201
    assert (await machines.ask("DELETE", f"{path}/secrets/{second['id']}"))[0] == 204
    assert (await machines.ask("DELETE", path))[0] == 204
    told = await machines.users.outbox(machines.tenant)
    assert [(event.routing_key, event.sequence) for event in told if event.subject.startswith("clients/")] == [
        ("users.client.created.v1", 1),
        ("users.client.updated.v1", 2),
        ("users.client.secret_created.v1", 3),
        ("users.client.secret_revoked.v1", 4),
        ("users.client.deleted.v1", 5),
    ]
    assert {event.actorid for event in told} == {"carla"}
    [changed] = await machines.told("users.client.updated.v1")
    assert (changed["id"], changed["changed"]) == (made["client_id"], ["name", "scopes"])
    for secret in (made["client_secret"], second["client_secret"]):
        assert all(secret[-49:] not in str(event.data) for event in told)


async def test_only_the_hash_of_a_secret_is_stored(machines: Machines) -> None:
    made = await machines.make()
    secret = made["client_secret"][-49:-6]
    async with machines.users.container.database.connection() as connection:
        rows = await connection.fetch("SELECT s::text FROM client_secrets s WHERE tenant_id = $1", machines.tenant)
        rows += await connection.fetch(
            "SELECT encode(event, 'escape') FROM outbox WHERE tenant_id = $1", machines.tenant
        )
    assert len(rows) >= 2
    assert all(secret not in row[0] for row in rows)


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
        "%00",
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
    for secret in (str(uuid4()), "x", "%00", foreign["id"]):
        assert (await machines.ask("DELETE", f"/{made['client_id']}/secrets/{secret}"))[0] == 404
    assert (await machines.token(another))[0] == 200


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"name": ""}, "bad_body"),
        ({"name": "x" * 201}, "bad_body"),
        ({"name": "a\0b"}, "bad_body"),
        ({"name": None}, "bad_body"),
        ({"scopes": []}, "bad_scopes"),
        ({"scopes": "users:read"}, "bad_body"),
        ({"scopes": None}, "bad_body"),
        ({"client_secret": "mine"}, "bad_body"),
        ({"jwks_uri": "https://payroll.example.com/jwks"}, "bad_body"),
        ({"authentication": "none"}, "bad_body"),
        ({"authentication": "client_secret_jwt"}, "bad_body"),
        ({"authentication": "private_key_jwt"}, "bad_jwks"),
        ({"authentication": "private_key_jwt", "jwks": {"keys": [KEY.as_dict(private=True)]}}, "bad_jwks"),
        ({"jwks": jwks(KEY)}, "bad_jwks"),
        ({"expires_at": "2999-01-01T00:00:00"}, "bad_expiry"),
        ({"expires_at": "2001-01-01T00:00:00Z"}, "bad_expiry"),
        ({"expires_at": "9999-12-31T23:59:59-14:00"}, "bad_expiry"),
        ({"expires_at": "0001-01-01T00:00:00+14:00"}, "bad_expiry"),
        ({"expires_at": 7}, "bad_body"),
    ],
)
async def test_what_makes_no_sense_is_refused(machines: Machines, body: dict[str, Any], code: str) -> None:
    status, problem = await machines.ask("POST", json={"name": "payroll", "scopes": ["users:read"], **body})
    assert (status, problem["code"]) == (400, code)
    assert (await machines.ask("GET"))[1]["clients"] == []


async def test_clients_are_listed_by_page(machines: Machines) -> None:
    made = sorted([(await machines.make(name=f"job {number}"))["client_id"] for number in range(5)])
    found: list[str] = []
    onward: str | None = ""
    while onward is not None:
        _, page = await machines.ask("GET", f"?count=2&cursor={onward}")
        assert len(page["clients"]) <= 2
        assert all("secrets" not in one for one in page["clients"])
        found += [one["client_id"] for one in page["clients"]]
        onward = page["next"]
    assert found == made
    cursor = (await machines.ask("GET", "?count=2"))[1]["next"]
    other = machines.users.tokens.headers(new_tenant(), ["tenant:admin"])
    assert (await machines.ask("GET", f"?cursor={cursor}", headers=other))[0] == 400
    for query in ("count=0", "count=1001", "sort=name", "cursor=x", "count=1&count=2"):
        assert (await machines.ask("GET", f"?{query}"))[0] == 400, query


async def test_a_client_that_loses_a_scope_loses_its_tokens_and_one_that_wins_keeps_them(machines: Machines) -> None:
    made = await machines.make("users:read", "groups:read")
    path, bearer = f"/{made['client_id']}", await machines.bearer(made)
    for harmless in ({"name": "wages"}, {"scopes": ["users:read", "groups:read", "audit:read"]}, {}):
        assert (await machines.ask("PATCH", path, json=harmless))[0] == 200
        assert await machines.use(bearer) == 200
    assert (await machines.read(made))["version"] == 3
    assert (await machines.ask("PATCH", path, json={"scopes": ["users:read"]}))[0] == 200
    assert await machines.use(bearer) == 401
    assert (await machines.token(made, scope="groups:read"))[1]["error"] == "invalid_scope"
    assert await machines.use(await machines.bearer(made)) == 200
    [told] = await machines.told("users.token.revoked.v1")
    assert (told["kind"], told["id"]) == ("client", made["client_id"])


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


async def test_a_secret_is_rotated_with_an_overlap(moving: Machines, clock: Clock) -> None:
    made = await moving.make()
    path = f"/{made['client_id']}"
    status, second = await moving.ask("POST", f"{path}/secrets", json={"overlap_seconds": 3600})
    assert status == 201
    new = {**made, "client_secret": second["client_secret"]}
    assert [(await moving.token(one))[0] for one in (made, new)] == [200, 200]
    first, after = (await moving.read(made))["secrets"]
    assert first["expires_at"] == second["others_end_at"]
    assert (after["id"], after["expires_at"]) == (second["id"], None)
    clock.ahead = timedelta(minutes=59, seconds=50)
    assert (await moving.token(made))[0] == 200
    clock.ahead = timedelta(hours=1, seconds=1)
    assert [(await moving.token(one))[0] for one in (made, new)] == [401, 200]


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


async def test_with_no_overlap_the_old_secret_ends_at_once(machines: Machines) -> None:
    made = await machines.make()
    bearer = await machines.bearer(made)
    _, second = await machines.ask("POST", f"/{made['client_id']}/secrets", json={"overlap_seconds": 0})
    assert await machines.use(bearer) == 200
    assert (await machines.token(made))[0] == 401
    assert (await machines.token(made, second["client_secret"]))[0] == 200


async def test_a_secret_that_is_removed_counts_no_more_and_takes_the_tokens_along(machines: Machines) -> None:
    made = await machines.make()
    path, stolen = f"/{made['client_id']}/secrets", await machines.bearer(made)
    _, second = await machines.ask("POST", path, json={})
    [first, _] = (await machines.read(made))["secrets"]
    assert (await machines.ask("DELETE", f"{path}/{first['id']}"))[0] == 204
    assert (await machines.token(made))[0] == 401
    assert await machines.use(stolen) == 401
    status, answer = await machines.token(made, second["client_secret"])
    assert status == 200
    assert await machines.use(answer["access_token"]) == 200
    assert (await machines.ask("DELETE", f"{path}/{first['id']}"))[0] == 404


async def test_a_client_has_a_bounded_number_of_secrets_and_old_ones_are_forgotten(
    moving: Machines, clock: Clock
) -> None:
    made = await moving.make()
    path = f"/{made['client_id']}/secrets"
    for _ in range(MAX_SECRETS - 1):
        assert (await moving.ask("POST", path, json={}))[0] == 201
    status, problem = await moving.ask("POST", path, json={})
    assert (status, problem["code"]) == (409, "too_many_secrets")
    assert len((await moving.read(made))["secrets"]) == MAX_SECRETS
    assert (await moving.token(made))[0] == 200
    clock.ahead = KEPT + timedelta(days=2)
    moving.headers = moving.users.tokens.headers(moving.tenant, ["tenant:admin"])
    assert (await moving.ask("POST", path, json={}))[0] == 201
    assert len((await moving.read(made))["secrets"]) == 2


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


async def test_changes_that_race_are_all_made(machines: Machines) -> None:
    made = await machines.make("users:read", "users:write", "groups:read")
    path = f"/{made['client_id']}"
    changes: list[dict[str, Any]] = [
        {"name": "wages"},
        {"scopes": ["users:read"]},
        {"expires_at": "2999-01-01T00:00:00Z"},
    ]
    answers = await asyncio.gather(*(machines.ask("PATCH", path, json=change) for change in changes))
    assert [status for status, _ in answers] == [200] * 3
    found = await machines.read(made)
    assert (found["version"], found["name"], found["scopes"]) == (4, "wages", ["users:read"])
    assert found["expires_at"] is not None


async def test_a_deleted_client_is_gone_with_its_tokens(machines: Machines) -> None:
    made, other = await machines.make(), await machines.make()
    bearers = [await machines.bearer(one) for one in (made, other)]
    assert (await machines.ask("DELETE", f"/{made['client_id']}"))[0] == 204
    assert [await machines.use(one) for one in bearers] == [401, 200]
    status, answer = await machines.token(made)
    assert (status, answer["error"]) == (401, "invalid_client")
    assert (await machines.ask("GET", f"/{made['client_id']}"))[0] == 404
    assert (await machines.ask("DELETE", f"/{made['client_id']}"))[0] == 404


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
    async with container.database.transaction() as connection:
        kept = await add_client(container, connection, caller, NewClient("kept", frozenset({"users:read"})))
    assert kept.secret is not None
    assert kept.secret not in repr(kept)
    undone: list[ApiClient] = []
    with suppress(ZeroDivisionError):
        async with container.database.transaction() as connection:
            made = await add_client(container, connection, caller, NewClient("undone", frozenset({"users:read"})))
            undone.append(made.client)
            raise ZeroDivisionError
    assert [one["client_id"] for one in (await machines.ask("GET"))[1]["clients"]] == [kept.client.id]
    for scopes in (set[str](), {"service"}, {"platform:admin"}):
        with pytest.raises(ValueError, match="scopes"):
            async with container.database.transaction() as connection:
                await add_client(container, connection, caller, NewClient("x", frozenset(scopes)))


async def test_a_tenant_has_a_bounded_number_of_clients(machines: Machines) -> None:
    async with machines.users.container.database.transaction() as connection:
        await connection.execute(
            "INSERT INTO clients (tenant_id, id, name, scopes, authentication, version, created_at, created_by,"
            " modified_at) SELECT $1, $1 || '.' || n, 'x', '{users:read}', 'client_secret_basic', 1, now(), 'x', now()"
            " FROM generate_series(2, $2::int) AS n",
            machines.tenant,
            MAX_CLIENTS,
        )
    wanted = {"name": "x", "scopes": ["users:read"]}
    answers = await asyncio.gather(*(machines.ask("POST", json=wanted) for _ in range(3)))
    assert sorted(status for status, _ in answers) == [201, 409, 409]
