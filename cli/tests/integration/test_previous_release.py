"""An upgrade and a rollback: the previous release runs on the schema of this one, without a failed request."""

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from quartet_cli.errors import ProcessFailedError
from quartet_cli.layout import CHECKOUT, SERVICES
from quartet_cli.reset import remove
from quartet_cli.stack import Stack
from quartet_testing.bursts import arrived_exactly_once
from quartet_testing.client import Api
from quartet_testing.clusters import skip_fsync
from quartet_testing.conditions import eventually
from quartet_testing.limits import WIDE
from quartet_testing.people import PASSWORD
from quartet_testing.services import new_tenant
from quartet_testing.steady_load import SteadyLoad

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

RATE = 20


def git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false")
    command = ["git", "-c", f"safe.directory={folder}", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=False, capture_output=True)


def last_release(repository: Path) -> str | None:
    """The last tag of a release that the commit of `repository` contains; None without one."""
    found = git(repository, "describe", "--tags", "--abbrev=0", "--match", "v*", "HEAD")
    return found.stdout.decode().strip() if found.returncode == 0 else None


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the account of a stack can read."""
    with tempfile.TemporaryDirectory(prefix="quartet-releases-") as made:
        Path(made).chmod(0o755)
        yield Path(made)


def exported(repository: Path, tag: str, folder: Path) -> Path:
    """The files of a tag in `folder`."""
    archive = git(repository, "archive", tag)
    assert archive.returncode == 0, archive.stderr
    folder.mkdir(mode=0o755)
    subprocess.run(["/bin/tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    return folder


def code(tree: Path) -> dict[str, str]:
    """The variable with which Python runs the code of `tree`, with the libraries that are installed."""
    folders = sorted([*tree.glob("libs/*/src"), *tree.glob("services/*/src")])
    assert tree / "services/users/src" in folders
    return {"PYTHONPATH": ":".join(map(str, folders))}


def migrate(stack: Stack, tree: Path, service: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the migrations of `tree`, as an upgrade does while the stack runs."""
    command = [sys.executable, "-m", f"quartet_{service}", "migrate", *options]
    variables = stack.environment(service, "migrate") | code(tree)
    return subprocess.run(command, check=False, capture_output=True, text=True, env=variables, cwd="/")


async def upgraded_and_used(stack: Stack, newer: Path) -> None:
    """Bring the schemas to `newer` under load, restart the older processes on them, and use everything."""
    tenant = new_tenant()
    async with Api(stack.url, await asyncio.to_thread(stack.token, tenant)) as api:
        async with SteadyLoad([api], RATE) as load:
            await eventually(lambda: load.reached(20), "the first answers")
            for service in SERVICES:
                done = await asyncio.to_thread(migrate, stack, newer, service, "--rolling")
                assert done.returncode == 0, done.stdout + done.stderr
            await asyncio.to_thread(stack.restart_rolling)
            reached = load.answered
            await eventually(lambda: load.reached(reached + 20), "answers of the restarted processes")
        assert load.failed == []
        await arrived_exactly_once(api, load.created)
        user = await api.create_user(password=PASSWORD)
        group = await api.create_group([user["id"]])
        check = await api.get("/groups/check", params={"user": user["id"], "group": group["id"]})
        assert check.json()["member"] is True
        await api.entries_of(group["id"], "groups.group.created")
        body = {"tenant": tenant, "user_name": user["userName"], "password": PASSWORD}
        async with httpx.AsyncClient(base_url=stack.url, trust_env=False, timeout=30) as anybody:
            assert (await anybody.post("/users/login", json=body)).status_code == 200


async def test_the_last_release_runs_on_the_schema_of_this_one(folder: Path) -> None:
    tag = last_release(CHECKOUT)
    if tag is None:
        pytest.skip("no tag v* is an ancestor of HEAD: nothing was released, or there is no git history")
    older = exported(CHECKOUT, tag, folder / "older")
    with tempfile.TemporaryDirectory(prefix="quartet-previous-", ignore_cleanup_errors=True) as home:
        stack = Stack(Path(home), extra_environment={**WIDE, **code(older)}, temporary=True)
        try:
            await asyncio.to_thread(stack.up)
            skip_fsync(stack)
            await upgraded_and_used(stack, CHECKOUT)
        finally:
            await asyncio.to_thread(stack.down)
            remove(stack.home)


async def test_a_release_runs_on_a_schema_that_the_next_one_expands_and_not_on_one_that_it_contracts(
    folder: Path,
) -> None:
    if git(CHECKOUT, "rev-parse", "HEAD").returncode != 0:
        pytest.skip("there is no git history: this is an archive")
    newer = folder / "newer"
    cloned = git(CHECKOUT, "clone", "--quiet", "--no-tags", str(CHECKOUT), str(newer))
    assert cloned.returncode == 0, cloned.stderr
    newer.chmod(0o755)
    assert git(newer, "tag", "v0.0.1").returncode == 0
    add_migration(newer, "expands", "ALTER TABLE users ADD COLUMN note text;\n")
    assert last_release(newer) == "v0.0.1"
    older = exported(newer, "v0.0.1", folder / "older")
    with tempfile.TemporaryDirectory(prefix="quartet-previous-", ignore_cleanup_errors=True) as home:
        stack = Stack(Path(home), extra_environment={**WIDE, **code(older)}, temporary=True)
        try:
            await asyncio.to_thread(stack.up)
            skip_fsync(stack)
            await upgraded_and_used(stack, newer)
            number = add_migration(newer, "contracts", "ALTER TABLE users DROP COLUMN note;\n", contract=True)
            refused = migrate(stack, newer, "users", "--rolling")
            assert refused.returncode == 1
            assert f"{number:04}_contracts.sql needs code that knows {number:04}" in refused.stdout + refused.stderr
            assert migrate(stack, newer, "users").returncode == 0
            with pytest.raises(ProcessFailedError) as failed:
                await asyncio.to_thread(stack.restart_rolling, "users-api")
            assert any(f"needs code that knows {number:04}" in line for line in failed.value.log)
            assert failed.value.name == "users-api-spare", "the api that runs was not stopped"
        finally:
            await asyncio.to_thread(stack.down)
            remove(stack.home)


def add_migration(tree: Path, name: str, sql: str, *, contract: bool = False) -> int:
    """Commit another migration of users; its number."""
    migrations = tree / "services/users/migrations"
    number = len(list(migrations.glob("*.sql"))) + 1
    head = f"-- contract: {number:04}\n" if contract else ""
    (migrations / f"{number:04}_{name}.sql").write_text(head + sql)
    assert git(tree, "add", ".").returncode == 0
    assert git(tree, "commit", "--quiet", "-m", name).returncode == 0
    return number
