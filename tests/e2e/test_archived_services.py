"""Archives, quickly: the services of a second database restore an archive of the stack, and answer as it does."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from quartet_cli.archive_file import ORDER, ArchiveError, verify_archive, write_archive
from quartet_cli.archive_transfer import Restorer, download
from quartet_cli.layout import CHECKOUT
from quartet_cli.stack import Stack
from quartet_common.core.identifiers import SYSTEM_TENANT
from quartet_common.runtime.process import Service
from quartet_testing.archived_tenants import SCHEMA, FilledTenant, fill_tenant, platform_of
from quartet_testing.client import Api
from quartet_testing.other_databases import empty_database, moved
from quartet_testing.plugin import config_of
from quartet_testing.services import RunningService, run_service

pytestmark = pytest.mark.local_stack

Others = dict[str, RunningService]
RESTORED = CHECKOUT / "services/users/src/quartet_users/schemas/users.tenant.restored.v1.json"


@pytest.fixture
async def others(stack: Stack, services: dict[str, Service[Any]]) -> AsyncIterator[Others]:
    """The services of another deployment, without workers."""
    async with AsyncExitStack() as running:
        name = await running.enter_async_context(empty_database(stack))
        found: Others = {}
        for service in ORDER:
            kind = services[service].config_class
            owner = moved(config_of(stack, kind, "migrate"), name)
            config = moved(config_of(stack, kind), name)
            found[service] = await running.enter_async_context(run_service(services[service], config, owner))
        yield found


@pytest.fixture(scope="module")
async def archived(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> tuple[FilledTenant, Path]:
    """A tenant of the stack, and its archive."""
    folder, tenant = tmp_path_factory.mktemp("archive"), await fill_tenant(stack)
    manifest = await asyncio.to_thread(download, platform_of(stack), tenant.id, folder)
    file = folder / "acme.tar"
    await asyncio.to_thread(write_archive, file, manifest, folder)
    return tenant, file


async def send(others: Others, restorer: Restorer, service: str, position: int, body: bytes) -> dict[str, Any]:
    """The answer to a part."""
    there, manifest = others[service], restorer.manifest
    headers = {**there.tokens.headers(SYSTEM_TENANT, ["platform:admin"]), "Content-Type": "application/x-ndjson"}
    query = {"tenant": manifest.tenant, "archive": manifest.digest, "position": position}
    answer = await there.client.post(f"/{service}/data/restore", headers=headers, query_string=query, data=body)
    document = await answer.get_json(force=True)
    assert answer.status_code == 200, document
    return dict(document)


async def answers_of(others: Others, tenant: FilledTenant) -> dict[str, Any]:
    """What the other deployment answers."""
    found: dict[str, Any] = {}
    for path in tenant.paths:
        name = "groups" if path.startswith("/scim/v2/Groups") else path.split("/")[1].replace("scim", "users")
        scopes = ["users:read", "groups:read", "tenant:admin", "origins:manage", "audit:retention"]
        answer = await others[name].client.get(path, headers=others[name].tokens.headers(tenant.id, scopes))
        assert answer.status_code == 200, (path, await answer.get_data())
        found[path] = await answer.get_json(force=True)
    return found


async def test_every_resource_membership_and_role_is_equal_after_a_restore(
    stack: Stack, others: Others, archived: tuple[FilledTenant, Path]
) -> None:
    tenant, file = archived
    restorer = Restorer(platform_of(stack), file, await asyncio.to_thread(verify_archive, file))
    for service in ORDER:
        bodies = list(restorer._bodies(service, 0))
        for position, body in bodies:
            done = await send(others, restorer, service, position, body)
        assert done["is_complete"]
        assert await send(others, restorer, service, *bodies[0]) == done  # a second restore changes nothing

    async with Api(stack.url, await asyncio.to_thread(stack.token, tenant.id)) as api:
        expected = {path: (await api.get(path)).json() for path in tenant.paths}
    found = await answers_of(others, tenant)
    for path in tenant.paths:
        assert found[path] == expected[path], path
    assert SCHEMA in json.dumps(expected)
    events = await others["users"].outbox(tenant.id)
    [restored] = [one for one in events if one.routing_key == "users.tenant.restored.v1"]
    Draft202012Validator(json.loads(RESTORED.read_text())).validate(restored.data)
    assert restored.data["counts"]["user"] == len(tenant.users)
    assert [one.routing_key for one in events] == ["users.tenant.restored.v1"]
    await secrets_are_not_restored(others, tenant)


async def secrets_are_not_restored(others: Others, tenant: FilledTenant) -> None:
    """The client exists without a secret, and SCIM tokens are revoked."""
    users = others["users"]
    get = partial(users.client.get, headers=users.tokens.headers(tenant.id, ["tenant:admin"]))
    assert (await (await get(f"/users/clients/{tenant.client}")).get_json())["secrets"] == []
    tokens = (await (await get("/users/scim-tokens")).get_json())["scim_tokens"]
    assert len(tokens) == 2
    assert all(one["revoked_at"] for one in tokens)


def test_a_changed_byte_is_refused_with_the_name_of_its_part(
    archived: tuple[FilledTenant, Path], tmp_path: Path
) -> None:
    content, damaged = archived[1].read_bytes(), tmp_path / "damaged.tar"
    for text, part in ((b'"userName":', "users/user.ndjson"), (b'"leaf":', "audit/bundle.ndjson")):
        place = content.index(text) + 3
        damaged.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(ArchiveError, match=f"{part} is damaged"):
            verify_archive(damaged)
