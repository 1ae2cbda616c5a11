"""API clients over HTTP: made, used, rotated, changed, ended; and what is refused."""

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from joserfc import jws
from joserfc.jwk import ECKey

from quartet_testing.clock import Clock
from quartet_testing.forgery import claims_of
from quartet_testing.plugin import ConfigFor
from quartet_testing.services import RunningService, run_service
from quartet_users.api_clients import api_client_usecases
from quartet_users.api_clients.client_assertions import TYPE
from quartet_users.app import SERVICE
from quartet_users.config import UsersConfig

Document = dict[str, Any]
Headers = dict[str, str]

PATH = "/users/clients"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def later(config_for: ConfigFor[UsersConfig], clock: Clock) -> AsyncIterator[RunningService]:
    """The service with a clock of the test's own."""
    async with run_service(SERVICE, config_for(UsersConfig), clock=clock) as running:
        yield running


@pytest.fixture
def own(users: RunningService, made_tenant: str) -> Headers:
    """The token of an administrator of a tenant that is there."""
    return users.tokens.headers(made_tenant, ("tenant:admin",), actor="carla")


async def post(users: RunningService, headers: Headers, **body: Any) -> tuple[int, Document]:
    content = {"name": "reporting", "scopes": ["users:read", "groups:read"], **body}
    answer = await users.client.post(PATH, headers=headers, json=content)
    return answer.status_code, await answer.get_json(force=True)


async def make(users: RunningService, headers: Headers, **body: Any) -> Document:
    status, made = await post(users, headers, **body)
    assert status == 201, made
    return made


def basic(client_id: str, secret: str) -> Headers:
    return {"Authorization": f"Basic {b64encode(f'{client_id}:{secret}'.encode()).decode()}"}


async def token(users: RunningService, made: Document, secret: str | None = None, **form: str) -> tuple[int, Document]:
    """What the token endpoint answers the client."""
    headers = basic(made["client_id"], secret or made["client_secret"])
    content = {"grant_type": "client_credentials", **form}
    answer = await users.client.post("/oauth2/token", headers=headers, form=content)
    return answer.status_code, await answer.get_json(force=True)


async def read(users: RunningService, headers: Headers, made: Document) -> Document:
    answer = await users.client.get(f"{PATH}/{made['client_id']}", headers=headers)
    assert answer.status_code == 200
    found: Document = await answer.get_json()
    return found


async def status_of(users: RunningService, bearer: str) -> int:
    headers = {"Authorization": f"Bearer {bearer}"}
    return (await users.client.get("/scim/v2/Users", headers=headers)).status_code


async def test_a_client_gets_tokens_of_its_tenant_with_its_scopes(
    users: RunningService, own: Headers, made_tenant: str
) -> None:
    made = await make(users, own)
    assert made["client_id"].startswith(f"{made_tenant}.")
    status, answer = await token(users, made)
    assert (status, answer["scope"]) == (200, "groups:read users:read")
    assert await status_of(users, answer["access_token"]) == 200
    narrowed = (await token(users, made, scope="groups:read"))[1]
    assert await status_of(users, narrowed["access_token"]) == 403
    assert (await token(users, made, scope="users:write"))[1]["error"] == "invalid_scope"
    assert (await token(users, made, tenant="default"))[1]["error"] == "invalid_request"
    assert (await token(users, made, tenant=made_tenant))[0] == 200


async def test_a_secret_in_the_form_does_as_well_and_two_ways_at_once_do_not(
    users: RunningService, own: Headers
) -> None:
    made = await make(users, own)
    form = {"grant_type": "client_credentials", "client_id": made["client_id"], "client_secret": made["client_secret"]}
    assert (await users.client.post("/oauth2/token", form=form)).status_code == 200
    both = await users.client.post("/oauth2/token", headers=basic(made["client_id"], made["client_secret"]), form=form)
    assert (both.status_code, (await both.get_json())["error"]) == (400, "invalid_request")


