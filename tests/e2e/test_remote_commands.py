"""The commands of people, with a profile of `login`: what they change, what they show, and how they fail."""

import asyncio
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from quartet_cli.__main__ import app, complain
from quartet_cli.errors import QuartetError
from quartet_cli.stack import Stack
from quartet_testing.command_line import quartet
from quartet_testing.conditions import eventually
from quartet_testing.services import new_tenant

pytestmark = pytest.mark.local_stack

PASSWORD = "correct horse battery staple"


def run(*arguments: str, given: str = "", **variables: str) -> tuple[int, str, str]:
    """Exit code, output and errors of a command that runs in this process."""
    output, errors, code = io.StringIO(), io.StringIO(), 0
    read = io.TextIOWrapper(io.BytesIO(given.encode()))
    with patch.dict(os.environ, variables), redirect_stdout(output), redirect_stderr(errors), patch("sys.stdin", read):
        try:
            app(arguments, prog_name="./quartet")
        except SystemExit as end:
            code = int(end.code or 0)
        except QuartetError as error:
            complain(error)
            code = 1
    return code, output.getvalue(), errors.getvalue()


class Person:
    """A person with the command, and a folder for profiles."""

    def __init__(self, stack: Stack, tenant: str, folder: Path) -> None:
        self.stack = stack
        self.tenant = tenant
        self.variables = {"QUARTET_HOME": str(stack.home.path), "XDG_CONFIG_HOME": str(folder)}
        self.variables |= {"QUARTET_PROFILE": "acme", "COLUMNS": "200"}
        self.profile = folder / "quartet/acme.json"

    def tries(self, *arguments: str, given: str = "", **variables: str) -> tuple[int, str, str]:
        """Exit code, output and errors of a command, in this process: a new one for each would take a minute."""
        return run(*arguments, given=given, **{**self.variables, **variables})

    def does(self, *arguments: str, given: str = "") -> str:
        """The output of a command that succeeds."""
        code, output, errors = self.tries(*arguments, given=given)
        assert code == 0, (arguments, output, errors)
        return output

    def sees(self, *arguments: str) -> Any:
        """The JSON that a command prints."""
        return json.loads(self.does(*arguments, "--json"))


@pytest.fixture(scope="module")
async def person(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Person]:
    """The administrator of a new tenant, who has logged in."""
    one = Person(stack, new_tenant(), tmp_path_factory.mktemp("config"))
    made = (await quartet(stack, "tenants", "create", one.tenant, "--administrator", "bj"))[1]
    first = re.search(r"^password +(\S+)$", made, re.MULTILINE)
    assert first is not None
    login = ("login", "bj", "--tenant", one.tenant, "--url", stack.url)
    code, output, errors = one.tries(*login, given=f"{first[1]}\n{PASSWORD}\n")
    assert (code, errors.startswith("The password must be changed.")) == (0, True), errors
    assert output == f"Logged in as bj of tenant {one.tenant} at {stack.url}, profile acme.\n"
    yield one
    assert one.does("logout") == "Logged out bj.\n"
    assert not one.profile.exists()
    assert (one.tries("users", "list"))[0] == 1


async def test_a_user_is_created_changed_suspended_and_deleted(person: Person) -> None:
    identifier = (person.does("users", "create", "bjensen", "--name", "[b]Babs", "--email", "b@example.com")).strip()
    table = (person.does("users", "list", "--filter", 'userName eq "bjensen"')).splitlines()
    assert table[0].split() == ["id", "user", "name", "name", "e-mail", "active"]
    assert table[1].split() == [identifier, "bjensen", "[b]Babs", "b@example.com", "yes"]
    person.does("users", "update", "bjensen", "--family-name", "Jensen", "--external-id", "42")
    found = person.sees("users", "get", identifier)
    assert (found["name"], found["externalId"]) == ({"familyName": "Jensen"}, "42")
    assert "name.familyName    Jensen" in person.does("users", "get", "bjensen")
    assert person.does("users", "suspend", "bjensen") == "User bjensen is suspended.\n"
    assert "active             no" in person.does("users", "get", "bjensen")
    person.does("users", "resume", "bjensen")
    document = json.dumps({"userName": "bjensen2", "displayName": "Barbara"})
    replaced = json.loads(person.does("users", "update", "bjensen", "-f", "-", "--json", given=document))
    assert (replaced["id"], replaced["userName"], "name" in replaced) == (identifier, "bjensen2", False)
    code, _, errors = person.tries("users", "delete", "bjensen2")
    assert (code, errors) == (1, "quartet: Nothing was changed. Without a terminal, use: users delete --yes\n")
    person.does("users", "delete", "bjensen2", "--yes")
    code, _, errors = person.tries("users", "get", "bjensen2")
    assert (code, errors) == (
        1,
        "quartet: There is no user with the id or userName 'bjensen2'. To see them: users list\n",
    )
    code, _, errors = person.tries("users", "get", identifier)
    assert (code, errors.endswith("(404)\n")) == (1, True)


