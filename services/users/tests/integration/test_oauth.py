"""Tokens and keys over HTTP."""

import asyncio
import base64

from joserfc import jwt
from joserfc.jwk import ECKey

from quartet_common.auth.token_verifier import TokenVerifier
from quartet_testing.services import RunningService, new_tenant
from quartet_users.config import BootstrapClient, UsersConfig
from quartet_users.tokens.key_ring import KeyRing


def admin(users: RunningService) -> BootstrapClient:
    config: UsersConfig = users.container.config
    return next(one for one in config.bootstrap_clients.clients if one.client_id == "quartet-admin")


def basic(client: BootstrapClient, secret: str | None = None) -> dict[str, str]:
    pair = f"{client.client_id}:{secret or client.client_secret.get_secret_value()}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


async def test_a_token_verifies_with_the_published_key(users: RunningService, made_tenant: str) -> None:
    tenant = made_tenant
    form = {"grant_type": "client_credentials", "scope": "users:read", "tenant": tenant}
    response = await users.client.post("/oauth2/token", headers=basic(admin(users)), form=form)
    assert response.status_code == 200
    assert response.headers["Cache-Control"] == "no-store"
    answer = await response.get_json()
    assert (answer["token_type"], answer["expires_in"], answer["scope"]) == ("Bearer", 600, "users:read")
    published = await (await users.client.get("/.well-known/jwks.json")).get_json()
    key = ECKey.import_key(published["keys"][0])
    assert jwt.decode(answer["access_token"], key, algorithms=["ES256"]).claims["tenant"] == tenant

    async def find(key_id: str) -> ECKey | None:
        return key if key_id == published["keys"][0]["kid"] else None

    who = await TokenVerifier(users.container.config.issuer, find).verify(answer["access_token"])
    assert (who.tenant, who.actor, who.scopes) == (tenant, "quartet-admin", frozenset({"users:read"}))


async def asked(users: RunningService, **form: str) -> tuple[int, dict[str, str]]:
    """Status and answer of the token endpoint for the launcher's client."""
    form = {"grant_type": "client_credentials", **form}
    answer = await users.client.post("/oauth2/token", headers=basic(admin(users)), form=form)
    return answer.status_code, await answer.get_json()


async def test_a_tenant_that_is_not_there_gets_no_token_and_is_not_made(users: RunningService) -> None:
    tenant = new_tenant()
    for _ in range(2):
        status, answer = await asked(users, tenant=tenant)
        assert (status, answer["error"]) == (400, "invalid_request")
        assert answer["error_description"] == "There is no such tenant."
    assert await users.outbox(tenant) == []


async def test_the_platforms_and_the_configured_tenants_are_there_from_the_start(users: RunningService) -> None:
    for tenant in ("quartet", "default"):
        assert (await asked(users, tenant=tenant))[0] == 200


async def test_the_platform_is_administered_with_tokens_of_its_own_tenant_only(
    users: RunningService, made_tenant: str
) -> None:
    _, own = await asked(users, tenant="quartet")
    assert "platform:admin" in own["scope"].split()
    _, customers = await asked(users, tenant=made_tenant)
    assert "platform:admin" not in customers["scope"].split()
    assert set(own["scope"].split()) - set(customers["scope"].split()) == {"platform:admin"}
    status, refused = await asked(users, tenant=made_tenant, scope="users:read platform:admin")
    assert (status, refused["error"]) == (400, "invalid_scope")


async def test_credentials_may_be_in_the_form_but_not_in_both_places(users: RunningService) -> None:
    client = admin(users)
    form = {
        "grant_type": "client_credentials",
        "client_id": client.client_id,
        "client_secret": client.client_secret.get_secret_value(),
    }
    assert (await users.client.post("/oauth2/token", form=form)).status_code == 200
    both = await users.client.post("/oauth2/token", headers=basic(client), form=form)
    assert (both.status_code, (await both.get_json())["error"]) == (400, "invalid_request")


async def test_a_wrong_secret_is_invalid_client_and_recorded(users: RunningService) -> None:
    response = await users.client.post(
        "/oauth2/token", headers=basic(admin(users), "wrong"), form={"grant_type": "client_credentials"}
    )
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Basic")
    assert (await response.get_json())["error"] == "invalid_client"


async def test_broken_credentials_and_grants_are_clear_errors(users: RunningService) -> None:
    client = admin(users)
    for header in ("Basic !!!", "Bearer x", "Basic", "Basic /w=="):
        response = await users.client.post(
            "/oauth2/token", headers={"Authorization": header}, form={"grant_type": "client_credentials"}
        )
        assert (response.status_code, (await response.get_json())["error"]) == (401, "invalid_client"), header
    response = await users.client.post("/oauth2/token", headers=basic(client), form={"grant_type": "password"})
    assert (response.status_code, (await response.get_json())["error"]) == (400, "unsupported_grant_type")
    response = await users.client.post(
        "/oauth2/token", headers=basic(client), form={"grant_type": "client_credentials", "scope": "root"}
    )
    assert (response.status_code, (await response.get_json())["error"]) == (400, "invalid_scope")


async def test_processes_that_start_at_once_share_one_signing_key(users: RunningService) -> None:
    config: UsersConfig = users.container.config
    rings = [
        KeyRing(lambda: users.container.database, config.master_key.get_secret_value(), users.container.clock)
        for _ in range(4)
    ]
    pairs = await asyncio.gather(*(ring.signing_pair() for ring in rings))
    assert len({pair.id for pair in pairs}) == 1
    assert await rings[0].find("unknown") is None


async def test_the_private_key_is_not_readable_in_the_database(users: RunningService) -> None:
    await users.client.get("/.well-known/jwks.json")
    async with users.container.database.connection() as connection:
        rows = await connection.fetch("SELECT private_key, public_key::text FROM signing_keys")
    assert rows
    assert all(row["private_key"].count(".") == 4 for row in rows)
    assert all('"d"' not in row["public_key"] for row in rows)


async def test_a_form_that_would_take_long_to_read_is_refused_before_it_is_read(users: RunningService) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    for path in ("/oauth2/token", "/oauth2/introspect", "/oauth2/revoke"):
        for body, status, code in (
            (b"%" * 65_000, 413, "request_entity_too_large"),
            (b"&".join(b"a%d=" % n for n in range(60)), 400, "invalid_request"),
        ):
            answer = await users.client.post(path, headers=headers, data=body)
            assert (answer.status_code, (await answer.get_json())["error"]) == (status, code)
