"""Introspection and revocation over HTTP: what a client learns of which tokens, and which ones it can end."""

import time
from base64 import b64encode
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from quartet_common.auth.opaque_tokens import CLIENT_SECRET, REFRESH_TOKEN, SCIM_TOKEN, make
from quartet_common.auth.revocations import revocation
from quartet_common.auth.token_verifier import LEEWAY, MAX_TOKEN_LENGTH
from quartet_common.config.rate_limit import Limit
from quartet_common.core.caller import RequestOrigin
from quartet_common.core.errors import LimitedError
from quartet_common.core.identifiers import SYSTEM_TENANT
from quartet_testing.conditions import eventually
from quartet_testing.forgery import claims_of
from quartet_testing.people import People
from quartet_testing.services import RunningService, new_tenant
from quartet_users.config import UsersConfig
from quartet_users.oauth import token_status_usecases
from quartet_users.oauth.token_status_usecases import INACTIVE, Asker, TokenStatus
from quartet_users.scim_tokens.scim_token_finder import ScimTokens

Document = dict[str, Any]
Headers = dict[str, str]

INTROSPECT, REVOKE = "/oauth2/introspect", "/oauth2/revoke"
ALL = ("users:read", "users:write", "groups:read", "groups:write", "tenant:admin")


def basic(users: RunningService, client_id: str, secret: str | None = None) -> Headers:
    config: UsersConfig = users.container.config
    [client] = [one for one in config.bootstrap_clients.clients if one.client_id == client_id]
    pair = f"{client_id}:{client.client_secret.get_secret_value() if secret is None else secret}"
    return {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}


@pytest.fixture
def service(users: RunningService) -> Headers:
    """The credentials of a service, which may ask about all tokens."""
    return basic(users, "quartet-groups")


@pytest.fixture
def admin(users: RunningService) -> Headers:
    """The credentials of the launcher's client."""
    return basic(users, "quartet-admin")


@pytest.fixture
def status(users: RunningService) -> TokenStatus:
    """The use cases, for clients that no configuration has."""
    container = users.container
    return TokenStatus(container, ScimTokens(lambda: container.database, container.clock))


def own(users: RunningService, tenant: str, actor: str = "quartet-admin", **claims: Any) -> str:
    """An access token with an id of its own."""
    return users.tokens.token(tenant, ["users:read"], actor, **{"jti": str(uuid4()), **claims})


async def ask(users: RunningService, who: Headers, token: str, **form: str) -> Document:
    answer = await users.client.post(INTROSPECT, headers=who, form={"token": token, **form})
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    found: Document = await answer.get_json()
    return found


async def revoke(users: RunningService, who: Headers, token: str, **form: str) -> None:
    answer = await users.client.post(REVOKE, headers=who, form={"token": token, **form})
    assert (answer.status_code, await answer.get_data()) == (200, b"")


async def used(users: RunningService, token: str) -> int:
    answer = await users.client.get("/scim/v2/Users", headers={"Authorization": f"Bearer {token}"})
    return int(answer.status_code)


async def scim_token(users: RunningService, tenant: str, **body: Any) -> Document:
    headers = users.tokens.headers(tenant, ALL)
    answer = await users.client.post("/users/scim-tokens", headers=headers, json={"name": "okta", **body})
    assert answer.status_code == 201
    made: Document = await answer.get_json()
    return made


async def test_an_access_token_is_introspected_by_its_claims(
    users: RunningService, tenant: str, service: Headers, admin: Headers
) -> None:
    issuer = users.container.config.issuer
    issued, end = int(time.time()) - 100.75, int(time.time()) + 500
    for audience in ("quartet", f"{issuer}/users", f"{issuer}/audit", [f"{issuer}/groups", "else"]):
        token = own(users, tenant, aud=audience, iat=issued, exp=end, jti="one")
        for who in (service, admin):
            assert await ask(users, who, token) == {
                "active": True, "tenant": tenant, "sub": "quartet-admin", "client_id": "quartet-admin",
                "scope": "users:read", "token_type": "Bearer", "jti": "one", "iss": issuer, "aud": audience,
                "iat": int(issued), "exp": end,
            }  # fmt: skip