async def test_members_are_added_removed_and_checked_by_their_names(person: Person) -> None:
    for name in ("ann", "bob"):
        person.does("users", "create", name)
    group = (person.does("groups", "create", "Guides", "--external-id", "7")).strip()
    outer = json.loads(person.does("groups", "create", "-f", "-", "--json", given='{"displayName": "All"}'))["id"]
    assert person.does("members", "add", "Guides", "-", given="ann\n\nbob\n") == "Added to Guides: 2\n"
    person.does("members", "add", outer, group)
    listed = person.does("members", "list", "Guides")
    assert [line.split()[1] for line in listed.splitlines()[1:]] == ["User", "User"]
    assert person.does("check", "ann", "Guides") == "yes, directly: Guides\n"
    assert person.does("check", "ann", "All") == "yes, through: Guides > All\n"
    person.does("members", "remove", "Guides", "ann")
    assert person.tries("check", "ann", "Guides") == (6, "no\n", "")
    code, output, _ = person.tries("check", "ann", "All", "--json")
    assert (code, json.loads(output)["member"]) == (6, False)
    code, _, errors = person.tries("members", "add", "Guides", "bob", "nobody-here")
    assert (code, "There is no user with the id or userName 'nobody-here'" in errors) == (1, True)
    person.does("groups", "create", "Guides")
    code, _, errors = person.tries("groups", "get", "Guides")
    assert (code, errors.startswith("quartet: Several groups have the displayName 'Guides'. Use an id: ")) == (1, True)
    person.does("groups", "update", group, "--name", "Tour Guides")
    assert (person.does("groups", "list", "--filter", 'displayName sw "Tour"')).splitlines()[1].split()[0] == group
    person.does("groups", "delete", "Tour Guides", "--yes")


async def test_origins_are_added_and_removed(person: Person) -> None:
    identifier = person.does("origins", "add", "https://App.example.com").strip()
    assert identifier in person.does("origins", "list")
    assert [one["origin"] for one in person.sees("origins", "list")] == ["https://app.example.com"]
    code, _, errors = person.tries("origins", "add", "app.example.com")
    assert (code, "(400)" in errors) == (1, True)
    person.does("origins", "remove", "https://app.example.com")
    assert person.sees("origins", "list") == []


async def test_the_audit_log_is_searched_verified_and_followed_until_ctrl_c(person: Person) -> None:
    environment = {**os.environ, "QUARTET_HOME": str(person.stack.home.path), **person.variables}
    command = [sys.executable, "-m", "quartet_cli", "audit", "tail", "--json", "--action", "users.user.*"]
    tail = await asyncio.create_subprocess_exec(
        *command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a suite in the background ignores it
    )
    try:
        identifier = ""

        async def shown() -> bool:
            """The tail may open after the first of them."""
            nonlocal identifier
            identifier = (person.does("users", "create", f"tail-{time.time_ns()}")).strip()
            assert tail.stdout is not None
            try:
                line = await asyncio.wait_for(tail.stdout.readline(), 2)
            except TimeoutError:
                return False
            return bool(json.loads(line)["action"] == "users.user.created")

        await eventually(shown, "the tail shows a user")
        tail.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(tail.wait(), 20) == 130
    finally:
        if tail.returncode is None:
            tail.kill()
    found = person.sees("audit", "search", "--resource", identifier)
    assert [one["action"] for one in found] == ["users.user.created"]
    table = (person.does("audit", "search", "--limit", "2")).splitlines()
    assert table[0].split() == ["time", "sequence", "action", "actor", "resource", "outcome"]
    assert len(table) == 3
    state = person.variables["XDG_CONFIG_HOME"]
    assert "VERIFIED" in person.does("audit", "verify", "--state", f"{state}/state")


