"""Jobs: uploads, sets, reports, results, cancellation, and workers that end or compete."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from quart import Quart, Response

from quartet_common.core.clock import utc_now
from quartet_common.jobs import job_routes, job_runner, job_store, running_job
from quartet_common.jobs.job_domain import Finding, Job, JobError
from quartet_common.jobs.job_kinds import JobKind, JobKinds
from quartet_common.jobs.job_runner import JobRunner
from quartet_common.jobs.job_usecases import CHUNK
from quartet_common.jobs.running_job import JobTakenError, RunningJob, SetOutcome
from quartet_common.messaging.outbox import DomainEvent
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.process import Service
from quartet_common.runtime.unit_of_work import UnitOfWork
from quartet_common.web.app import create_base_app
from quartet_common.web.dependencies import provide
from quartet_serving.tasks import end_tasks
from quartet_testing.conditions import eventually
from quartet_testing.services import RunningService, new_tenant, serve_service

JOBS = "/common/data/jobs"
SIZE = 10
MAKE = "CREATE TABLE IF NOT EXISTS job_things (tenant_id text, line bigint, name text, PRIMARY KEY (tenant_id, line))"
WAITING = """
SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%FROM data_jobs%FOR UPDATE'"""
ENDED = {"completed", "failed", "cancelled"}