async def test_what_a_client_does_is_recorded_with_its_name(
    users: RunningService, own: Headers, made_tenant: str
) -> None:
    made = await make(users, own)
    status, answer = await token(users, made)
    assert (status, claims_of(answer["access_token"])["client_name"]) == (200, made["name"])
    headers = {"Authorization": f"Bearer {answer['access_token']}", "User-Agent": "sync/2.1"}
    body = {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "babs"}
    response = await users.client.post("/scim/v2/Users", headers=headers, json=body)
    assert response.status_code in (201, 403)
    last = (await users.outbox(made_tenant))[-1]
    assert (last.actorid, last.actorname, last.actortype, last.useragent) == (
        made["client_id"], made["name"], "client", "sync/2.1",
    )  # fmt: skip


async def test_a_secret_is_shown_once_and_stored_nowhere(users: RunningService, own: Headers, made_tenant: str) -> None:
    made = await make(users, own)
    secret = made["client_secret"]
    assert secret.startswith(f"quartet_secret_{made_tenant}_")
    found = await read(users, own, made)
    assert secret not in str(found)
    assert found["secrets"][0]["hint"].endswith(secret[-4:])
    events = await users.outbox(made_tenant)
    assert secret not in str(events)
    async with users.container.database.connection() as connection:
        for table in ("clients", "client_secrets"):
            rows = await connection.fetch(f"SELECT t::text AS line FROM {table} t WHERE tenant_id = $1", made_tenant)
            assert rows
            assert not [row for row in rows if secret in row["line"] or secret.encode().hex() in row["line"]]


async def test_it_is_known_when_a_client_and_its_secret_were_used_last(users: RunningService, own: Headers) -> None:
    made = await make(users, own)
    found = await read(users, own, made)
    assert (found["last_used_at"], found["secrets"][0]["last_used_at"]) == (None, None)
    await token(users, made)
    found = await read(users, own, made)
    assert found["last_used_at"] == found["secrets"][0]["last_used_at"] is not None


@pytest.mark.parametrize(
    "body",
    [
        {"scopes": []}, {"scopes": ["users:read", "service"]}, {"scopes": ["platform:admin"]}, {"scopes": ["no"]},
        {"name": ""}, {"name": "a\nb"}, {"name": "x" * 201}, {"name": 7}, {"authentication": "none"},
        {"authentication": "private_key_jwt"}, {"jwks": {"keys": []}}, {"expires_at": "2020-01-01T00:00:00Z"},
        {"expires_at": "2999-01-01T00:00:00"}, {"expires_at": "soon"}, {"unknown": True},
    ],
)  # fmt: skip
async def test_what_no_client_can_be_is_refused(users: RunningService, own: Headers, body: Document) -> None:
    before = (await (await users.client.get(PATH, headers=own)).get_json())["clients"]
    assert (await post(users, own, **body))[0] == 400
    assert (await (await users.client.get(PATH, headers=own)).get_json())["clients"] == before


async def test_only_an_administrator_makes_clients(users: RunningService, made_tenant: str) -> None:
    poor = users.tokens.headers(made_tenant, ("users:write", "users:read"))
    assert (await post(users, poor))[0] == 403
    assert (await post(users, {}))[0] == 401


@pytest.mark.parametrize("client_id", ["nobody", "acme.nobody", ".", "", "a" * 500, "acme.\0", "acmé.x"])
async def test_unknown_clients_and_wrong_secrets_are_answered_alike(
    users: RunningService, own: Headers, client_id: str
) -> None:
    made = await make(users, own)
    form = {"grant_type": "client_credentials"}
    answers = [
        await users.client.post("/oauth2/token", headers=basic(one, "quartet_secret_x"), form=form)
        for one in (client_id, made["client_id"])
    ]
    assert [answer.status_code for answer in answers] == [401, 401]
    assert await answers[0].get_json() == await answers[1].get_json()
    assert answers[0].headers["WWW-Authenticate"].startswith("Basic")


