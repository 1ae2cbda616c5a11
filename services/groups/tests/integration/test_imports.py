"""Imports and exports of groups: what a file makes of groups and members, and what they make of a file."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import orjson
import pytest

from quartet_common.jobs.job_runner import JobRunner
from quartet_common.jobs.running_job import RunningJob
from quartet_groups import users_client
from quartet_groups.imports import import_domain, import_usecases
from quartet_groups.imports.group_job_kinds import KINDS
from quartet_serving.tasks import end_tasks
from quartet_testing.conditions import eventually
from quartet_testing.services import RunningService, new_tenant

JOBS = "/groups/data/jobs"
ENDED = {"completed", "failed", "cancelled"}
REPORTED = "No user or group has this id, name or externalId."


@pytest.fixture(autouse=True)
async def worker(groups: RunningService, directory: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """A worker that runs the jobs of the service; it asks the fake directory for users."""
    monkeypatch.setattr(users_client, "UsersClient", lambda _: directory)

    async def work() -> None:
        while True:
            await JobRunner(groups.container, KINDS).run()
            await asyncio.sleep(0.02)

    running = asyncio.ensure_future(work())
    yield
    await end_tasks([running])


class Jobs:
    """The jobs of one tenant."""

    def __init__(self, own: Any) -> None:
        self.own = own

    async def start(self, file: bytes | str | None = None, **parameters: str) -> str:
        """The path of a new job."""
        query = {"kind": "import", **parameters}
        body = file.encode() if isinstance(file, str) else file
        made = await self.own.service.client.post(JOBS, headers=self.own.headers, query_string=query, data=body)
        assert made.status_code == 202, await made.get_data()
        return f"{JOBS}/{(await made.get_json())['id']}"

    async def ended(self, path: str) -> dict[str, Any]:
        """The job at `path` when it has ended."""

        async def has_ended() -> dict[str, Any] | None:
            answer = await self.own.service.client.get(path, headers=self.own.headers)
            job: dict[str, Any] = await answer.get_json()
            return job if job["state"] in ENDED else None

        return await eventually(has_ended, "the job ends")

    async def text(self, path: str) -> str:
        answer = await self.own.service.client.get(path, headers=self.own.headers)
        assert answer.status_code == 200
        text: str = (await answer.get_data(as_text=False)).decode()
        return text

    async def run(self, file: bytes | str, **parameters: str) -> tuple[tuple[int, int, int], list[tuple[int, str]]]:
        """What an import has done, failed and skipped, and its errors by line."""
        path = await self.start(file, **parameters)
        job = await self.ended(path)
        assert job["state"] == "completed", job
        report = [orjson.loads(line) for line in (await self.text(f"{path}/report")).splitlines()]
        errors = [(one["line"], one["reason"]) for one in report if one["level"] == "error"]
        return (job["done"], job["failed"], job["skipped"]), errors

    async def export(self, format_name: str) -> str:
        """The file of an export."""
        path = await self.start(kind="export", format=format_name)
        job = await self.ended(path)
        assert job["state"] == "completed", job
        return await self.text(f"{path}/result")

    async def group(self, name: str) -> UUID:
        """The only group with a name."""
        [found] = await self.own.found(f'displayName eq "{name}"')
        return UUID(str(found))


@pytest.fixture
def jobs(own: Any) -> Jobs:
    """The jobs of the test's tenant."""
    return Jobs(own)


def lines(*documents: Any) -> bytes:
    """A file of NDJSON."""
    return b"\n".join(orjson.dumps(one) for one in documents)


async def test_groups_may_be_nested_in_any_order(jobs: Jobs, own: Any, directory: Any) -> None:
    ada = directory.add(own.tenant, "Ada", external_id="7")
    bob = directory.add(own.tenant, "Bob")
    file = lines(
        {
            "displayName": "All",
            "externalId": "all",
            "members": [{"value": "staff", "type": "Group"}, "BOB@example.com"],
        },
        {"displayName": "Staff", "externalId": "staff", "members": ["externalId:7", str(bob), "displayName:guests"]},
        {"displayName": "Guests", "members": [{"userName": "ada@example.com"}]},
    )
    assert await jobs.run(file) == ((3 + 6, 0, 0), [])
    everyone, staff, guests = [await jobs.group(name) for name in ("All", "Staff", "Guests")]
    assert await own.members(everyone) == {staff, bob}
    assert await own.members(staff) == {ada, bob, guests}
    assert await own.members(guests) == {ada}
    assert await own.check(ada, everyone) == (True, False, ["Staff", "All"])
    assert await jobs.run(file) == ((0, 0, 3 + 6), [])


