"""API clients through the proxy: a machine's credentials work at every service, are rotated, and end everywhere."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from quartet_cli.stack import Stack
from quartet_testing.client import GROUPS, USERS, Api, Document, TokenFor
from quartet_testing.conditions import eventually
from quartet_testing.services import new_tenant

PATH = "/users/clients"
METADATA = "/.well-known/oauth-authorization-server"
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
READ = ("users:read", "groups:read", "audit:read", "metrics:read")
SERVICES = (USERS, GROUPS, "/audit/events", "/metrics/catalog")
"""A route of each service, which the scope of the same place in READ opens."""


@pytest.fixture
async def anyone(api: Api) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody without a token."""
    async with httpx.AsyncClient(base_url=api.base_url, trust_env=False) as client:
        yield client


async def make(api: Api, *scopes: str, **body: object) -> Document:
    """A new client."""
    answer = await api.post(PATH, json={"name": "payroll", "scopes": scopes, **body})
    assert answer.status_code == 201, answer.text
    made: Document = answer.json()
    return made


async def ask(anyone: httpx.AsyncClient, client_id: str, secret: str, **form: str) -> httpx.Response:
    """The token endpoint's answer to a client with a secret."""
    return await anyone.post(
        "/oauth2/token", data={"grant_type": "client_credentials", **form}, auth=(client_id, secret)
    )


async def token(anyone: httpx.AsyncClient, made: Document, **form: str) -> str:
    answer = await ask(anyone, made["client_id"], made["client_secret"], **form)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


async def refused(machine: Api, path: str) -> bool:
    """Whether the token is no good any more."""
    return (await machine.get(path)).status_code == 401


async def statuses(machine: Api) -> list[int]:
    """What each service answers."""
    return [(await machine.get(path)).status_code for path in SERVICES]


async def ends_everywhere(machine: Api) -> None:
    """The token is refused by users at once, and by the others as soon as they have heard of it."""
    assert await refused(machine, USERS)
    for path in SERVICES[1:]:
        await eventually(partial(refused, machine, path), f"the revocation at {path}")


async def test_a_client_works_at_users_and_groups_and_what_it_does_is_done_by_it(
    api: Api, anyone: httpx.AsyncClient
) -> None:
    made = await make(api, "users:write", "users:read", "groups:write", "groups:read")
    async with Api(str(api.base_url), await token(anyone, made)) as machine:
        user = await machine.create_user()
        group = await machine.create_group([user["id"]])
        [entry] = await api.entries_of(group["id"], "groups.group.created")
        assert entry["actor"] == made["client_id"]
        for path in (PATH, "/audit/events", "/users/data/export"):
            assert (await machine.get(path)).status_code == 403, path


async def test_a_deleted_client_is_refused_by_every_service(api: Api, anyone: httpx.AsyncClient) -> None:
    made = await make(api, *READ)
    async with Api(str(api.base_url), await token(anyone, made)) as machine:
        assert await statuses(machine) == [200] * 4
        assert (await api.delete(f"{PATH}/{made['client_id']}")).status_code == 204
        await ends_everywhere(machine)
    assert (await ask(anyone, made["client_id"], made["client_secret"])).json()["error"] == "invalid_client"
    assert await api.entries_of(made["client_id"], "users.client.deleted")


async def test_a_secret_is_rotated_while_the_old_one_still_counts(api: Api, anyone: httpx.AsyncClient) -> None:
    made = await make(api, "users:read")
    path = f"{PATH}/{made['client_id']}/secrets"
    second = (await api.post(path, json={"overlap_seconds": 3600})).json()["client_secret"]
    for secret in (made["client_secret"], second):
        assert (await ask(anyone, made["client_id"], secret)).status_code == 200
    third = (await api.post(path, json={"overlap_seconds": 0})).json()["client_secret"]
    secrets = (made["client_secret"], second, third)
    assert [(await ask(anyone, made["client_id"], one)).status_code for one in secrets] == [401, 401, 200]

    async def both_are_told() -> bool:
        return len(await api.entries(resource=made["client_id"], action="users.client.secret_created")) == 2

    await eventually(both_are_told, "the entries of both secrets")
    told = json.dumps(await api.entries(resource=made["client_id"]))
    assert not [secret for secret in secrets if secret in told]


async def test_a_secret_that_leaked_ends_with_the_tokens_that_it_gave(api: Api, anyone: httpx.AsyncClient) -> None:
    made = await make(api, *READ)
    async with Api(str(api.base_url), await token(anyone, made)) as thief:
        assert await statuses(thief) == [200] * 4
        [secret] = (await api.get(f"{PATH}/{made['client_id']}")).json()["secrets"]
        assert (await api.delete(f"{PATH}/{made['client_id']}/secrets/{secret['id']}")).status_code == 204
        await ends_everywhere(thief)
    assert (await ask(anyone, made["client_id"], made["client_secret"])).status_code == 401
    assert await api.entries_of(made["client_id"], "users.client.secret_revoked")