async def test_a_rotated_secret_counts_beside_the_new_one_until_the_overlap_is_over(
    later: RunningService, clock: Clock, made_tenant: str
) -> None:
    own = later.tokens.headers(made_tenant, ("tenant:admin",))
    made = await make(later, own)
    rotated = await later.client.post(f"{PATH}/{made['client_id']}/secrets", headers=own, json={"overlap_seconds": 300})
    assert rotated.status_code == 201
    new = (await rotated.get_json())["client_secret"]
    assert [(await token(later, made, one))[0] for one in (None, new)] == [200, 200]
    clock.ahead = timedelta(seconds=301)
    assert [(await token(later, made, one))[0] for one in (None, new)] == [401, 200]
    found = await read(later, own, made)
    assert len(found["secrets"]) == 2
    clock.ahead += api_client_usecases.KEPT
    own = later.tokens.headers(made_tenant, ("tenant:admin",))
    await later.client.post(f"{PATH}/{made['client_id']}/secrets", headers=own, json={})
    assert len((await read(later, own, made))["secrets"]) == 2, "what ended long ago is forgotten"


async def test_without_an_overlap_the_old_secret_ends_at_once(users: RunningService, own: Headers) -> None:
    made = await make(users, own)
    path = f"{PATH}/{made['client_id']}/secrets"
    new = (await (await users.client.post(path, headers=own, json={"overlap_seconds": 0})).get_json())["client_secret"]
    assert [(await token(users, made, one))[0] for one in (None, new)] == [401, 200]
    for body in ({"overlap_seconds": -1}, {"overlap_seconds": 30 * 24 * 3600 + 1}, {"overlap_seconds": "1"}):
        assert (await users.client.post(path, headers=own, json=body)).status_code == 400


async def test_a_secret_that_is_removed_takes_the_clients_tokens_with_it(users: RunningService, own: Headers) -> None:
    made = await make(users, own)
    bearer = (await token(users, made))[1]["access_token"]
    assert await status_of(users, bearer) == 200
    [secret] = (await read(users, own, made))["secrets"]
    path = f"{PATH}/{made['client_id']}/secrets"
    assert (await users.client.delete(f"{path}/{secret['id']}", headers=own)).status_code == 204
    assert await status_of(users, bearer) == 401
    assert (await token(users, made))[0] == 401
    assert (await users.client.delete(f"{path}/{secret['id']}", headers=own)).status_code == 404
    assert (await users.client.delete(f"{path}/{uuid4()}", headers=own)).status_code == 404


async def test_a_client_that_is_removed_is_gone_with_its_tokens(users: RunningService, own: Headers) -> None:
    made = await make(users, own)
    bearer = (await token(users, made))[1]["access_token"]
    path = f"{PATH}/{made['client_id']}"
    assert (await users.client.delete(path, headers=own)).status_code == 204
    assert await status_of(users, bearer) == 401
    assert (await token(users, made))[0] == 401
    assert [(await users.client.get(path, headers=own)).status_code] == [404]
    assert (await users.client.delete(path, headers=own)).status_code == 404


async def test_who_may_do_less_loses_its_tokens_and_who_may_do_more_does_not(
    users: RunningService, own: Headers
) -> None:
    made = await make(users, own)
    path = f"{PATH}/{made['client_id']}"
    bearer = (await token(users, made))[1]["access_token"]
    for body in ({"name": "reports"}, {"scopes": ["users:read", "groups:read", "audit:read"]}):
        assert (await users.client.patch(path, headers=own, json=body)).status_code == 200
        assert await status_of(users, bearer) == 200
    assert (await users.client.patch(path, headers=own, json={"scopes": ["groups:read"]})).status_code == 200
    assert await status_of(users, bearer) == 401
    assert (await token(users, made))[1]["scope"] == "groups:read"