class Gate:
    """Holds the sets of a test's jobs: each waits until `open` is set, and says that it has begun."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.open = asyncio.Event()
        self.open.set()


@pytest.fixture
def gate() -> Gate:
    return Gate()


def kinds_of(gate: Gate) -> JobKinds:
    """An import that stores lines, and an export that writes them."""

    async def store_lines(job: RunningJob) -> None:
        async for some in job.sets(numbered_lines(job), SIZE):

            async def store(work: UnitOfWork, outcome: SetOutcome, some: list[tuple[int, str]] = some) -> None:
                gate.begun.set()
                await gate.open.wait()
                for line, name in some:
                    if name == "bad":
                        outcome.fail(line, "This line is bad.", name)
                        continue
                    await work.connection.execute("INSERT INTO job_things VALUES ($1, $2, $3)", work.tenant, line, name)
                    work.publish([DomainEvent("common.thing.made.v1", f"things/{line}", 1, {"name": name})])
                    outcome.done += 1

            await job.run_set(len(some), store)

    async def write_lines(job: RunningJob) -> None:
        job.expect(100)
        while job.state.position < 100:

            async def write(_: UnitOfWork, outcome: SetOutcome) -> None:
                first = job.state.position
                outcome.result = b"".join(b"%d\n" % number for number in range(first, first + 25))
                outcome.done = 25

            await job.run_set(25, write)

    async def fail(_: RunningJob) -> None:
        raise JobError("The file has no header.")

    async def break_down(_: RunningJob) -> None:
        raise ZeroDivisionError

    async def wait(job: RunningJob) -> None:
        gate.begun.set()
        await gate.open.wait()

        async def count(_: UnitOfWork, outcome: SetOutcome) -> None:
            outcome.done = 1

        await job.run_set(1, count)

    options = {"match": ("line", "name"), "mapping": ()}
    return JobKinds.of(
        JobKind("import", store_lines, {"lines": "text/plain"}, options=options),
        JobKind("export", write_lines, {"lines": "text/plain"}, takes_file=False),
        JobKind("fail", fail, {"lines": "text/plain"}),
        JobKind("slow", wait, {"lines": "text/plain"}),
        JobKind("break", break_down, {"lines": "text/plain"}),
    )


def numbered_lines(job: RunningJob) -> Any:
    """The lines of the file behind those of the finished sets, with their numbers."""
    position, file = job.state.position, job.open_file()

    def each() -> Any:
        for number, line in enumerate(file.read().decode().splitlines(), 1):
            if number > position:
                yield number, line

    return each()


@pytest.fixture
async def service(config: Any, gate: Gate) -> AsyncIterator[RunningService]:
    def create_app(container: AppContainer[Any]) -> Quart:
        app = create_base_app(container, title="Common")
        provide(app, JobKinds, kinds_of(gate))
        app.register_blueprint(job_routes.blueprint, url_prefix="/common/data")
        return app

    made = Service("quartet_common", type(config), create_app, lambda _: [])
    small = config.model_copy(update={"upload_bytes": 2 * 1024 * 1024})
    async with serve_service(made, small) as running:
        async with running.container.database.connection() as connection:
            await connection.execute(MAKE)
        yield running


class Client:
    """Sends requests of an administrator of one tenant."""

    def __init__(self, service: RunningService, tenant: str) -> None:
        self.service = service
        self.tenant = tenant
        self.headers = service.tokens.headers(tenant, ["tenant:admin"], "migrator")

    async def get(self, path: str) -> Response:
        return await self.service.client.get(f"{JOBS}{path}", headers=self.headers)

    async def post(self, path: str = "", data: bytes | None = None) -> Response:
        return await self.service.client.post(f"{JOBS}{path}", headers=self.headers, data=data)

    async def make(self, data: bytes | None = None, query: str = "kind=import") -> str:
        """The id of a new job."""
        answer = await self.post(f"?{query}", data)
        assert answer.status_code == 202, await answer.get_data()
        found: str = (await answer.get_json())["id"]
        assert answer.headers["Location"].endswith(f"{JOBS}/{found}")
        return found

    async def job(self, job_id: str) -> dict[str, Any]:
        found: dict[str, Any] = await (await self.get(f"/{job_id}")).get_json()
        return found

    async def report(self, job_id: str) -> list[dict[str, Any]]:
        text: bytes = await (await self.get(f"/{job_id}/report")).get_data(as_text=False)
        return [orjson.loads(line) for line in text.splitlines()]

    async def stored(self) -> list[str]:
        """The names that imports have stored, in the order of their lines."""
        async with self.service.container.database.connection() as connection:
            rows = await connection.fetch("SELECT name FROM job_things WHERE tenant_id = $1 ORDER BY line", self.tenant)
        return [row["name"] for row in rows]

    async def leases(self, what: str) -> list[Any]:
        """An expression about the lease of each job of the tenant."""
        async with self.service.container.database.connection() as connection:
            rows = await connection.fetch(f"SELECT {what} AS found FROM data_jobs WHERE tenant_id = $1", self.tenant)
        return [row["found"] for row in rows]

    async def rows(self, table: str) -> int:
        async with self.service.container.database.connection() as connection:
            found: int = await connection.fetchval(f"SELECT count(*) FROM {table} WHERE tenant_id = $1", self.tenant)
        return found


@pytest.fixture
def client(service: RunningService) -> Client:
    return Client(service, new_tenant())


@pytest.fixture
async def run(service: RunningService, gate: Gate) -> AsyncIterator[Callable[..., JobRunner]]:
    """Starts a worker, which runs jobs until the end of the test."""
    tasks: list[asyncio.Task[None]] = []

    def start(lease: float = 10.0) -> JobRunner:
        runner = JobRunner(service.container, kinds_of(gate), lease=lease)

        async def again() -> None:
            while True:
                await runner.run()
                await asyncio.sleep(0.02)

        tasks.append(asyncio.ensure_future(again()))
        return runner

    yield start
    gate.open.set()
    await end_tasks(tasks)


def lines(number: int) -> bytes:
    return b"".join(b"name %d\n" % one for one in range(1, number + 1))


async def ended(client: Client, job_id: str) -> dict[str, Any]:
    async def has_ended() -> dict[str, Any] | None:
        job = await client.job(job_id)
        return job if job["state"] in ENDED else None

    return await eventually(has_ended, "the job ends")


async def test_a_job_stores_the_lines_of_its_file_in_sets_and_reports_the_bad_ones(
    client: Client, run: Callable[..., JobRunner]
) -> None:
    file = lines(24) + b"bad\nlast\n"
    job_id = await client.make(file, "kind=import&match=name")
    waiting = await client.job(job_id)
    assert (waiting["state"], waiting["upload_bytes"], waiting["rate"]) == ("waiting", len(file), None)
    assert waiting["options"] == {"match": "name"}
    run()
    job = await ended(client, job_id)
    assert (job["state"], job["done"], job["failed"], job["progress"]) == ("completed", 25, 1, 1.0)
    assert job["started_at"] <= job["ended_at"]
    assert job["rate"] > 0
    assert await client.report(job_id) == [
        {"line": 25, "level": "error", "reason": "This line is bad.", "value": "bad"}
    ]
    assert (await client.stored())[-1] == "last"
    events = [one.routing_key for one in await client.service.outbox(client.tenant)]
    assert events == ["common.job.created.v1", *["common.thing.made.v1"] * 25, "common.job.ended.v1"]


async def test_a_file_of_several_chunks_is_read_as_it_was_sent(client: Client, run: Callable[..., JobRunner]) -> None:
    name = "x" * 700_000
    job_id = await client.make(f"{name}\nlast\n".encode())
    assert await client.rows("data_job_chunks") == 2
    run()
    assert (await ended(client, job_id))["done"] == 2
    assert await client.stored() == [name, "last"]


async def test_a_dry_run_reports_the_same_and_writes_nothing(client: Client, run: Callable[..., JobRunner]) -> None:
    run()
    for query in ("kind=import&dry_run=true", "kind=import"):
        job_id = await client.make(b"one\nbad\n", query)
        job = await ended(client, job_id)
        assert (job["state"], job["done"], job["failed"]) == ("completed", 1, 1)
        assert [one["line"] for one in await client.report(job_id)] == [2]
        if job["dry_run"]:
            assert await client.stored() == []
            kinds = {one.routing_key for one in await client.service.outbox(client.tenant)}
            assert kinds == {"common.job.created.v1", "common.job.ended.v1"}
    assert await client.stored() == ["one"]


async def test_a_result_is_downloaded_when_the_job_is_completed(client: Client, run: Callable[..., JobRunner]) -> None:
    job_id = await client.make(query="kind=export")
    refused = await client.get(f"/{job_id}/result")
    assert (refused.status_code, (await refused.get_json())["code"]) == (409, "no_result")
    run()
    job = await ended(client, job_id)
    answer = await client.get(f"/{job_id}/result")
    data: bytes = await answer.get_data(as_text=False)
    assert data == b"".join(b"%d\n" % number for number in range(100))
    assert int(answer.headers["Content-Length"]) == job["result_bytes"] == len(data)
    assert answer.headers["Content-Type"].startswith("text/plain")


async def test_a_job_that_cannot_be_done_says_why(client: Client, run: Callable[..., JobRunner]) -> None:
    run()
    job = await ended(client, await client.make(b"x", "kind=fail"))
    assert (job["state"], job["error"]) == ("failed", "The file has no header.")
    job = await ended(client, await client.make(b"x", "kind=break"))
    assert (job["state"], job["error"]) == ("failed", job_runner.BROKEN)
    last = (await client.service.outbox(client.tenant))[-1]
    assert (last.routing_key, last.data["state"], last.actorid) == ("common.job.ended.v1", "failed", "migrator")


async def test_a_running_job_is_cancelled_behind_the_set_that_runs(
    client: Client, run: Callable[..., JobRunner], gate: Gate
) -> None:
    gate.open.clear()
    job_id = await client.make(lines(35))
    run()
    await gate.begun.wait()
    cancelling = asyncio.ensure_future(client.post(f"/{job_id}/cancel"))

    async def waits() -> bool:
        async with client.service.container.database.connection() as connection:
            return bool(await connection.fetchval(WAITING))

    await eventually(waits, "the cancellation waits for the set")
    gate.open.set()
    assert (await cancelling).status_code == 200
    job = await ended(client, job_id)
    assert (job["state"], job["done"]) == ("cancelled", SIZE)
    assert len(await client.stored()) == SIZE
    assert (await client.post(f"/{job_id}/cancel")).status_code == 200


async def test_a_waiting_job_is_cancelled_at_once_and_an_ended_one_never(
    client: Client, run: Callable[..., JobRunner]
) -> None:
    job_id = await client.make(lines(5))
    job = await (await client.post(f"/{job_id}/cancel")).get_json()
    assert job["state"] == "cancelled"
    run()
    other = await client.make(b"one\n")
    await ended(client, other)
    refused = await client.post(f"/{other}/cancel")
    assert (refused.status_code, (await refused.get_json())["code"]) == (409, "job_ended")
    assert await client.stored() == ["one"]
    kinds = [one.routing_key for one in await client.service.outbox(client.tenant)]
    assert kinds[:3] == ["common.job.created.v1", "common.job.cancelled.v1", "common.job.ended.v1"]


async def raw_upload(client: Client, head: str, pieces: list[bytes]) -> tuple[int, bytes]:
    """Status and body of the response to a POST that is sent in pieces over a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", client.service.container.config.port)
    try:
        token = client.headers["Authorization"]
        writer.write(f"POST {JOBS}?kind=import HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n{head}\r\n".encode())
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        status = int((await reader.readline()).split()[1])
        return status, await reader.read(2000)
    except ConnectionError:
        return 413, b""  # answered while the body was still sent
    finally:
        writer.close()


