"""Use cases of jobs for clients: make, read and cancel; the worker runs them (`job_runner`)."""

from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import asyncpg

from quartet_common.core.caller import Caller
from quartet_common.core.errors import BadRequestError
from quartet_common.core.identifiers import new_id
from quartet_common.jobs import job_events, job_store
from quartet_common.jobs.job_domain import MAX_OPEN, Finding, Job, JobEndedError, NoJobError, TooManyJobsError
from quartet_common.jobs.job_kinds import NewJob
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.unit_of_work import UnitOfWork, unit_of_work

CHUNK = 512 * 1024
"""Bytes of a piece of a file, which is a row."""
FINDINGS = 1000
"""Lines of a report that are read at a time."""

Container = AppContainer[Any]


async def make_job(container: Container, caller: Caller, new: NewJob) -> Job:
    """Make a job that needs no file. Raises TooManyJobsError (409)."""
    job = _job(container, caller, new)
    async with unit_of_work(container, caller) as work:
        await _insert(work, job)
        work.publish([job_events.created(container.config.service, job)])
    return job


async def upload_job(container: Container, caller: Caller, new: NewJob, pieces: AsyncIterable[bytes]) -> Job:
    """Make a job with the file that `pieces` are, which is stored while it arrives.

    Raises TooManyJobsError (409), BadRequestError (400) for an empty file, JobEndedError (409) if it was cancelled
    meanwhile, and what `pieces` raise: then there is no job. What a process leaves that ends is removed later.
    """
    job = replace(_job(container, caller, new), state="uploading")
    async with unit_of_work(container, caller) as work:
        await _insert(work, job)
    try:
        size = await _store_file(container, job, pieces)
        if not size:
            raise BadRequestError("The body is empty. Send the file as the body of the request.", "bad_body")
    except Exception:
        await _discard(container, job)
        raise
    job = replace(job, state="waiting", upload_bytes=size, whole=size)
    async with unit_of_work(container, caller) as work:
        if not await job_store.end_upload(work.connection, job.tenant, job.id, size):
            raise JobEndedError("cancelled")
        work.publish([job_events.created(container.config.service, job)])
    return job


async def cancel_job(container: Container, caller: Caller, job_id: UUID) -> Job:
    """Cancel a job: one that runs ends after its present set. A second time changes nothing.

    Raises NoJobError (404), JobEndedError (409).
    """
    async with unit_of_work(container, caller) as work:
        job = await job_store.lock_job(work.connection, caller.tenant, job_id)
        if job is None:
            raise NoJobError
        if job.is_cancelled:
            return job
        if job.has_ended:
            raise JobEndedError(job.state)
        service = container.config.service
        await job_store.request_cancel(work.connection, caller.tenant, job_id)
        work.publish([job_events.cancelled(service, job)])
        if job.state == "running":
            return replace(job, is_cancelled=True)
        ended = await job_store.end_job(work.connection, caller.tenant, job_id, "cancelled", None)
        if ended is None:
            raise NoJobError
        work.publish([job_events.ended(service, ended)])
        return ended


async def read_job(container: Container, tenant: str, job_id: UUID) -> Job:
    """One job. Raises NoJobError (404)."""
    async with container.database.connection() as connection:
        found = await job_store.read_job(connection, tenant, job_id)
    if found is None:
        raise NoJobError
    return found


async def findings(container: Container, job: Job) -> AsyncIterator[Finding]:
    """The report of a job, up to now."""
    first = 0
    while True:
        async with container.database.connection() as connection:
            rows = await job_store.read_findings(connection, job.tenant, job.id, first, FINDINGS)
        for row in rows:
            yield Finding(**row)
        if len(rows) < FINDINGS:
            return
        first += len(rows)


async def result(container: Container, job: Job) -> AsyncIterator[bytes]:
    """The file that a job has made. Raises NoJobError if it is removed meanwhile."""
    for number in range(job.results):
        async with container.database.connection() as connection:
            data = await job_store.read_chunk(connection, job.tenant, job.id, number, is_result=True)
        if data is None:
            raise NoJobError
        yield data


def _job(container: Container, caller: Caller, new: NewJob) -> Job:
    return Job(
        tenant=caller.tenant,
        id=new_id(),
        kind=new.kind.name,
        format=new.format,
        options=new.options,
        is_dry_run=new.is_dry_run,
        caller=caller,
        state="waiting",
        created_at=container.clock(),
    )


async def _insert(work: UnitOfWork, job: Job) -> None:
    if await job_store.count_open(work.connection, job.tenant) >= MAX_OPEN:
        raise TooManyJobsError
    if not await job_store.insert_job(work.connection, job):
        raise NoJobError


async def _discard(container: Container, job: Job) -> None:
    """Delete a job whose upload has failed."""
    deleted = 1
    while deleted:
        async with container.database.transaction() as connection:
            deleted = await job_store.delete_chunks(connection, job.tenant, job.id)
            if not deleted:
                await job_store.delete_job(connection, job.tenant, job.id)


async def _store_file(container: Container, job: Job, pieces: AsyncIterable[bytes]) -> int:
    """Store a file in chunks; returns its size in bytes."""
    size = number = 0
    buffer = bytearray()
    async for piece in pieces:
        buffer += piece
        while len(buffer) >= CHUNK:
            await _add_chunk(container, job, number, bytes(buffer[:CHUNK]))
            del buffer[:CHUNK]
            size, number = size + CHUNK, number + 1
    if buffer:
        await _add_chunk(container, job, number, bytes(buffer))
    return size + len(buffer)


async def _add_chunk(container: Container, job: Job, number: int, data: bytes) -> None:
    try:
        async with container.database.statement() as connection:
            await job_store.add_chunk(connection, job.tenant, job.id, number, data, is_result=False)
    except asyncpg.ForeignKeyViolationError:
        raise NoJobError from None  # cancelled jobs stay; the tenant is deleted