async def test_the_same_events_are_published_as_by_scim(jobs: Jobs, own: Any, directory: Any) -> None:
    ada = directory.add(own.tenant, "Ada")
    await jobs.run(lines({"displayName": "Staff", "members": [str(ada)]}, {"displayName": "All", "members": ["Staff"]}))
    staff, everyone = await jobs.group("Staff"), await jobs.group("All")
    published = [one for one in await own.published() if one[0].startswith("groups.") and ".job." not in one[0]]
    assert sorted(published) == sorted(
        [
            ("groups.group.created.v1", str(staff), 1),
            ("groups.group.created.v1", str(everyone), 1),
            ("groups.membership.added.v1", str(staff), 2),
            ("groups.nesting.added.v1", str(everyone), 2),
        ]
    )
    assert (await own.read(staff))["meta"]["version"] == 'W/"2"'


async def test_groups_are_found_by_external_id_or_name_and_members_stay(jobs: Jobs, own: Any, directory: Any) -> None:
    ada, bob = directory.add(own.tenant, "Ada"), directory.add(own.tenant, "Bob")
    staff = await own.make(ada, name="Staff")
    assert await jobs.run(
        lines({"displayName": "STAFF", "externalId": "s", "members": [str(bob)]}), match="displayName"
    ) == (
        (2, 0, 0),
        [],
    )
    assert await own.members(staff) == {ada, bob}
    assert await jobs.run(lines({"displayName": "Team", "externalId": "s"})) == ((1, 0, 0), [])
    assert (await own.read(staff))["displayName"] == "Team"
    await own.make(name="Team")
    counts, [(line, reason)] = await jobs.run(lines({"displayName": "team"}))
    assert (counts, line, reason[:14]) == ((0, 1, 0), 1, "Several groups")


async def test_what_cannot_be_imported_is_reported_by_line(jobs: Jobs, own: Any, directory: Any) -> None:
    ada = directory.add(own.tenant, "Ada")
    other = directory.add(new_tenant(), "Eve")
    file = b"{\n" + lines(
        {
            "displayName": "Staff",
            "members": ["nobody", str(ada), str(other), {"value": "eve@example.com", "type": "User"}],
        },
        {"displayName": "x" * 2000},
        {"displayName": "Team", "members": [str(ada)]},
        {"userName": "ada@example.com", "groups": ["Staff", "Team", "None"]},
    )
    counts, errors = await jobs.run(file)
    assert counts == (2 + 2, 6, 2)
    reasons = sorted((line, reason[:30]) for line, reason in errors)
    assert [line for line, _ in reasons] == [1, 2, 2, 2, 3, 5]
    assert (2, REPORTED[:30]) in reasons
    assert await own.members(await jobs.group("Staff")) == {ada}


async def test_cycles_are_reported_by_line(jobs: Jobs, own: Any) -> None:
    file = lines(
        {"displayName": "A", "members": ["B"]},
        {"displayName": "B", "members": ["C", "D"]},
        {"displayName": "C", "members": ["A", "D"]},
        {"displayName": "D", "members": ["D"]},
    )
    counts, errors = await jobs.run(file)
    assert counts == (4 + 4, 2, 0)
    assert [(line, "contain" in reason) for line, reason in errors] == [(3, True), (4, True)]
    assert await own.members(await jobs.group("C")) == {await jobs.group("D")}


async def test_a_dry_run_reports_the_same_and_writes_nothing(jobs: Jobs, own: Any, directory: Any) -> None:
    directory.add(own.tenant, "Ada")
    file = lines(
        {"displayName": "A", "members": ["B", "ada@example.com", "x"]},
        {"displayName": "B", "members": ["ada@example.com"]},
    )
    tried = await jobs.run(file, dry_run="true")
    assert await own.found("displayName pr") == set()
    assert [one for one in await own.published() if ".job." not in one[0]] == []
    assert await jobs.run(file) == tried == ((5, 1, 0), [(1, REPORTED)])