async def test_an_upload_beyond_the_limit_is_refused_and_leaves_nothing(client: Client) -> None:
    limit = client.service.container.config.upload_bytes
    status, _ = await raw_upload(client, f"Content-Length: {limit + 1}\r\n", [])
    assert status == 413
    chunk = b"%x\r\n%b\r\n" % (CHUNK, b"x" * CHUNK)
    status, _ = await raw_upload(client, "Transfer-Encoding: chunked\r\n", [chunk] * 5)
    assert status == 413

    async def gone() -> bool:
        return await client.rows("data_jobs") == 0 == await client.rows("data_job_chunks")

    await eventually(gone, "nothing is left of the upload")


async def test_an_upload_that_breaks_off_becomes_no_job(client: Client, run: Callable[..., JobRunner]) -> None:
    run()
    reader, writer = await asyncio.open_connection("127.0.0.1", client.service.container.config.port)
    token = client.headers["Authorization"]
    head = f"POST {JOBS}?kind=import HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nContent-Length: 2000000\r\n\r\n"
    writer.write(head.encode() + b"x\n" * 400_000)

    async def stored() -> bool:
        return await client.rows("data_job_chunks") == 1

    await eventually(stored, "a part of the file is stored")
    writer.close()
    del reader
    [job] = (await (await client.get("")).get_json())["jobs"]
    assert job["state"] == "uploading"
    async with client.service.container.database.connection() as connection:
        await connection.execute(
            "UPDATE data_jobs SET touched_at = now() - make_interval(hours => 2) WHERE tenant_id = $1", client.tenant
        )
    await job_runner.prune(client.service.container)
    assert await client.rows("data_jobs") == 0 == await client.rows("data_job_chunks")


