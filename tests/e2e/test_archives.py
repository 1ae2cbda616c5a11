"""Archives of tenants: one is restored into a second deployment, where everything is equal and its log is verified."""

import asyncio
import json
import tempfile
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quartet_audit_verifier.merkle import is_consistent
from quartet_cli.archive_file import read_parts, verify_archive
from quartet_cli.archive_transfer import Restorer
from quartet_cli.reset import remove
from quartet_cli.stack import Stack
from quartet_testing.archived_tenants import PASSWORD, FilledTenant, fill_tenant, platform_of
from quartet_testing.client import Api
from quartet_testing.clusters import skip_fsync
from quartet_testing.command_line import quartet
from quartet_testing.conditions import eventually
from quartet_testing.limits import WIDE

pytestmark = [pytest.mark.local_stack, pytest.mark.slow]


@pytest.fixture(scope="module")
def second() -> Iterator[Stack]:
    """Another deployment."""
    with tempfile.TemporaryDirectory(prefix="quartet-second-", ignore_cleanup_errors=True) as home:
        running = Stack(Path(home), None, extra_environment=WIDE, temporary=True)
        try:
            running.up()
            skip_fsync(running)
            yield running
        finally:
            running.down()
            remove(running.home)


async def state(stack: Stack, tenant: FilledTenant) -> dict[str, Any]:
    """What a deployment answers of a tenant."""
    found: dict[str, Any] = {}
    async with Api(stack.url, await asyncio.to_thread(stack.token, tenant.id)) as api:
        for path in tenant.paths:
            answer = await api.get(path)
            assert answer.status_code == 200, (path, answer.text)
            found[path] = answer.text.replace(stack.url, "")
    return found


async def entries(stack: Stack, tenant: str) -> list[Any]:
    """The log of a tenant, in its order."""
    async with Api(stack.url, await asyncio.to_thread(stack.token, tenant)) as api:
        answer = await api.get("/audit/export?format=ndjson")
    return [json.loads(line) for line in answer.text.splitlines()]


def archived_checkpoint(file: Path) -> tuple[int, bytes]:
    """Size and root hash of the checkpoint in an archive."""
    [bundle] = [content.read() for kind, content in read_parts(file, "audit") if kind == "bundle"]
    _, size, root, *_ = json.loads(bundle.splitlines()[-1])["checkpoint"].split("\n")
    return int(size), b64decode(root)


async def checkpoint(stack: Stack, tenant: str) -> tuple[int, bytes]:
    """Size and root hash of the last checkpoint of a log."""
    async with Api(stack.url, await asyncio.to_thread(stack.token, tenant)) as api:
        _, size, root, *_ = (await api.get(f"/audit/log/{tenant}/checkpoint")).text.split("\n")
    return int(size), b64decode(root)


async def succeed(stack: Stack, *arguments: str) -> str:
    """The output of a command that succeeds."""
    code, output, errors = await quartet(stack, *arguments)
    assert code == 0, errors + output
    return output


async def test_a_restored_tenant_is_equal_and_its_log_is_verified(stack: Stack, second: Stack, tmp_path: Path) -> None:
    tenant, file = await fill_tenant(stack), tmp_path / "acme.tar.gz"
    await succeed(stack, "tenant", "suspend", tenant.id)
    await succeed(stack, "archive", "create", "--tenant", tenant.id, "-o", str(file))
    await succeed(stack, "tenant", "resume", tenant.id)
    before = await state(stack, tenant)
    log = await entries(stack, tenant.id)

    assert "Nothing was restored" in await succeed(second, "archive", "restore", str(file), "--dry-run")
    manifest = await asyncio.to_thread(verify_archive, file)
    old_size, old_root = await asyncio.to_thread(archived_checkpoint, file)
    token = await asyncio.to_thread(second.token, "quartet", "platform:admin")
    restorer = Restorer(platform_of(second), file, manifest)
    await asyncio.to_thread(restorer.reserve)
    await asyncio.to_thread(restorer.restore, "metrics")  # interrupted here
    await succeed(second, "archive", "restore", str(file))
    again = await succeed(second, "archive", "restore", str(file), "--tenant", tenant.id)
    assert f"Tenant {tenant.id} is restored." in again
    code, _, errors = await quartet(stack, "archive", "restore", str(file))
    assert code == 1
    assert "cannot be restored" in errors

    async with Api(second.url, token) as platform:
        assert (await platform.get(f"/users/tenants/{tenant.id}")).json()["status"] == "suspended"
    await succeed(second, "tenant", "resume", tenant.id)
    assert await state(second, tenant) == before

    async def is_recorded() -> list[Any]:
        found = await entries(second, tenant.id)
        return found if found[old_size:] else []

    restored = await eventually(is_recorded, "the restore is an entry")
    assert restored[:old_size] == log[:old_size]
    actions = [one["action"] for one in restored[old_size:]]
    assert actions.count("users.tenant.restored") == 1
    assert not [one for one in actions if one.startswith(("users.user.", "groups.", "users.role", "users.client"))]
    await succeed(second, "audit", "verify", "--tenant", tenant.id)

    async with Api(second.url, await asyncio.to_thread(second.token, tenant.id)) as api:
        size, root = await checkpoint(second, tenant.id)
        assert size > old_size
        proof = await api.get(f"/audit/log/{tenant.id}/consistency?from={old_size}&to={size}")
        hashes = [b64decode(one) for one in proof.json()["hashes"]]
        assert is_consistent((old_size, old_root), (size, root), hashes)
        await works_on(api, tenant)


async def works_on(api: Api, tenant: FilledTenant) -> None:
    """A person logs in, a client only with a new secret, SCIM tokens are revoked, and gauges are right."""
    login = {"tenant": tenant.id, "user_name": tenant.user_name, "password": PASSWORD}
    assert (await api.post("/users/login", json=login)).status_code == 200
    grant = {"grant_type": "client_credentials"}
    refused = await api.post("/oauth2/token", data=grant, auth=(tenant.client, tenant.secret))
    assert refused.status_code == 401
    secret = (await api.post(f"/users/clients/{tenant.client}/secrets", json={})).json()["client_secret"]
    assert (await api.post("/oauth2/token", data=grant, auth=(tenant.client, secret))).status_code == 200
    tokens = (await api.get("/users/scim-tokens")).json()["scim_tokens"]
    assert [one for one in tokens if one["name"] == "okta" and one["revoked_at"]]
    await api.create_group([tenant.users[0]])


async def test_a_changed_byte_is_refused_with_the_name_of_its_part(second: Stack, stack: Stack, tmp_path: Path) -> None:
    tenant, file = await fill_tenant(stack), tmp_path / "acme.tar"
    await succeed(stack, "archive", "create", "--tenant", tenant.id, "-o", str(file))
    content = file.read_bytes()
    for text, part in ((b'"userName":', "users/user.ndjson"), (b'"leaf":', "audit/bundle.ndjson")):
        damaged = tmp_path / "damaged.tar"
        place = content.index(text) + 3
        damaged.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        code, _, errors = await quartet(second, "archive", "restore", str(damaged))
        assert code == 1
        assert f"{part} is damaged" in errors
    async with Api(second.url, await asyncio.to_thread(second.token, "quartet")) as platform:
        assert (await platform.get(f"/users/tenants/{tenant.id}")).status_code == 404
