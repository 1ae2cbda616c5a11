"""A running job: its file, its sets of records, and what it reports; for the functions that do jobs."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, TypeVar
from uuid import UUID

from quartet_common.data.connections import Connection
from quartet_common.jobs import job_store
from quartet_common.jobs.job_domain import MAX_FINDINGS, MAX_VALUE, Finding, Job, JobError
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.unit_of_work import UnitOfWork

T = TypeVar("T")

LEASE = 5.0
"""Seconds after which another worker takes over the job of one that has ended."""


class JobCancelledError(Exception):
    """A client has cancelled the job."""


class JobTakenError(Exception):
    """Another worker has taken over the job, or it is removed with its tenant."""


class JobStoppedError(Exception):
    """This worker stops: another one continues."""


@dataclass
class SetOutcome:
    """What one set of records adds to a job. `handled` records are added to its position."""

    handled: int
    done: int = 0
    failed: int = 0
    skipped: int = 0
    findings: list[Finding] = field(default_factory=list)
    result: bytes = b""
    saved: Mapping[str, Any] | None = None

    def fail(self, line: int, reason: str, value: str = "") -> None:
        """Count a record that is not imported, and say why."""
        self.failed += 1
        self.findings.append(Finding(line, reason, value[:MAX_VALUE]))

    def note(self, line: int, reason: str, value: str = "") -> None:
        """Say what is left out of a record that is imported."""
        self.findings.append(Finding(line, reason, value[:MAX_VALUE], is_error=False))


Command = Callable[[UnitOfWork, SetOutcome], Awaitable[None]]


class RunningJob:
    """A job that this worker runs; `state` is the stored job after the last set."""

    def __init__(self, container: AppContainer[Any], job: Job, worker: UUID, lease: float = LEASE) -> None:
        self.container = container
        self.state = job
        self._worker = worker
        self._lease = lease
        self._loop = asyncio.get_running_loop()
        self._file: JobFile | None = None

    @property
    def tenant(self) -> str:
        """The tenant of the job."""
        return self.state.tenant

    @property
    def options(self) -> Mapping[str, Any]:
        """The options of the job, by name."""
        return self.state.options

    def open_file(self) -> "JobFile":
        """The uploaded file from its start, to be read in a thread."""
        self._file = JobFile(self.container, self.state, self._loop)
        return self._file

    async def sets(self, items: Iterator[T], size: int) -> AsyncIterator[list[T]]:
        """The `items` in sets, which a thread makes; the iterator may read `open_file`, and raise JobError.

        Raises JobStoppedError if the worker stops.
        """
        while some := await asyncio.to_thread(lambda: list(islice(items, size))):
            self.require_running()
            yield some

    def require_running(self) -> None:
        """Raises JobStoppedError if the worker stops."""
        if self.container.stopping.is_set():
            raise JobStoppedError

    async def run_set(self, handled: int, command: Command) -> SetOutcome:
        """Run `command` for `handled` records (it may set another number) in one transaction with the counts of the
        job; it is repeated if PostgreSQL rolls it back in favour of another transaction.

        In a dry run the changes and events of `command` are rolled back, and what it reports is kept. Raises
        JobCancelledError, JobTakenError, and what `command` raises: then nothing of the set is stored.
        """

        async def attempt(connection: Connection) -> tuple[SetOutcome, Job]:
            outcome = SetOutcome(handled)
            await self._hold(connection)
            await self._carry_out(connection, command, outcome)
            job = self._after(outcome)
            await self._store(connection, outcome, job)
            return outcome, job

        outcome, self.state = await self.container.database.run(attempt)
        return outcome

    async def _hold(self, connection: Connection) -> None:
        is_cancelled = await job_store.hold_job(connection, self.tenant, self.state.id, self._worker)
        if is_cancelled is None:
            raise JobTakenError
        if is_cancelled:
            raise JobCancelledError

    async def _carry_out(self, connection: Connection, command: Command, outcome: SetOutcome) -> None:
        work = UnitOfWork(connection, self.state.caller, self.container)
        if not self.state.is_dry_run:
            await command(work, outcome)
            await work.store()
            return
        attempt = connection.transaction()  # a savepoint
        await attempt.start()
        try:
            await command(work, outcome)
        finally:
            await attempt.rollback()

    def _after(self, outcome: SetOutcome) -> Job:
        """The job after a set."""
        job = self.state
        if job.findings + len(outcome.findings) > MAX_FINDINGS:
            del outcome.findings[max(0, MAX_FINDINGS - job.findings) :]
            if job.findings < MAX_FINDINGS:
                text = f"The report is full ({MAX_FINDINGS} lines). Correct these, then send the file again."
                outcome.findings[-1:] = [Finding(0, text, "")]
        position = job.position + outcome.handled
        return replace(
            job,
            position=position,
            done=job.done + outcome.done,
            failed=job.failed + outcome.failed,
            skipped=job.skipped + outcome.skipped,
            findings=job.findings + len(outcome.findings),
            part=position if self._file is None else self._file.offset,
            results=job.results + bool(outcome.result),
            result_bytes=job.result_bytes + len(outcome.result),
            saved=job.saved if outcome.saved is None else outcome.saved,
        )

    async def _store(self, connection: Connection, outcome: SetOutcome, job: Job) -> None:
        before = self.state
        if outcome.findings:
            await job_store.add_findings(connection, job.tenant, job.id, before.findings, outcome.findings)
        if outcome.result:
            await job_store.add_chunk(connection, job.tenant, job.id, before.results, outcome.result, is_result=True)
        await job_store.save_job(connection, job, self._lease)

    def expect(self, records: int) -> None:
        """The number of records that the job has, for the estimate of the remaining time."""
        self.state = replace(self.state, whole=records)


class JobFile:
    """An uploaded file: `read` is called in a thread, while the event loop fetches its chunks."""

    def __init__(self, container: AppContainer[Any], job: Job, loop: asyncio.AbstractEventLoop) -> None:
        self.offset = 0
        """Bytes that were read."""
        self._container = container
        self._job = job
        self._loop = loop
        self._number = 0
        self._rest = memoryview(b"")

    def read(self, size: int = -1) -> bytes:
        """The next bytes, at most `size`; all that is left for a negative one. Empty at the end."""
        if size < 0:
            return b"".join(iter(lambda: self.read(1 << 20), b""))
        if not self._rest:
            self._rest = memoryview(self._fetch())
        data = bytes(self._rest[:size])
        self._rest = self._rest[size:]
        self.offset += len(data)
        return data

    def _fetch(self) -> bytes:
        if self.offset >= self._job.upload_bytes:
            return b""
        data = asyncio.run_coroutine_threadsafe(self._read_chunk(), self._loop).result()
        if data is None:
            raise JobError("The uploaded file is not complete any more. Send it again in another job.")
        self._number += 1
        return data

    async def _read_chunk(self) -> bytes | None:
        async with self._container.database.connection() as connection:
            return await job_store.read_chunk(connection, self._job.tenant, self._job.id, self._number, is_result=False)