@pytest.mark.parametrize(
    ("query", "part"),
    [
        ("", "kind must be one of import"),
        ("kind=other", "got 'other'"),
        ("kind=import&format=xml", "format must be one of lines"),
        ("kind=import&dry_run=yes", "dry_run must be one of true, false"),
        ("kind=export&dry_run=true", "dry_run is for jobs that change something"),
        ("kind=import&match=id", "match must be one of line, name"),
        ("kind=import&mapping=x", "mapping must be a JSON object"),
        ("kind=export&mapping={}", "mapping is not a parameter of export"),
        ("kind=import&delimiter=;", "delimiter is not a known parameter"),
    ],
)
async def test_a_job_that_is_not_understood_is_refused(client: Client, query: str, part: str) -> None:
    answer = await client.post(f"?{query}", b"x")
    assert answer.status_code == 400
    assert part in (await answer.get_json())["detail"]
    assert await client.rows("data_jobs") == 0


async def test_an_empty_file_is_refused_and_so_are_too_many_jobs(client: Client) -> None:
    answer = await client.post("?kind=import")
    assert (answer.status_code, (await answer.get_json())["code"]) == (400, "bad_body")
    for _ in range(20):
        await client.make(b"x")
    answer = await client.post("?kind=import", b"x")
    assert (answer.status_code, (await answer.get_json())["code"]) == (409, "too_many_jobs")


