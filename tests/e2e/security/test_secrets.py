"""Secrets: after they were made, used, mistaken and ended, none stands in a log, a table, an event or an export."""

import asyncio
import json
import re
from base64 import b64encode
from collections import defaultdict
from pathlib import Path
from secrets import token_urlsafe

import httpx
import pytest

from quartet_cli import accounts
from quartet_cli.instances import SPARE
from quartet_cli.layout import SERVICES
from quartet_cli.stack import Stack
from quartet_common.auth.opaque_tokens import SCIM_TOKEN, make
from quartet_common.core.identifiers import SYSTEM_TENANT
from quartet_testing.client import USERS, Api, TokenFor, bulk_document, patch_document, unique, user_document
from quartet_testing.conditions import eventually
from quartet_testing.faults import database, stopped
from quartet_testing.forgery import claims_of
from quartet_users.tokens.key_ring import KeyPair

pytestmark = pytest.mark.local_stack

TABLES = """
SELECT c.relname FROM pg_class c WHERE c.relnamespace = $1::regnamespace AND c.relkind IN ('r', 'p')"""
HASHES = re.compile(rb"\$argon2id?\$v=")
PRIVATE_KEYS = re.compile(rb"BEGIN [A-Z ]*PRIVATE KEY|\"kty\": ?\"EC\"[^}]*\"d\": ?\"")


def variants(secret: str) -> set[bytes]:
    """A secret as it might be written: as it is, and in base64 as HTTP Basic has it, after whatever client's name."""
    return {secret.encode(), *(inner(secret.encode(), before) for before in range(3))}


