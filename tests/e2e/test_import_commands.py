"""`./quartet import` and `./quartet export` against a stack: through the proxy, and with the real workers."""

import asyncio
import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from quartet_cli.__main__ import app
from quartet_cli.stack import Stack
from quartet_testing.client import GROUPS, USERS, Api, unique
from quartet_testing.services import new_tenant

pytestmark = pytest.mark.local_stack


class Command:
    """The command for one tenant of the stack."""

    def __init__(self, stack: Stack, tenant: str) -> None:
        self._environment = {"QUARTET_HOME": str(stack.home.path), "COLUMNS": "200"}
        self._tenant = tenant

    async def run(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, output and errors."""
        given = [*arguments, "--tenant", self._tenant]
        found = await asyncio.to_thread(CliRunner().invoke, app, given, env={**os.environ, **self._environment})
        return found.exit_code, found.stdout, found.stderr


async def test_a_directory_is_imported_exported_and_imported_elsewhere(stack: Stack, tmp_path: Path) -> None:
    tenants = [new_tenant(), new_tenant()]
    tokens = [await asyncio.to_thread(stack.token, tenant) for tenant in tenants]
    commands = [Command(stack, tenant) for tenant in tenants]
    file = tmp_path / "directory.ndjson"
    name = unique("bjensen")
    records = [
        {"displayName": "Guides", "externalId": "g1", "members": [{"userName": name}, {"userName": "jsmith"}]},
        {"userName": name, "externalId": "u1", "displayName": "Barbara Jensen"},
        {"userName": "jsmith", "active": False},
    ]
    file.write_text("\n".join([*map(json.dumps, records), "broken"]))
    report = tmp_path / "report.ndjson"
    async with Api(stack.url, tokens[0]) as api, Api(stack.url, tokens[1]) as other:
        code, output, errors = await commands[0].run("import", str(file), "--dry-run")
        assert (code, "users: 2 imported, 0 unchanged, 1 failed (dry run" in output) == (1, True), output + errors
        assert "line 4: " in errors
        assert (await api.get(USERS)).json()["totalResults"] == 0
        code, output, errors = await commands[0].run("import", str(file), "--report", str(report))
        assert (code, "groups: 3 imported" in output) == (1, True), output + errors
        assert 4 in [json.loads(line)["line"] for line in report.read_text().splitlines()]
        exported = tmp_path / "export.ndjson"
        code, output, errors = await commands[0].run("export", "-o", str(exported))
        assert (code, len(exported.read_text().splitlines())) == (0, 3), output + errors
        code, output, errors = await commands[1].run("import", str(exported))
        assert code == 0, output + errors
        found = {one["userName"]: one for one in (await other.get(USERS)).json()["Resources"]}
        assert found.keys() == {name, "jsmith"}
        assert not found["jsmith"]["active"]
        [group] = (await other.get(GROUPS)).json()["Resources"]
        group = (await other.get(f"{GROUPS}/{group['id']}")).json()
        assert {one["value"] for one in group["members"]} == {one["id"] for one in found.values()}
        code, output, _ = await commands[1].run("jobs", "list", "--service", "groups", "--json")
        assert [(one["kind"], one["done"]) for one in json.loads(output)] == [("import", 3)]  # a group, two members


async def test_a_csv_file_has_a_mapping_and_is_exported_in_two_files(stack: Stack, tmp_path: Path) -> None:
    tenant = new_tenant()
    token = await asyncio.to_thread(stack.token, tenant)
    command, file = Command(stack, tenant), tmp_path / "people.csv"
    file.write_bytes("Login;Anzeigename\nbjensen;Bärbel\n".encode("cp1252"))
    code, output, errors = await command.run(
        "import", str(file), "--map", "Login=userName", "--map", "Anzeigename=displayName", "--service", "users"
    )
    assert code == 0, output + errors
    async with Api(stack.url, token) as api:
        [user] = (await api.get(USERS)).json()["Resources"]
        assert user["displayName"] == "Bärbel"
        await api.create_group([user["id"]])
    code, output, errors = await command.run("export", "-o", str(tmp_path / "out.csv"))
    assert code == 0, output + errors
    assert "bjensen" in (tmp_path / "out.csv").read_text()
    assert "bjensen" in (tmp_path / "out.groups.csv").read_text()


async def test_a_file_of_an_unknown_format_is_refused(stack: Stack, tmp_path: Path) -> None:
    file = tmp_path / "realm.json"
    file.write_text("{}")
    code, _, errors = await Command(stack, new_tenant()).run("import", str(file))
    assert (code, "add --format" in errors) == (2, True)