async def test_jobs_of_a_tenant_run_one_after_another_and_others_do_not_wait_for_them(
    service: RunningService, client: Client, run: Callable[..., JobRunner], gate: Gate
) -> None:
    gate.open.clear()
    first, second = await client.make(b"one\n"), await client.make(b"bad\n")
    run()
    run()
    await gate.begun.wait()
    stranger = Client(service, new_tenant())
    exported = await ended(stranger, await stranger.make(query="kind=export"))
    assert exported["state"] == "completed"
    assert [(await client.job(one))["state"] for one in (first, second)] == ["running", "waiting"]
    gate.open.set()
    assert [(await ended(client, one))["state"] for one in (first, second)] == ["completed", "completed"]


async def test_many_workers_do_each_job_once(client: Client, run: Callable[..., JobRunner]) -> None:
    for _ in range(4):
        run()
    clients = [Client(client.service, new_tenant()) for _ in range(5)]
    jobs = [(one, await one.make(lines(45))) for one in clients]
    for one, job_id in jobs:
        job = await ended(one, job_id)
        assert (job["state"], job["done"]) == ("completed", 45)
        assert len(await one.stored()) == 45


async def claim(service: RunningService, worker: UUID, lease: float) -> Job:
    async with service.container.database.statement() as connection:
        job = await job_store.claim_job(connection, worker, ["import"], lease)
    assert job is not None
    return job


async def test_another_worker_continues_behind_the_last_set_of_one_that_has_ended(
    service: RunningService, client: Client, run: Callable[..., JobRunner]
) -> None:
    job_id = await client.make(lines(35))
    worker = uuid4()
    dead = RunningJob(service.container, await claim(service, worker, 0.1), worker, 0.1)

    async def store(work: UnitOfWork, outcome: SetOutcome) -> None:
        for line in range(1, SIZE + 1):
            await work.connection.execute("INSERT INTO job_things VALUES ($1, $2, 'before')", work.tenant, line)
        outcome.done = SIZE
        outcome.note(1, "left out")

    await dead.run_set(SIZE, store)
    run()
    job = await ended(client, job_id)
    assert (job["state"], job["done"]) == ("completed", 35)
    assert await client.stored() == ["before"] * SIZE + [f"name {number}" for number in range(SIZE + 1, 36)]
    assert [one["level"] for one in await client.report(job_id)] == ["note"]
    with pytest.raises(JobTakenError):
        await dead.run_set(SIZE, store)


async def test_a_worker_that_stops_gives_its_job_to_another_one_at_once(
    service: RunningService, client: Client, run: Callable[..., JobRunner], gate: Gate
) -> None:
    gate.open.clear()
    job_id = await client.make(lines(15))
    stopping = asyncio.ensure_future(JobRunner(service.container, kinds_of(gate), lease=600).run())
    await gate.begun.wait()
    await end_tasks([stopping])
    assert (await client.job(job_id))["state"] == "running"
    gate.open.set()
    run()
    assert (await ended(client, job_id))["done"] == 15
    assert len(await client.stored()) == 15


async def test_no_other_worker_takes_a_job_whose_set_takes_longer_than_the_lease(
    client: Client, run: Callable[..., JobRunner], gate: Gate
) -> None:
    gate.open.clear()
    job_id = await client.make(lines(5))
    run(0.2)
    await gate.begun.wait()
    run(0.2)

    async def is_over() -> bool:
        return bool(await client.leases("leased_until < now() - interval '0.3 s'"))

    await eventually(is_over, "the lease is over while the set holds the row")
    gate.open.set()
    assert (await ended(client, job_id))["done"] == 5
    assert len(await client.stored()) == 5


async def test_a_lease_is_renewed_between_sets(client: Client, run: Callable[..., JobRunner], gate: Gate) -> None:
    gate.open.clear()
    job_id = await client.make(b"x", "kind=slow")
    run(0.4)
    seen: set[Any] = set()

    async def renewed() -> bool:
        seen.update(await client.leases("leased_until"))
        assert await client.leases("leased_until > now()") == [True]
        return len(seen) > 3

    await gate.begun.wait()
    await eventually(renewed, "the lease is renewed several times")
    gate.open.set()
    assert (await ended(client, job_id))["done"] == 1