async def test_a_client_that_has_expired_gets_nothing_more(
    later: RunningService, clock: Clock, made_tenant: str
) -> None:
    own = later.tokens.headers(made_tenant, ("tenant:admin",))
    end = (datetime.now(UTC) + timedelta(minutes=1)).isoformat()
    made = await make(later, own, expires_at=end)
    assert (await token(later, made))[0] == 200
    clock.ahead = timedelta(minutes=2)
    assert (await token(later, made))[0] == 401


async def ids(users: RunningService, own: Headers) -> list[str]:
    page = await (await users.client.get(PATH, headers=own)).get_json()
    return [one["client_id"] for one in page["clients"]]


async def test_clients_are_listed_a_page_at_a_time(users: RunningService, own: Headers) -> None:
    made = sorted([(await make(users, own, name=f"client {number}"))["client_id"] for number in range(5)])
    others = [one for one in await ids(users, own) if one not in made]
    found: list[str] = []
    query = {"count": "2"}
    while True:
        page = await (await users.client.get(PATH, headers=own, query_string=query)).get_json()
        assert len(page["clients"]) <= 2
        found += [one["client_id"] for one in page["clients"]]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
    assert found == sorted([*made, *others])
    for wrong in ({"count": "0"}, {"count": "x"}, {"cursor": "x"}, {"page": "1"}):
        assert (await users.client.get(PATH, headers=own, query_string=wrong)).status_code == 400


async def test_changes_that_race_all_count(users: RunningService, own: Headers) -> None:
    made = await make(users, own)
    path = f"{PATH}/{made['client_id']}"
    answers = await asyncio.gather(
        *(users.client.patch(path, headers=own, json={"name": f"name {number}"}) for number in range(8))
    )
    assert {answer.status_code for answer in answers} == {200}
    assert (await read(users, own, made))["version"] == 9


async def test_no_more_clients_and_secrets_than_there_can_be(
    users: RunningService, own: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_client_usecases, "MAX_CLIENTS", len(await ids(users, own)) + 2)
    results = await asyncio.gather(*(post(users, own) for _ in range(6)))
    assert sorted(status for status, _ in results) == [201, 201, 409, 409, 409, 409]
    made = next(one for status, one in results if status == 201)
    path = f"{PATH}/{made['client_id']}/secrets"
    statuses = [(await users.client.post(path, headers=own, json={})).status_code for _ in range(6)]
    assert statuses == [201] * (api_client_usecases.MAX_SECRETS - 1) + [409, 409]


KEY = ECKey.generate_key("P-256")
JWKS = {"keys": [KEY.as_dict(private=False)]}


def assertion(made: Document, users: RunningService, key: ECKey = KEY, **changes: Any) -> dict[str, str]:
    """The form of a token request with a signature instead of a secret."""
    now = int(datetime.now(UTC).timestamp())
    content = {"iss": made["client_id"], "sub": made["client_id"], "aud": users.container.config.issuer}
    claims = {**content, "exp": now + 60, "jti": str(uuid4()), **changes}
    text = jws.serialize_compact({"alg": "ES256"}, json.dumps(claims).encode(), key)
    return {"grant_type": "client_credentials", "client_assertion_type": TYPE, "client_assertion": text}