@pytest.mark.parametrize("number", range(4))
async def test_a_token_for_one_service_is_refused_by_the_others(
    api: Api, anyone: httpx.AsyncClient, number: int
) -> None:
    made = await make(api, *READ)
    issuer = (await anyone.get(METADATA)).json()["issuer"]
    resource = f"{issuer}/{('users', 'groups', 'audit', 'metrics')[number]}"
    async with Api(str(api.base_url), await token(anyone, made, resource=resource)) as machine:
        assert await statuses(machine) == [200 if place == number else 401 for place in range(4)]


async def test_every_endpoint_in_the_metadata_works(api: Api, anyone: httpx.AsyncClient) -> None:
    made, metadata = await make(api, "users:read"), (await anyone.get(METADATA)).json()
    pair = (made["client_id"], made["client_secret"])
    form = {"grant_type": "client_credentials"}
    bearer = (await anyone.post(metadata["token_endpoint"], data=form, auth=pair)).json()["access_token"]
    keys = (await anyone.get(metadata["jwks_uri"])).json()
    claims = jwt.decode(bearer, KeySet.import_key_set(keys), algorithms=["ES256"]).claims
    assert (claims["iss"], claims["client_id"]) == (metadata["issuer"], made["client_id"])

    async def is_active() -> bool:
        answer = await anyone.post(metadata["introspection_endpoint"], data={"token": bearer}, auth=pair)
        return bool(answer.json()["active"])

    assert await is_active()
    answer = await anyone.post(metadata["revocation_endpoint"], data={"token": bearer}, auth=pair)
    assert answer.status_code == 200
    assert not await is_active()


async def assertion(anyone: httpx.AsyncClient, client_id: str, key: ECKey) -> dict[str, str]:
    """The form that asks for a token with a key (RFC 7523 section 2.2)."""
    endpoint = (await anyone.get(METADATA)).json()["token_endpoint"]
    said = {"iss": client_id, "sub": client_id, "aud": endpoint, "jti": str(uuid4()), "exp": int(time.time()) + 60}
    signed = jwt.encode({"alg": "ES256"}, said, key)
    return {"grant_type": "client_credentials", "client_assertion_type": ASSERTION, "client_assertion": signed}


async def test_a_client_with_a_key_needs_no_secret_and_no_assertion_counts_twice(
    api: Api, anyone: httpx.AsyncClient
) -> None:
    key = ECKey.generate_key("P-256")
    made = await make(api, "users:read", authentication="private_key_jwt", jwks={"keys": [key.as_dict(private=False)]})
    form = await assertion(anyone, made["client_id"], key)
    answers = await asyncio.gather(*(anyone.post("/oauth2/token", data=form) for _ in range(3)))
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401]
    [good] = [answer.json()["access_token"] for answer in answers if answer.status_code == 200]
    async with Api(str(api.base_url), good) as machine:
        assert (await machine.get(USERS)).status_code == 200


@pytest.mark.local_stack
async def test_the_command_registers_a_key_and_prints_no_secret(
    stack: Stack, anyone: httpx.AsyncClient, token_for: TokenFor, tmp_path: Path
) -> None:
    tenant, key, path = new_tenant(), ECKey.generate_key("P-256"), tmp_path / "keys.json"
    await token_for(tenant)  # which makes the tenant
    path.write_text(json.dumps({"keys": [key.as_dict(private=False)]}))
    options = ("--scope", "users:read", "--tenant", tenant, "--days", "30")
    [client_id] = values(await command(stack, "create", "payroll", *options, "--keys", str(path)))
    form = await assertion(anyone, client_id, key)
    assert (await anyone.post("/oauth2/token", data=form)).status_code == 200
    form = await assertion(anyone, client_id, ECKey.generate_key("P-256"))
    assert (await anyone.post("/oauth2/token", data=form)).status_code == 401
    listed = json.loads(await command(stack, "list", "--json", "--tenant", tenant))
    [client] = [one for one in listed if one["client_id"] == client_id]
    assert client["expires_at"] > client["created_at"], "it ends after it was made"


@pytest.mark.local_stack
async def test_the_commands_make_list_rotate_and_delete_a_client(
    stack: Stack, anyone: httpx.AsyncClient, token_for: TokenFor
) -> None:
    tenant = new_tenant()
    await token_for(tenant)  # which makes the tenant
    client_id, secret = values(await command(stack, "create", "payroll", "--tenant", tenant, "--scope", "users:read"))
    assert (await ask(anyone, client_id, secret)).status_code == 200
    listed = await command(stack, "list", "--tenant", tenant)
    assert client_id in listed
    assert secret not in listed
    same, second = values(await command(stack, "rotate", client_id, "--tenant", tenant, "--overlap", "0"))
    assert same == client_id
    assert [(await ask(anyone, client_id, one)).status_code for one in (secret, second)] == [401, 200]
    await command(stack, "delete", client_id, "--tenant", tenant, "--yes")
    assert (await ask(anyone, client_id, second)).status_code == 401
    assert client_id not in await command(stack, "list", "--tenant", tenant)


def values(printed: str) -> list[str]:
    """What stands behind the labels."""
    return [line.split()[-1] for line in printed.splitlines()]


async def command(stack: Stack, *arguments: str) -> str:
    """What `./quartet clients ...` prints."""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "quartet_cli", "clients", *arguments],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "QUARTET_HOME": str(stack.home.path)},
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