async def test_a_job_is_no_one_elses(service: RunningService, client: Client, run: Callable[..., JobRunner]) -> None:
    run()
    job_id = await client.make(query="kind=export")
    await ended(client, job_id)
    stranger = Client(service, new_tenant())
    for answer in (
        await stranger.get(f"/{job_id}"),
        await stranger.get(f"/{job_id}/report"),
        await stranger.get(f"/{job_id}/result"),
        await stranger.post(f"/{job_id}/cancel"),
    ):
        assert answer.status_code == 404
    assert (await (await stranger.get("")).get_json())["jobs"] == []


async def test_jobs_are_listed_newest_first_in_pages(client: Client) -> None:
    made = [await client.make(b"x") for _ in range(3)]
    page = await (await client.get("?count=2")).get_json()
    assert [one["id"] for one in page["jobs"]] == made[:0:-1]
    rest = await (await client.get(f"?count=2&cursor={page['next']}")).get_json()
    assert ([one["id"] for one in rest["jobs"]], rest["next"]) == (made[:1], None)


async def test_files_go_with_the_end_and_jobs_some_days_after_it(client: Client, run: Callable[..., JobRunner]) -> None:
    run()
    job_id = await client.make(b"one\nbad\n")
    await ended(client, job_id)
    export = await client.make(query="kind=export")
    await ended(client, export)
    await job_runner.prune(client.service.container)
    assert await client.rows("data_job_chunks") == 4  # those of the result
    assert len(await client.report(job_id)) == 1
    async with client.service.container.database.connection() as connection:
        await connection.execute(
            "UPDATE data_jobs SET ended_at = $2 WHERE id = $1", UUID(job_id), utc_now() - timedelta(days=8)
        )
    await job_runner.prune(client.service.container)
    assert (await client.get(f"/{job_id}")).status_code == 404
    assert await client.rows("data_job_findings") == 0
    assert (await client.get(f"/{export}")).status_code == 200


async def test_a_report_has_a_limit_and_says_so(
    client: Client, run: Callable[..., JobRunner], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running_job, "MAX_FINDINGS", 15)
    run()
    job_id = await client.make(b"bad\n" * 40)
    assert (await ended(client, job_id))["failed"] == 40
    report = await client.report(job_id)
    assert len(report) == 15
    assert report[-1]["line"] is None
    assert "full" in report[-1]["reason"]


async def test_an_upload_that_is_cancelled_meanwhile_becomes_no_job(
    client: Client, run: Callable[..., JobRunner]
) -> None:
    run()
    reader, writer = await asyncio.open_connection("127.0.0.1", client.service.container.config.port)
    token = client.headers["Authorization"]
    head = f"POST {JOBS}?kind=import HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nContent-Length: 4\r\n\r\n"
    writer.write(head.encode() + b"one\n"[:2])

    async def uploading() -> str | None:
        found = (await (await client.get("")).get_json())["jobs"]
        return found[0]["id"] if found else None

    job_id = await eventually(uploading, "the upload begins")
    assert (await client.post(f"/{job_id}/cancel")).status_code == 200
    writer.write(b"e\n")
    assert int((await reader.readline()).split()[1]) == 409
    writer.close()
    assert (await client.job(job_id))["state"] == "cancelled"
    assert await client.stored() == []


async def test_a_job_of_a_deleted_tenant_is_not_made(client: Client) -> None:
    async with client.service.container.database.connection() as connection:
        await connection.execute(
            "INSERT INTO deleted_tenants (tenant_id, deleted_at, due_at) VALUES ($1, now(), NULL)", client.tenant
        )
    assert (await client.post("?kind=import", b"x")).status_code == 404


def test_a_value_of_a_report_is_cut() -> None:
    outcome = SetOutcome(1)
    outcome.fail(3, "too long", "x" * 1000)
    assert outcome.findings == [Finding(3, "too long", "x" * 200)]