async def test_metrics_are_queried_and_described(person: Person) -> None:
    names = {one["name"] for one in person.sees("metrics", "catalog")}
    assert "quartet_events_total" in names

    async def counted() -> bool:
        rows = (person.does("metrics", "query", "events", "--by", "type")).splitlines()
        return any(row.split()[1:2] == ["users.login.succeeded"] for row in rows)

    await eventually(counted, "the login is counted")
    code, _, errors = person.tries("metrics", "query", "nonsense")
    assert (code, "metric must be one of" in errors) == (1, True)


async def test_an_expired_token_is_refreshed_and_a_refused_one_too(person: Person) -> None:
    kept = json.loads(person.profile.read_text())
    for spoilt in ({"expires_at": 0}, {"access_token": "nonsense"}):
        before = json.loads(person.profile.read_text())
        person.profile.write_text(json.dumps({**before, **spoilt}))
        person.does("users", "list")
        after = json.loads(person.profile.read_text())
        assert after["refresh_token"] != before["refresh_token"]
        assert (after["session_id"], after["expires_at"] > time.time()) == (kept["session_id"], True)
    assert person.profile.stat().st_mode & 0o777 == 0o600


async def test_what_belongs_to_the_platform_is_refused_to_a_tenant(person: Person) -> None:
    for arguments in (("tenants", "list"), ("keys", "list"), ("events", "replay", "--since", "1h")):
        code, output, errors = person.tries(*arguments)
        assert (code, output) == (1, "")
        assert "This needs a user or client of tenant quartet, and profile acme is of bj" in errors


async def test_a_client_of_the_tenant_has_its_own_profile_with_its_own_scopes(person: Person) -> None:
    made = person.does("clients", "create", "reader", "--scope", "users:read")
    identifier, secret = (line.split()[-1] for line in made.splitlines())
    other = Person(person.stack, person.tenant, person.profile.parents[1])
    other.variables["QUARTET_PROFILE"] = "reader"
    other.does("login", "--client-id", identifier, "--url", person.stack.url, given=f"{secret}\n")
    assert other.does("whoami") == f"client {identifier} of {person.tenant} at {person.stack.url}\n"
    assert "bj" in other.does("users", "list")
    code, _, errors = other.tries("users", "create", "carl")
    assert (code, "(403) Use a user or a client with the scope that is named." in errors) == (1, True)
    assert [line.split()[0] for line in (other.does("profiles")).splitlines()] == ["profile", "acme", "reader"]
    person.does("clients", "delete", identifier, "--yes")
    code, _, errors = other.tries("users", "list")
    advice = f"Log in again: ./quartet login --url {person.stack.url} --client-id {identifier}"
    assert (code, advice in errors) == (1, True)


async def test_doctor_finds_nothing_wrong_and_then_the_service_that_is_stopped(person: Person) -> None:
    rows = person.sees("doctor")
    assert {one["result"] for one in rows} == {"ok"}, rows
    _, output, _ = person.tries("doctor", "--json", QUARTET_PROFILE="")
    local = json.loads(output)
    assert {"programs", "stack", "server", "token"} <= {one["check"] for one in local}
    wrong = [one for one in local if one["result"] == "problem"]
    assert [one for one in wrong if not one["text"].startswith("dead letters: ")] == []  # other tests leave some
    person.stack.stop("metrics-api")
    try:
        code, output, _ = person.tries("doctor", "--json")
        [wrong] = [one for one in json.loads(output) if one["result"] == "problem"]
        assert (code, wrong["check"]) == (7, "metrics")
        code, output, _ = person.tries("doctor", QUARTET_PROFILE="")
        assert (code, "not running: metrics-api" in output) == (7, True), output
    finally:
        person.stack.start("metrics-api")


async def test_the_versions_of_the_command_and_of_the_server_are_shown(person: Person) -> None:
    assert person.sees("version") == {"quartet": "0.1.0", "server": "0.1.0", "url": person.stack.url}
