"""Imports by workers that are killed: the directory and the log are those of an import that ran undisturbed."""

import asyncio
import os
import random
import subprocess
import sys
from collections import Counter
from typing import Any
from uuid import UUID

import orjson
import pytest

from quartet_cli.stack import Stack
from quartet_common.jobs.job_runner import JobRunner
from quartet_testing.client import USER, USERS
from quartet_testing.conditions import eventually
from quartet_testing.services import RunningService, new_tenant
from quartet_users.imports.user_job_kinds import KINDS

JOBS = "/users/data/jobs"
WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid)) AND query LIKE '%user_name_key%'"
)


def a_file(number: int) -> bytes:
    """Users, some of them twice, and broken lines."""
    records = []
    for one in range(number):
        records.append(orjson.dumps({"userName": f"name {one}", "displayName": f"Name {one}", "active": one % 7 > 0}))
        if one % 100 == 50:
            records.append(orjson.dumps({"userName": f"name {one - 30}", "title": f"Title {one}"}))
        if one % 250 == 0:
            records.append(b"broken")
    return b"\n".join(records)


class Import:
    """An import of one tenant, whose workers are processes of their own."""

    def __init__(self, service: RunningService, servers: Stack) -> None:
        self.service = service
        self.tenant = new_tenant()
        self.headers = service.tokens.headers(self.tenant, ["tenant:admin"], "hr-sync")
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("QUARTET_")},
            **servers.environment("users", "worker"),
        }
        self.id = ""

    async def send(self, file: bytes) -> None:
        made = await self.service.client.post(f"{JOBS}?kind=import", headers=self.headers, data=file)
        assert made.status_code == 202
        self.id = (await made.get_json())["id"]

    async def job(self) -> dict[str, Any]:
        answer = await self.service.client.get(f"{JOBS}/{self.id}", headers=self.headers)
        found: dict[str, Any] = await answer.get_json()
        return found

    def start_worker(self) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "quartet_users", "worker"]
        return subprocess.Popen(command, env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    async def kill_at(self, done: int, worker: "subprocess.Popen[bytes]") -> None:
        """Kill the worker with SIGKILL a moment after the job has done so many records, or has ended."""

        async def reached() -> bool:
            job = await self.job()
            return bool(job["done"] >= done or job["ended_at"])

        try:
            await eventually(reached, f"{done} records are done")
            await asyncio.sleep(random.uniform(0, 0.15))  # noqa: S311  # at any point of a set; nothing is secret
        finally:
            worker.kill()
            await asyncio.to_thread(worker.wait)
        await self.end_lease()

    async def make_user(self, name: str) -> None:
        """A user whom the file changes."""
        body = {"schemas": [USER], "userName": name}
        headers = self.service.tokens.headers(self.tenant, ["users:write"], "hr-sync")
        made = await self.service.client.post(USERS, headers=headers, json=body)
        assert made.status_code == 201

    async def kill_inside_a_set(self, name: str) -> None:
        """Kill a worker inside the transaction of the set that changes a user, whose row is held until then."""
        async with self.service.container.database.transaction() as connection:
            await connection.execute(
                "SELECT FROM users WHERE tenant_id = $1 AND user_name_key = $2 FOR UPDATE", self.tenant, name
            )

            async def waits() -> bool:
                async with self.service.container.database.connection() as other:
                    return bool(await other.fetchval(WAITING, connection.get_server_pid()))

            worker = self.start_worker()
            try:
                await eventually(waits, "the set waits for the user")
            finally:
                worker.kill()
                await asyncio.to_thread(worker.wait)
        await self.end_lease()

    async def end_lease(self) -> None:
        """As if the time of the lease was over."""
        async with self.service.container.database.connection() as connection:
            await connection.execute(
                "UPDATE data_jobs SET leased_until = now() WHERE id = $1 AND state = 'running'", UUID(self.id)
            )

    async def has_ended(self) -> bool:
        return bool((await self.job())["ended_at"])

    async def outcome(self) -> dict[str, Any]:
        """What the import has left: users, events, counts and report."""
        async with self.service.container.database.connection() as connection:
            users = await connection.fetch(
                "SELECT resource::text, version FROM users WHERE tenant_id = $1 ORDER BY user_name_key", self.tenant
            )
            events = await connection.fetch(
                "SELECT event FROM outbox WHERE tenant_id = $1 UNION ALL "
                "SELECT event FROM published_events WHERE tenant_id = $1",
                self.tenant,
            )
        job = await self.job()
        report = await self.service.client.get(f"{JOBS}/{self.id}/report", headers=self.headers)
        named = [orjson.loads(row["event"]) for row in events]
        return {
            "users": [(row["resource"], row["version"]) for row in users],
            "events": Counter((one["type"], one["data"].get("userName", "")) for one in named),
            "counts": (job["state"], job["done"], job["failed"], job["skipped"]),
            "report": await report.get_data(as_text=True),
        }


async def compare(service: RunningService, servers: Stack, number: int, kills: int) -> None:
    """Import a file with so many kills, and without."""
    file = a_file(number)
    killed, undisturbed = Import(service, servers), Import(service, servers)
    await killed.send(file)
    died_early = 0
    for kill in range(kills):
        await killed.kill_at(number * (kill + 1) // (kills + 1), killed.start_worker())
        died_early += not await killed.has_ended()
    assert died_early >= kills - 3
    await undisturbed.send(file)
    await require_equal(service, killed, undisturbed, number)


async def require_equal(service: RunningService, killed: Import, undisturbed: Import, number: int) -> None:
    """Run both imports to their ends, and compare what they have left."""
    runner = JobRunner(service.container, KINDS)
    await eventually(lambda: finished(runner, killed, undisturbed), "both imports end", 120)
    found, expected = await killed.outcome(), await undisturbed.outcome()
    assert found["counts"] == expected["counts"]
    assert found["users"] == expected["users"]
    assert len(found["users"]) == number
    assert found["events"] == expected["events"]
    assert found["report"] == expected["report"]


async def finished(runner: JobRunner, *imports: Import) -> bool:
    await runner.run()
    return all([await one.has_ended() for one in imports])


async def test_an_import_whose_worker_is_killed_ends_as_an_undisturbed_one(
    users: RunningService, servers: Stack
) -> None:
    killed, undisturbed = Import(users, servers), Import(users, servers)
    for one in (killed, undisturbed):
        await one.make_user("name 800")
        await one.send(a_file(1500))
    await killed.kill_inside_a_set("name 800")
    job = await killed.job()
    assert (job["state"], job["done"] + job["failed"]) == ("running", 500)
    await require_equal(users, killed, undisturbed, 1500)


@pytest.mark.slow
async def test_an_import_whose_workers_are_killed_ten_times_ends_as_an_undisturbed_one(
    users: RunningService, servers: Stack
) -> None:
    await compare(users, servers, 20_000, 10)