async def test_a_client_with_keys_signs_for_its_tokens_once_each(users: RunningService, own: Headers) -> None:
    made = await make(users, own, authentication="private_key_jwt", jwks=JWKS)
    assert made["client_secret"] is None
    form = assertion(made, users)
    answers = await asyncio.gather(*(users.client.post("/oauth2/token", form=form) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401, 401]
    endpoint = f"{users.container.config.issuer}/oauth2/token"
    assert (await users.client.post("/oauth2/token", form=assertion(made, users, aud=endpoint))).status_code == 200


async def test_assertions_that_are_not_the_clients_are_refused(users: RunningService, own: Headers) -> None:
    made = await make(users, own, authentication="private_key_jwt", jwks=JWKS)
    secretive = await make(users, own)
    wrong = [
        assertion(made, users, ECKey.generate_key("P-256")),
        assertion(made, users, aud="https://elsewhere.example.com"),
        assertion(secretive, users),
        assertion({"client_id": "acme.nobody"}, users),
        assertion({"client_id": "acme.\ud800"}, users),
        {**assertion(made, users), "client_assertion": "x.y.z"},
    ]
    for form in wrong:
        answer = await users.client.post("/oauth2/token", form=form)
        assert (answer.status_code, (await answer.get_json())["error"]) == (401, "invalid_client"), form
    for more in ({"client_assertion_type": "other"}, {"client_id": "acme.other"}, {"client_secret": "x"}):
        answer = await users.client.post("/oauth2/token", form={**assertion(made, users), **more})
        assert (answer.status_code, (await answer.get_json())["error"]) == (400, "invalid_request"), more


async def test_new_keys_take_the_place_of_the_old_and_end_the_tokens(users: RunningService, own: Headers) -> None:
    made = await make(users, own, authentication="private_key_jwt", jwks=JWKS)
    path, other = f"{PATH}/{made['client_id']}", ECKey.generate_key("P-256")
    answer = await users.client.post("/oauth2/token", form=assertion(made, users))
    bearer = (await answer.get_json())["access_token"]
    body = {"jwks": {"keys": [other.as_dict(private=False)]}}
    assert (await users.client.patch(path, headers=own, json=body)).status_code == 200
    assert await status_of(users, bearer) == 401
    assert (await users.client.post("/oauth2/token", form=assertion(made, users))).status_code == 401
    assert (await users.client.post("/oauth2/token", form=assertion(made, users, other))).status_code == 200
    assert (await users.client.post(f"{path}/secrets", headers=own, json={})).status_code == 409
    secretive = await make(users, own)
    answer = await users.client.patch(f"{PATH}/{secretive['client_id']}", headers=own, json=body)
    assert answer.status_code == 409


async def test_a_parameter_that_stands_twice_is_refused(users: RunningService, own: Headers) -> None:
    made = await make(users, own)
    headers = {**basic(made["client_id"], made["client_secret"]), "Content-Type": "application/x-www-form-urlencoded"}
    for twice in ("grant_type=client_credentials", "scope=users:read", "tenant=default"):
        body = f"grant_type=client_credentials&{twice}&{twice}"
        answer = await users.client.post("/oauth2/token", headers=headers, data=body)
        assert (answer.status_code, (await answer.get_json())["error"]) == (400, "invalid_request")


async def test_a_token_for_one_service_names_it_and_only_it(users: RunningService, own: Headers) -> None:
    made, issuer = await make(users, own), users.container.config.issuer
    for service, expected in (("users", 200), ("groups", 401)):
        status, answer = await token(users, made, resource=f"{issuer}/{service}")
        assert status == 200
        assert await status_of(users, answer["access_token"]) == expected
    assert (await token(users, made, resource="https://elsewhere.example.com"))[1]["error"] == "invalid_target"


async def test_a_password_is_no_grant(users: RunningService, own: Headers) -> None:
    made = await make(users, own)
    status, answer = await token(users, made, grant_type="password", username="bjensen", password="a long password")
    assert (status, answer["error"]) == (400, "unsupported_grant_type")


async def test_the_installations_own_client_leaves_a_trace_in_a_customers_log(
    users: RunningService, made_tenant: str
) -> None:
    config: UsersConfig = users.container.config
    admin = next(one for one in config.bootstrap_clients.clients if one.client_id == "quartet-admin")
    pair = basic(admin.client_id, admin.client_secret.get_secret_value())
    form = {"grant_type": "client_credentials", "tenant": made_tenant, "scope": "users:read"}
    assert (await users.client.post("/oauth2/token", headers=pair, form=form)).status_code == 200
    [published] = [one for one in await users.outbox(made_tenant) if one.routing_key == "users.token.issued.v1"]
    assert (published.actorid, published.data) == (
        "quartet-admin",
        {"clientId": "quartet-admin", "scopes": ["users:read"]},
    )