async def test_the_token_that_the_token_endpoint_gives_is_active_whatever_the_hint(
    users: RunningService, service: Headers, admin: Headers
) -> None:
    form = {"grant_type": "client_credentials", "tenant": "default", "scope": "users:read audit:read"}
    answer = await (await users.client.post("/oauth2/token", headers=admin, form=form)).get_json()
    for hint in ("access_token", "refresh_token", "nonsense", ""):
        found = await ask(users, service, answer["access_token"], token_type_hint=hint)
        assert (found["active"], found["scope"]) == (True, "audit:read users:read")


async def test_a_person_is_introspected_by_name(users: RunningService, tenant: str, service: Headers) -> None:
    headers = users.tokens.headers(tenant, ALL)
    body = {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "babs"}
    user = await (await users.client.post("/scim/v2/Users", headers=headers, json=body)).get_json(force=True)
    found = await ask(users, service, own(users, tenant, user["id"], client_id="quartet-cli"))
    assert (found["sub"], found["username"], found["client_id"]) == (user["id"], "babs", "quartet-cli")
    elsewhere = await ask(users, service, own(users, new_tenant(), user["id"], client_id="quartet-cli"))
    assert "username" not in elsewhere


async def test_a_scim_token_is_introspected_until_it_ends(users: RunningService, tenant: str, service: Headers) -> None:
    made = await scim_token(users, tenant, scopes=["users:read", "groups:read"])
    found = await ask(users, service, made["token"])
    created = int(datetime.fromisoformat(made["created_at"]).timestamp())
    subject = f"scim-token/{made['id']}"
    assert found == {
        "active": True, "tenant": tenant, "sub": subject, "client_id": subject, "scope": "groups:read users:read",
        "client_name": "okta",
        "token_type": "Bearer", "jti": made["id"], "iss": users.container.config.issuer, "aud": "quartet",
        "iat": created,
    }  # fmt: skip
    ending = await scim_token(users, tenant, expires_in_days=1)
    end = int(datetime.fromisoformat(ending["expires_at"]).timestamp())
    assert (await ask(users, service, ending["token"]))["exp"] == end
    headers = users.tokens.headers(tenant, ALL)
    assert (await users.client.delete(f"/users/scim-tokens/{made['id']}", headers=headers)).status_code == 204
    assert await ask(users, service, made["token"]) == INACTIVE


@pytest.mark.parametrize("column", ["expires_at", "revoked_at"])
async def test_what_the_database_says_has_ended_is_not_active_whoever_has_heard_of_it(
    users: RunningService, tenant: str, service: Headers, column: str
) -> None:
    token = (await scim_token(users, tenant))["token"]
    assert (await ask(users, service, token))["active"]
    async with users.container.database.transaction() as connection:
        await connection.execute(f"UPDATE scim_tokens SET {column} = now() WHERE tenant_id = $1", tenant)
    assert await ask(users, service, token) == INACTIVE


async def test_a_question_of_a_service_counts_as_a_use_and_one_of_a_client_does_not(
    users: RunningService, tenant: str, service: Headers, admin: Headers
) -> None:
    made = await scim_token(users, tenant)
    path, headers = f"/users/scim-tokens/{made['id']}", users.tokens.headers(tenant, ALL)

    async def last() -> Any:
        return (await (await users.client.get(path, headers=headers)).get_json())["last_used_at"]

    other = await scim_token(users, tenant)
    assert (await ask(users, admin, made["token"]))["active"]
    assert (await ask(users, service, other["token"]))["active"]
    path = f"/users/scim-tokens/{other['id']}"
    await eventually(last, "the use by the service")
    path = f"/users/scim-tokens/{made['id']}"
    assert await last() is None