def inner(secret: bytes, before: int) -> bytes:
    """What stands for `secret` alone in the base64 of so many bytes, modulo 3, and the secret."""
    text = b64encode(bytes(before) + secret)
    return text[-(-before * 8 // 6) : (before + len(secret)) * 8 // 6]


@pytest.mark.parametrize("name", ["quartet-admin", "acme.1", "acme.12", "acme.123"])
def test_a_secret_is_found_in_its_basic_form(name: str) -> None:
    known, pair = Known(), b64encode(f"{name}:quartet_secret_acme_1".encode())
    known.add("client secret", "quartet_secret_acme_1")
    assert known.found_in(b"Authorization: Basic " + pair + b", and more")
    assert not known.found_in(b64encode(f"{name}:quartet_secret_beta_1".encode()))


class Known:
    """Every secret that this test has made."""

    def __init__(self) -> None:
        self.secrets: dict[str, str] = {}

    def add(self, name: str, secret: str) -> str:
        """Remember a secret; returns it."""
        assert len(secret) >= 16, name
        self.secrets[f"{name} {len(self.secrets)}"] = secret
        return secret

    def found_in(self, text: bytes) -> list[str]:
        """The names of the secrets that stand in `text`."""
        return [name for name, secret in self.secrets.items() if any(one in text for one in variants(secret))]


async def use_everything(mine: Api, tenant: str, known: Known) -> None:
    """Make a secret of each kind, use it, get it wrong, and end it."""
    async with httpx.AsyncClient(base_url=mine.base_url, trust_env=False, timeout=20) as anybody:
        await passwords(mine, anybody, tenant, known)
        await clients(mine, anybody, known)
        made = (await mine.post("/users/scim-tokens", json={"name": "okta"})).json()
        known.add("SCIM token", made["token"])
        for path in (USERS, "/scim/v2/Groups", f"/users/{made['token']}", f"{USERS}/{made['token']}"):
            await anybody.get(path, headers={"Authorization": f"Bearer {made['token']}"})
            in_query = await anybody.get(path, params={"access_token": made["token"], "token": made["token"]})
            assert in_query.status_code == 400
        await anybody.get(USERS, headers={"Authorization": f"Bearer {made['token'][:-1]}"})
        assert (await mine.delete(f"/users/scim-tokens/{made['id']}")).status_code == 204


async def passwords(mine: Api, anybody: httpx.AsyncClient, tenant: str, known: Known) -> None:
    """By SCIM, Bulk, PATCH, login, change; right and wrong; and the tokens that come of it."""
    first, second = known.add("password", token_urlsafe(24)), known.add("password", token_urlsafe(24))
    user = await mine.create_user(password=first)
    bulk = user_document(password=known.add("password", token_urlsafe(24)))
    operation = {"method": "POST", "path": "/Users", "bulkId": "b", "data": bulk}
    assert (await mine.post("/scim/v2/Bulk", json=bulk_document(operation))).status_code == 200
    broken = {**user_document(), "password": known.add("password", token_urlsafe(24)), "active": "maybe"}
    assert (await mine.post(USERS, json=broken)).status_code == 400
    who = {"tenant": tenant, "user_name": user["userName"]}
    tokens = (await anybody.post("/users/login", json={**who, "password": first})).json()
    known.add("refresh token", tokens["refresh_token"])
    known.add("access token", tokens["access_token"].rpartition(".")[2])
    wrong = known.add("wrong password", token_urlsafe(24))
    assert (await anybody.post("/users/login", json={**who, "password": wrong})).status_code == 401
    assert (await anybody.post("/users/login", json={**who, "password": wrong, "x": first})).status_code == 400
    change = patch_document({"op": "replace", "path": "password", "value": second})
    assert (await mine.patch(f"{USERS}/{user['id']}", json=change)).status_code == 200
    assert (await mine.get(USERS, params={"filter": f'password eq "{second}"'})).status_code == 400
    form = {"grant_type": "refresh_token", "client_id": "quartet-cli", "refresh_token": tokens["refresh_token"]}
    for _ in range(2):
        await anybody.post("/oauth2/token", data=form)
    again = (await anybody.post("/users/login", json={**who, "password": second})).json()
    form["refresh_token"] = known.add("refresh token", again["refresh_token"])
    rotated = (await anybody.post("/oauth2/token", data=form)).json()
    known.add("refresh token", rotated["refresh_token"])
    assert (await anybody.post("/oauth2/token", data=form)).status_code == 400


async def clients(mine: Api, anybody: httpx.AsyncClient, known: Known) -> None:
    """A client's secrets, by header and form, right and wrong, rotated and ended."""
    client = (await mine.post("/users/clients", json={"name": unique("c"), "scopes": ["users:read"]})).json()
    secret = known.add("client secret", client["client_secret"])
    form, name = {"grant_type": "client_credentials"}, client["client_id"]
    given = await anybody.post("/oauth2/token", data=form, auth=(name, secret))
    known.add("access token", given.json()["access_token"].rpartition(".")[2])
    await anybody.post("/oauth2/token", data=form, auth=(name, known.add("wrong secret", token_urlsafe(32))))
    await anybody.post("/oauth2/token", data={**form, "client_id": name, "client_secret": secret})
    for path in ("introspect", "revoke"):
        await anybody.post(f"/oauth2/{path}", data={"token": given.json()["access_token"]}, auth=(name, secret))
    new = (await mine.post(f"/users/clients/{name}/secrets", json={"overlap_seconds": 0})).json()
    known.add("client secret", next(value for value in new.values() if str(value).startswith("quartet_secret_")))
    assert (await mine.delete(f"/users/clients/{name}")).status_code == 204


async def rows(stack: Stack, service: str) -> dict[str, bytes]:
    """Every table of a service with all that it holds, as text."""
    async with database(stack, service) as connection:
        await connection.execute("SET bytea_output = 'escape'")  # ASCII characters as they are
        names = [row["relname"] for row in await connection.fetch(TABLES, service)]
        found = {}
        for name in names:
            texts = await connection.fetch(f'SELECT t::text FROM "{name}" AS t')
            found[f"table {service}.{name}"] = "\n".join(row[0] for row in texts).encode()
    return found


def log_files(stack: Stack) -> dict[str, bytes]:
    """Every log file; a file and its older parts are one place."""
    found: dict[str, bytes] = defaultdict(bytes)
    for path in sorted(stack.home.logs.iterdir()):
        if path.is_file():
            found[f"log {path.name.partition('.log')[0]}.log"] += path.read_bytes()
    return found


async def everything(stack: Stack, mine: Api, system: Api) -> dict[str, bytes]:
    """All that is written or shown anywhere: logs, tables with outbox and inbox, exports, the audit log, metrics."""
    found = log_files(stack)
    for service in SERVICES:
        found |= await rows(stack, service)
        for whose, api in (("own", mine), ("system", system)):
            found[f"export of {service}, {whose}"] = (await api.get(f"/{service}/data/export")).content
    found["audit log"] = json.dumps([await mine.entries(), await system.entries()]).encode()
    async with httpx.AsyncClient(trust_env=False) as client:
        for name, port in stack._ports().items():
            if name.endswith("-private") and SPARE not in name:
                found[f"metrics of {name}"] = (await client.get(f"http://127.0.0.1:{port}/metrics")).content
    return found


async def test_no_secret_stands_anywhere_after_all_was_done_with_it(
    stack: Stack, mine: Api, token_for: TokenFor, signing_pair: KeyPair
) -> None:
    known, tenant = Known(), claims_of(mine.headers["Authorization"].removeprefix("Bearer "))["tenant"]
    await use_everything(mine, tenant, known)
    assert len(known.secrets) >= 12
    private = signing_pair.key.as_dict(private=True)["d"]
    known.add("private key", str(private))
    for path in stack.home.secrets.rglob("*"):
        if path.is_file() and path.suffix != ".conf" and path.name != "quartet_bootstrap_clients":
            known.add(f"secret of {path.parent.name}", path.read_text().strip())
    last = await mine.create_user()
    await mine.entries_of(last["id"], "users.user.created")

    async def summed_up() -> bool:
        return bool(await mine.entries(action="users.login.failed"))

    await eventually(summed_up, "the failed logins to be told")
    async with Api(stack.url, await token_for(SYSTEM_TENANT)) as system:
        places = await everything(stack, mine, system)
    assert len(places) > 30
    found = {place: names for place, text in places.items() if (names := known.found_in(text))}
    assert found == {}
    shown = {place for place, text in places.items() if PRIVATE_KEYS.search(text) or HASHES.search(text)}
    assert {place for place in shown if not place.startswith("table users.")} == set()
    assert len(shown) == 1, "the hashes of passwords stand in the one table that is for them"


async def test_what_is_searched_would_be_found(stack: Stack, mine: Api, token_for: TokenFor) -> None:
    known = Known()
    told = known.add("a name", unique("not-a-secret-name"))
    user = await mine.create_user(displayName=told, userName=told)
    await mine.entries_of(user["id"], "users.user.created")
    await mine.get(f"/users/{told}")
    logs = {"log users-api.log", "log proxy.log"}

    async def logged() -> bool:
        """A line may follow its response."""
        return logs <= {place for place, text in log_files(stack).items() if known.found_in(text)}

    await eventually(logged, "the request in the logs")
    async with Api(stack.url, await token_for(SYSTEM_TENANT)) as system:
        places = await everything(stack, mine, system)
    found = {place for place, text in places.items() if known.found_in(text)}
    assert logs | {"audit log", "export of users, own", "table users.users"} <= found
    assert any(place.startswith("table audit.") for place in found)


async def test_the_files_of_secrets_are_their_owners_alone(stack: Stack) -> None:
    files: list[Path] = [path for path in stack.home.secrets.rglob("*") if path.is_file()]
    assert len(files) > 10
    open_to_others = [str(path) for path in files if path.stat().st_mode & 0o037 or path.parent.stat().st_mode & 0o027]
    assert open_to_others == []
    readers = {path.stat().st_gid for path in files if path.stat().st_mode & 0o040}  # by the group of its account
    assert readers <= {accounts.quartet_user().pw_gid for _ in readers}
    command_lines = await asyncio.to_thread(lambda: [one.read_bytes() for one in Path("/proc").glob("[0-9]*/cmdline")])
    for path in files:
        secret = path.read_text().strip().encode()
        assert not any(secret in line for line in command_lines), path


async def test_the_error_log_of_the_proxy_shows_no_token_in_a_url(stack: Stack, mine: Api) -> None:
    scim, jwt = make(SCIM_TOKEN, "acme"), mine.headers["Authorization"].removeprefix("Bearer ")
    known, told = Known(), unique("told")
    for secret in (scim, jwt.rpartition(".")[2]):
        known.add("token", secret)
    queries = [{"access_token": scim}, {"x": scim}, {"x": jwt}, {"token": known.add("guess", token_urlsafe(24))}]
    async with stopped(stack, "metrics-api"), httpx.AsyncClient(base_url=stack.url, trust_env=False) as anybody:
        assert (await anybody.get("/metrics/query", params={"metric": told})).status_code == 502
        refused = [await anybody.get("/metrics/query", params=one) for one in queries]
        refused += [await anybody.get(f"/metrics/{one}") for one in (scim, jwt)]
        refused.append(await anybody.get("/metrics/query", headers={"Referer": f"http://x/?access_token={jwt}"}))
    assert {(one.status_code, one.headers["Content-Type"]) for one in refused} == {(400, "application/problem+json")}
    last = unique("last")
    async with httpx.AsyncClient(base_url=stack.url, trust_env=False) as anybody:
        await anybody.get("/", headers={"X-Request-Id": last})

    async def logged() -> bytes:
        """The log up to a line that follows all others."""
        log = (stack.home.logs / "proxy.log").read_bytes()
        return log if last.encode() in log else b""

    log = await eventually(logged, "the last request in the log")
    assert f"metric={told}".encode() in log, "the error log is looked at"
    assert known.found_in(log) == []


async def test_what_only_sounds_like_a_token_is_no_reason_to_refuse_a_request(mine: Api) -> None:
    params = {"filter": 'userName eq "quartet_scim_bot" or title eq "token="'}
    assert (await mine.get("/scim/v2/Users", params=params)).status_code == 200
    assert (
        await mine.get("/scim/v2/Users", headers={"Referer": "https://app.example.com/reset?token=x"})
    ).status_code == 200
