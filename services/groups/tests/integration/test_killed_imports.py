"""Imports by workers that are killed: groups, memberships and events are those of an import that ran undisturbed."""

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
from quartet_groups.imports.group_job_kinds import KINDS
from quartet_testing.conditions import eventually
from quartet_testing.services import RunningService, new_tenant

JOBS = "/groups/data/jobs"
GROUPS, KILLS = 1500, 10
TOTAL = GROUPS + GROUPS - 1
"""Groups and memberships of the file."""


def a_file() -> bytes:
    """A tree of groups; each names its children before they come."""
    children = [[f"displayName:group {one}" for one in (2 * n, 2 * n + 1) if one <= GROUPS] for n in range(GROUPS + 1)]
    groups = ({"displayName": f"group {number}", "members": children[number]} for number in range(1, GROUPS + 1))
    return b"\n".join(map(orjson.dumps, groups))


class Import:
    """An import of one tenant, whose workers are processes of their own."""

    def __init__(self, service: RunningService, servers: Stack) -> None:
        self.service = service
        self.tenant = new_tenant()
        self.headers = service.tokens.headers(self.tenant, ["tenant:admin"], "hr-sync")
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("QUARTET_")},
            **servers.environment("groups", "worker"),
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

    async def has_ended(self) -> bool:
        return bool((await self.job())["ended_at"])

    def start_worker(self) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "quartet_groups", "worker"]
        return subprocess.Popen(command, env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    async def kill_at(self, done: int) -> None:
        """Start a worker, and kill it with SIGKILL a moment after the job has done so much, or has ended."""
        worker = self.start_worker()

        async def reached() -> bool:
            job = await self.job()
            return bool(job["done"] >= done or job["ended_at"])

        try:
            await eventually(reached, f"{done} are done", 120)
            await asyncio.sleep(random.uniform(0, 0.15))  # noqa: S311  # at any point of a set; nothing is secret
        finally:
            worker.kill()
            await asyncio.to_thread(worker.wait)
        async with self.service.container.database.connection() as connection:  # as if the time of the lease was over
            await connection.execute(
                "UPDATE data_jobs SET leased_until = now() WHERE id = $1 AND state = 'running'", UUID(self.id)
            )

    async def outcome(self) -> dict[str, Any]:
        """What the import has left: groups, memberships, events and counts."""
        async with self.service.container.database.connection() as connection:
            nestings = await connection.fetch(
                """
                SELECT p.display_name AS parent, c.display_name AS child FROM nestings n
                JOIN groups p ON p.tenant_id = n.tenant_id AND p.id = n.parent_id
                JOIN groups c ON c.tenant_id = n.tenant_id AND c.id = n.child_id WHERE n.tenant_id = $1
                """,
                self.tenant,
            )
            groups = await connection.fetch(
                "SELECT display_name, version FROM groups WHERE tenant_id = $1", self.tenant
            )
            events = await connection.fetch(
                "SELECT event FROM outbox WHERE tenant_id = $1 UNION ALL "
                "SELECT event FROM published_events WHERE tenant_id = $1",
                self.tenant,
            )
        job = await self.job()
        named = [orjson.loads(row["event"]) for row in events]
        return {
            "groups": Counter((row["display_name"], row["version"]) for row in groups),
            "nestings": Counter((row["parent"], row["child"]) for row in nestings),
            "events": Counter((one["type"], one["data"].get("displayName", "")) for one in named),
            "counts": (job["state"], job["done"], job["failed"], job["skipped"]),
        }


@pytest.mark.slow
async def test_an_import_whose_workers_are_killed_ten_times_ends_as_an_undisturbed_one(
    groups: RunningService, servers: Stack
) -> None:
    killed, undisturbed = Import(groups, servers), Import(groups, servers)
    file = a_file()
    await killed.send(file)
    died_early = 0
    for kill in range(KILLS):
        await killed.kill_at(TOTAL * (kill + 1) // (KILLS + 1))
        died_early += not await killed.has_ended()
    assert died_early >= KILLS - 4
    await undisturbed.send(file)
    runner = JobRunner(groups.container, KINDS)

    async def finished() -> bool:
        await runner.run()
        return await killed.has_ended() and await undisturbed.has_ended()

    await eventually(finished, "both imports end", 300)
    found, expected = await killed.outcome(), await undisturbed.outcome()
    assert found["counts"] == expected["counts"] == ("completed", TOTAL, 0, 0)
    assert found["groups"] == expected["groups"]
    assert found["nestings"] == expected["nestings"]
    assert (len(found["groups"]), len(found["nestings"])) == (GROUPS, GROUPS - 1)
    assert found["events"] == expected["events"]