@pytest.mark.parametrize("size", [1, 2])
async def test_a_job_that_is_continued_makes_the_same_groups(
    jobs: Jobs, own: Any, directory: Any, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(import_usecases, "SET", size)
    monkeypatch.setattr(import_domain, "MAX_RECORDS", size)
    users = [directory.add(own.tenant, f"User{number}") for number in range(6)]
    file = lines(
        *({"displayName": f"G{n}", "members": [str(users[n]), f"G{n + 1}"]} for n in range(5)), {"displayName": "G5"}
    )
    broken = 0
    run_set = RunningJob.run_set

    async def break_off(job: Any, *arguments: Any) -> Any:
        nonlocal broken
        outcome = await run_set(job, *arguments)
        broken += 1
        if broken % 2:  # the worker is gone after the transaction, and before it knows
            raise asyncio.CancelledError
        return outcome

    monkeypatch.setattr(RunningJob, "run_set", break_off)
    path = await jobs.start(file)
    job = await jobs.ended(path)
    assert (job["state"], job["done"], job["failed"], job["skipped"]) == ("completed", 6 + 10, 0, 0)
    for number in range(5):
        members = await own.members(await jobs.group(f"G{number}"))
        assert members == {users[number], await jobs.group(f"G{number + 1}")}
    added = [one for one in await own.published() if one[0] == "groups.membership.added.v1"]
    assert (len(added), len(set(added))) == (5, 5)
    assert broken > 5


async def test_members_of_a_group_with_roles_need_their_scopes(jobs: Jobs, own: Any, directory: Any) -> None:
    ada = directory.add(own.tenant, "Ada")
    admins = await own.make(name="Admins")
    service = own.service.tokens.headers(own.tenant, ("service",), subject="users")
    marked = await own.service.client.post("/groups/privileged", headers=service, json={"ids": [str(admins)]})
    assert marked.status_code == 200, await marked.get_data()
    directory.roles[admins] = frozenset({"keys:manage"})
    file = lines({"displayName": "Admins", "members": [str(ada)]}, {"displayName": "Staff", "members": [str(ada)]})
    counts, [(line, reason)] = await jobs.run(file)
    assert (counts, line) == ((2, 1, 1), 1)
    assert "keys:manage" in reason
    assert await own.members(admins) == set()
    directory.roles[admins] = frozenset({"groups:write"})
    assert await jobs.run(file) == ((1, 0, 3), [])
    assert await own.members(admins) == {ada}


@pytest.mark.parametrize("format_name", ["ndjson", "csv", "ldif"])
async def test_an_export_is_imported_into_another_tenant(
    jobs: Jobs, own: Any, directory: Any, monkeypatch: pytest.MonkeyPatch, format_name: str
) -> None:
    monkeypatch.setattr("quartet_groups.imports.export_usecases.MEMBERS", 2)
    users = [directory.add(own.tenant, f"User{number}") for number in range(25)]
    guests = await own.make(*users[:3], name="Guests")
    await own.make(*users, guests, name="=Staff, all")
    await own.make(name="Empty")
    file = await jobs.export(format_name)
    other = own.at(new_tenant())
    theirs = [directory.add(other.tenant, f"User{number}") for number in range(25)]
    imported = Jobs(other)
    counts, errors = await imported.run(file, format=format_name)
    assert (counts[0], errors) == (3 + 3 + 26, [])
    assert await other.members(await imported.group("Guests")) == set(theirs[:3])
    assert await other.members(await imported.group("=Staff, all")) == {*theirs, await imported.group("Guests")}
    assert await other.members(await imported.group("Empty")) == set()


async def test_groups_of_users_in_a_keycloak_realm_become_members(jobs: Jobs, own: Any, directory: Any) -> None:
    ada = directory.add(own.tenant, "Ada", external_id="5b1")
    it = {"name": "IT", "path": "/Staff/IT"}
    realm = {
        "groups": [
            {"name": "Staff", "path": "/Staff", "subGroups": [it]},
            {"name": "Sales", "subGroups": [it | {"path": "/Sales/IT"}]},
        ],
        "users": [{"username": "ada", "id": "5b1", "groups": ["/Sales/IT"]}],
    }
    assert await jobs.run(orjson.dumps(realm), format="keycloak") == ((4 + 3, 0, 0), [])
    [sales_it] = await own.found('externalId eq "/Sales/IT"')
    assert await own.members(sales_it) == {ada}
    assert await own.members(await jobs.group("Sales")) == {sales_it}


async def test_a_file_that_cannot_be_read_fails_with_the_reason(jobs: Jobs) -> None:
    job = await jobs.ended(await jobs.start("a,b\n1,2\n", format="csv"))
    assert job["state"] == "failed"
    assert job["error"].startswith("No column is the userName or displayName.")