async def test_what_is_not_valid_is_not_active_and_nothing_more_is_said(
    users: RunningService, tenant: str, service: Headers
) -> None:
    now = int(time.time())
    wrong = [
        "x",
        "é\0",
        "a" * (MAX_TOKEN_LENGTH + 1),
        own(users, tenant)[:-1],
        own(users, tenant, exp=now - LEEWAY // 2),
        own(users, tenant, iss="https://id.example.org"),
        own(users, tenant, aud="https://else.example.com"),
        make(SCIM_TOKEN, tenant),
        SCIM_TOKEN + "a" * MAX_TOKEN_LENGTH,
        make(REFRESH_TOKEN, tenant),
        make(CLIENT_SECRET, tenant),
    ]
    for token in wrong:
        assert await ask(users, service, token) == INACTIVE, token[:100]


async def test_a_client_of_a_tenant_knows_of_its_own_tokens_only(
    users: RunningService, status: TokenStatus, tenant: str
) -> None:
    tokens = [own(users, tenant), (await scim_token(users, tenant))["token"]]
    asker, stranger = (Asker("crm", frozenset({one})) for one in (tenant, new_tenant()))
    for token in tokens:
        assert (await status.introspect(asker, token))["tenant"] == tenant
        assert await status.introspect(stranger, token) == INACTIVE
    of_a_service = users.tokens.token("*", ["service"], "quartet-groups")
    assert await status.introspect(asker, of_a_service) == INACTIVE
    assert (await status.introspect(Asker("quartet-admin", frozenset({"*"})), of_a_service))["active"]


async def client_of(users: RunningService, tenant: str) -> tuple[str, Headers]:
    """The id and the credentials of a new API client of a tenant."""
    platform = users.tokens.headers("quartet", ["platform:admin"])
    made = await users.client.post("/users/tenants", headers=platform, json={"id": tenant})
    assert made.status_code in (201, 409)
    headers = users.tokens.headers(tenant, ALL)
    body = {"name": "crm", "scopes": ["users:read"]}
    client = await (await users.client.post("/users/clients", headers=headers, json=body)).get_json()
    pair = f"{client['client_id']}:{client['client_secret']}"
    return client["client_id"], {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}


async def test_an_api_client_asks_about_its_tenant_and_ends_its_own(users: RunningService, tenant: str) -> None:
    client_id, mine = await client_of(users, tenant)
    _, neighbour = await client_of(users, tenant)
    _, stranger = await client_of(users, new_tenant())
    tokens = [own(users, tenant, client_id), (await scim_token(users, tenant, client_id=client_id))["token"]]
    for token in tokens:
        assert [(await ask(users, who, token))["active"] for who in (mine, neighbour, stranger)] == [True, True, False]
        for who in (neighbour, stranger):
            await revoke(users, who, token)
        assert await used(users, token) == 200
        await revoke(users, mine, token)
        assert await used(users, token) == 401


async def test_a_public_client_may_end_what_names_it_but_not_ask(users: RunningService, tenant: str) -> None:
    user_id = str(uuid4())
    token, other = (own(users, tenant, user_id, client_id=one) for one in ("quartet-cli", "quartet-console"))
    answer = await users.client.post(INTROSPECT, form={"token": token, "client_id": "quartet-cli"})
    assert (answer.status_code, (await answer.get_json())["error"]) == (401, "invalid_client")
    for one in (token, other):
        await revoke(users, {}, one, client_id="quartet-cli")
    assert [await used(users, one) for one in (token, other)] == [401, 200]
    [event] = await users.outbox(tenant)
    assert (event.routing_key, event.actorid) == ("users.token.revoked.v1", user_id)


async def test_a_token_of_a_suspended_tenant_is_not_active(
    users: RunningService, tenant: str, service: Headers
) -> None:
    tokens = [own(users, tenant), (await scim_token(users, tenant))["token"]]
    users.container.revocations.add([revocation(tenant, "tenant", tenant, datetime.now(UTC), endless=True)])
    assert [await ask(users, service, token) for token in tokens] == [INACTIVE, INACTIVE]
    assert [await used(users, token) for token in tokens] == [401, 401]


async def test_a_scim_token_works_again_when_its_tenant_is_no_longer_suspended(
    users: RunningService, tenant: str, service: Headers
) -> None:
    token = (await scim_token(users, tenant))["token"]
    assert await used(users, token) == 200
    known = users.container.revocations
    known.add([revocation(tenant, "tenant", tenant, datetime.now(UTC), endless=True)])
    assert await used(users, token) == 401
    known.add([revocation(tenant, "tenant", tenant, datetime.now(UTC))])
    assert await used(users, token) == 200
    assert (await ask(users, service, token))["active"]


@pytest.mark.parametrize("path", [INTROSPECT, REVOKE])
async def test_who_is_no_client_learns_and_ends_nothing(users: RunningService, tenant: str, path: str) -> None:
    token = own(users, tenant)
    wrong: list[Headers] = [
        {},
        basic(users, "quartet-admin", "wrong"),
        {"Authorization": "Basic !!!"},
        {"Authorization": f"Bearer {token}"},
    ]
    for headers in wrong:
        answer = await users.client.post(path, headers=headers, form={"token": token})
        assert (answer.status_code, (await answer.get_json())["error"]) == (401, "invalid_client")
        assert answer.headers["WWW-Authenticate"].startswith("Basic")
    assert await used(users, token) == 200


@pytest.mark.parametrize("path", [INTROSPECT, REVOKE])
@pytest.mark.parametrize("body", [b"", b"token=", b"token=a&token=b", b"tokens=a"])
async def test_a_form_without_one_token_is_refused(
    users: RunningService, admin: Headers, path: str, body: bytes
) -> None:
    headers = {**admin, "Content-Type": "application/x-www-form-urlencoded"}
    answer = await users.client.post(path, headers=headers, data=body)
    assert (answer.status_code, (await answer.get_json())["error"]) == (400, "invalid_request")


async def test_a_client_ends_its_own_access_token(users: RunningService, tenant: str, admin: Headers) -> None:
    token, other = own(users, tenant), own(users, tenant)
    assert await used(users, token) == 200
    await revoke(users, admin, token, token_type_hint="access_token")
    assert [await used(users, one) for one in (token, other)] == [401, 200]
    assert await ask(users, admin, token) == INACTIVE
    [event] = await users.outbox(tenant)
    assert (event.routing_key, event.data["kind"]) == ("users.token.revoked.v1", "token")
    end = datetime.fromisoformat(event.data["expiresAt"]).timestamp()
    assert end == claims_of(token)["exp"], "so that nobody keeps it longer"
    await revoke(users, admin, token)
    assert len(await users.outbox(tenant)) == 1


@pytest.mark.parametrize(("limit", "other_is_let"), [("BY_ONE", True), ("BY_TENANT", False)])
async def test_who_ends_token_after_token_has_to_wait(
    users: RunningService, tenant: str, monkeypatch: pytest.MonkeyPatch, limit: str, *, other_is_let: bool
) -> None:
    monkeypatch.setattr(token_status_usecases, limit, Limit(2, 10))
    container = users.container
    status = TokenStatus(container, ScimTokens(lambda: container.database, container.clock))
    asker = Asker("quartet-admin", frozenset({"*"}))
    for _ in range(2):
        await status.revoke(asker, RequestOrigin(), own(users, tenant))
    token = own(users, tenant)
    with pytest.raises(LimitedError) as refused:
        await status.revoke(asker, RequestOrigin(), token)
    assert (refused.value.limit, await used(users, token)) == ("revocation", 200)
    await status.revoke(asker, RequestOrigin(), own(users, new_tenant()))
    other = own(users, tenant, str(uuid4()), client_id="quartet-admin")
    with nullcontext() if other_is_let else pytest.raises(LimitedError):
        await status.revoke(asker, RequestOrigin(), other)


async def test_a_token_of_a_service_is_ended_in_the_name_of_the_platform(users: RunningService) -> None:
    token = users.tokens.token("*", ["service"], "quartet-groups", jti=str(uuid4()))
    await revoke(users, basic(users, "quartet-groups"), token)
    assert await ask(users, basic(users, "quartet-groups"), token) == INACTIVE
    published = [
        event.data for event in await users.outbox(SYSTEM_TENANT) if event.routing_key == "users.token.revoked.v1"
    ]
    assert published[-1]["tenant"] == "*"


async def test_nothing_foreign_is_ended_and_nobody_is_told(
    users: RunningService, status: TokenStatus, tenant: str, admin: Headers
) -> None:
    scim = await scim_token(users, tenant)
    tokens = [own(users, tenant, "crm"), own(users, tenant, client_id="crm"), scim["token"]]
    for token in (*tokens, make(SCIM_TOKEN, tenant), make(REFRESH_TOKEN, tenant), "nonsense"):
        await revoke(users, admin, token)
    stranger = Asker("crm", frozenset({new_tenant()}))  # of the same name as a client of this tenant
    for token in tokens:
        await status.revoke(stranger, RequestOrigin(), token)
    assert [await used(users, token) for token in tokens] == [200] * 3
    assert [event.routing_key for event in await users.outbox(tenant)] == ["users.scim_token.created.v1"]


async def test_a_client_ends_the_scim_token_that_is_said_to_be_its_own(
    users: RunningService, status: TokenStatus, tenant: str
) -> None:
    made = await scim_token(users, tenant, client_id="crm")
    await status.revoke(Asker("erp", frozenset({tenant})), RequestOrigin(), made["token"])
    await status.revoke(Asker("crm", frozenset({new_tenant()})), RequestOrigin(), made["token"])
    assert await used(users, made["token"]) == 200
    await status.revoke(
        Asker("crm", frozenset({tenant}), name="CRM"), RequestOrigin("192.0.2.7", "curl/8.0"), made["token"]
    )
    assert await used(users, made["token"]) == 401
    last = (await users.outbox(tenant))[-1]
    assert (last.routing_key, last.actorid, last.sourceip) == ("users.token.revoked.v1", "crm", "192.0.2.7")
    assert (last.actorname, last.actortype, last.useragent) == ("CRM", "client", "curl/8.0")


async def test_what_is_no_token_cannot_be_revoked(users: RunningService, tenant: str, admin: Headers) -> None:
    form = {"token": make(CLIENT_SECRET, tenant)}
    answer = await users.client.post(REVOKE, headers=admin, form=form)
    assert (answer.status_code, (await answer.get_json())["error"]) == (400, "unsupported_token_type")


async def test_a_refresh_token_is_introspected_until_it_is_used(
    users: RunningService, people: People, tenant: str, service: Headers
) -> None:
    person = await people.person()
    session = await people.log_in(person)
    token = session.tokens["refresh_token"]
    found = await ask(users, service, token)
    named = {name: found[name] for name in ("active", "tenant", "sub", "client_id")}
    assert named == {"active": True, "tenant": tenant, "sub": person["id"], "client_id": "quartet-cli"}
    assert found["exp"] > found["iat"]
    assert "scope" not in found
    _, stranger = await client_of(users, new_tenant())
    assert await ask(users, stranger, token) == INACTIVE
    status, renewed = await people.refresh(token)
    assert status == 200
    assert await ask(users, service, token) == INACTIVE
    assert (await ask(users, service, renewed["refresh_token"]))["active"]
    assert (await ask(users, service, renewed["access_token"]))["username"] == person["userName"]
    async with users.container.database.transaction() as connection:
        await connection.execute("UPDATE sessions SET ends_at = now() WHERE tenant_id = $1", tenant)
    assert await ask(users, service, renewed["refresh_token"]) == INACTIVE


async def test_a_person_logs_out_by_the_refresh_token(users: RunningService, people: People, service: Headers) -> None:
    session, other = [await people.log_in(one) for one in (await people.person(), await people.person())]
    token = session.tokens["refresh_token"]
    await revoke(users, {}, token, client_id="quartet-console")  # which it was not given to
    assert not await session.is_refused()
    await revoke(users, {}, token, client_id="quartet-cli", token_type_hint="refresh_token")
    assert await session.is_refused()
    assert not await other.is_refused()
    assert await ask(users, service, token) == INACTIVE
    assert (await people.refresh(token))[0] == 400
    assert [(one["id"], one["reason"]) for one in await people.published("users.session.ended.v1")] == [
        (session.id, "logout")
    ]
    await revoke(users, {}, token, client_id="quartet-cli")
    assert len(await people.published("users.session.ended.v1")) == 1
