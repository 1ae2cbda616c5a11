"""`./quartet tenants`, as a person types it, and what it says where a tenant is missing."""

import json

import pytest

from quartet_cli.stack import Stack
from quartet_testing.client import USERS, Api
from quartet_testing.command_line import quartet
from quartet_testing.services import new_tenant

pytestmark = pytest.mark.local_stack


async def test_the_error_of_a_token_for_an_unknown_tenant_has_the_command_to_create_it(stack: Stack) -> None:
    tenant = new_tenant()
    code, output, errors = await quartet(stack, "token", "--tenant", tenant)
    assert (code, output) == (1, "")
    assert errors == f"quartet: Tenant {tenant} does not exist. To create it, run: ./quartet tenants create {tenant}\n"


async def test_the_id_of_a_deleted_tenant_is_refused_with_the_reason_by_token_and_create(stack: Stack) -> None:
    tenant = new_tenant()
    assert (await quartet(stack, "tenants", "create", tenant))[0] == 0
    assert (await quartet(stack, "tenants", "delete", tenant, "--yes"))[0] == 0
    reason = f"quartet: Tenant {tenant} was deleted. The id of a deleted tenant cannot be reused; choose another id.\n"
    assert await quartet(stack, "token", "--tenant", tenant) == (1, "", reason)
    assert await quartet(stack, "tenants", "create", tenant) == (1, "", reason)


async def test_a_scope_that_is_not_available_is_named(stack: Stack) -> None:
    code, output, errors = await quartet(stack, "token", "--scope", "users:raed")
    assert (code, output) == (1, "")
    assert errors.startswith("quartet: Scope users:raed is not available. ")


async def test_every_list_is_there_for_programs_and_shows_whole_ids_to_people(stack: Stack) -> None:
    tenant = new_tenant()
    assert (await quartet(stack, "tenants", "create", tenant))[0] == 0
    for command, of, name in (
        (("clients",), ("--tenant", tenant), "client_id"),
        (("scim-tokens",), ("--tenant", tenant), "id"),
        (("tenants",), (), "id"),
        (("keys",), (), "id"),
    ):
        code, output, errors = await quartet(stack, *command, "list", *of, "--json")
        assert (code, errors) == (0, ""), command
        ids = [one[name] for one in json.loads(output)]
        assert ids
        assert await quartet(stack, *command, "list", *of, "--json") == (0, output, "")
        shown = (await quartet(stack, *command, "list", *of))[1].splitlines()
        assert [line.split()[0] for line in shown[1:]] == ids, command


async def test_settings_that_a_running_stack_does_not_take_are_refused_with_code_4(stack: Stack) -> None:
    for arguments in (("up",), ("restart", "metrics-worker")):
        code, _, errors = await quartet(stack, *arguments, QUARTET_LOG_LEVEL="DEBUG")
        assert (code, "QUARTET_LOG_LEVEL: not set, wanted DEBUG" in errors) == (4, True), arguments
        assert "./quartet down && ./quartet up" in errors
    code, _, errors = await quartet(stack, "up", QUARTET_PORT="29999")
    assert (code, f"QUARTET_PORT: {stack.url.rpartition(':')[2]}, wanted 29999" in errors) == (4, True)
    assert (await quartet(stack, "up"))[0] == 0


async def test_a_tenant_is_made_with_secrets_that_work_and_are_shown_once(stack: Stack) -> None:
    tenant = new_tenant()
    code, output, errors = await quartet(
        stack, "tenants", "create", tenant, "--name", "[Acme]", "--administrator", "bj"
    )
    assert code == 0, errors
    shown = {line[:14].strip(): line[15:] for line in output.splitlines()}
    assert shown.keys() == {"tenant", "client id", "client secret", "SCIM token", "administrator", "password"}
    assert (shown["tenant"], shown["administrator"]) == (tenant, "bj")
    async with Api(stack.url, shown["SCIM token"]) as api:
        assert (await api.get(USERS)).json()["totalResults"] == 1
        form = {"grant_type": "client_credentials"}
        pair = (shown["client id"], shown["client secret"])
        del api.headers["Authorization"]
        assert (await api.post("/oauth2/token", data=form, auth=pair)).status_code == 200
    code, output, _ = await quartet(stack, "tenants", "list")
    [line] = [one for one in output.splitlines() if one.startswith(tenant)]
    assert (code, "[Acme]" in line, "active" in line) == (0, True, True)
    assert not [secret for secret in (shown["SCIM token"], shown["client secret"]) if secret in output]
    code, _, errors = await quartet(stack, "tenants", "create", tenant)
    assert (code, "409" in errors) == (1, True)


async def test_a_tenant_is_suspended_resumed_and_deleted(stack: Stack) -> None:
    tenant = new_tenant()
    assert (await quartet(stack, "tenants", "create", tenant))[0] == 0
    assert await quartet(stack, "tenants", "suspend", tenant) == (0, f"Tenant {tenant} is suspended.\n", "")
    code, _, errors = await quartet(stack, "token", "--tenant", tenant)
    assert (code, "suspended" in errors) == (1, True)
    assert await quartet(stack, "tenants", "resume", tenant) == (0, f"Tenant {tenant} is active.\n", "")
    assert (await quartet(stack, "token", "--tenant", tenant))[0] == 0
    assert (await quartet(stack, "tenants", "delete", tenant))[0] == 1
    assert (await quartet(stack, "tenants", "delete", tenant, "--yes"))[0] == 0
    assert tenant in (await quartet(stack, "tenants", "list", "--status", "deleted"))[1]
    assert (await quartet(stack, "token", "--tenant", tenant))[0] == 1
    assert (await quartet(stack, "tenants", "suspend", new_tenant()))[0] == 1
