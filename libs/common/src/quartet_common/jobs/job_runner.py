"""Runs jobs in the worker: a few at a time, of different tenants; another worker continues those of one that ends."""

import asyncio
import logging
from contextlib import suppress
from typing import Any
from uuid import uuid4

import asyncpg

from quartet_common.core.errors import ServiceError, UnavailableError
from quartet_common.core.schedule import Schedule
from quartet_common.jobs import job_events, job_store
from quartet_common.jobs.job_domain import Job, JobError, State
from quartet_common.jobs.job_kinds import JobKinds
from quartet_common.jobs.running_job import LEASE, JobCancelledError, JobStoppedError, JobTakenError, RunningJob
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.unit_of_work import unit_of_work
from quartet_serving.tasks import end_tasks

logger = logging.getLogger(__name__)

AT_ONCE = 2
"""Jobs that a worker runs at a time, so that a small one does not wait for a large one of another tenant."""
INTERVAL = 0.5
"""Seconds between two looks for jobs."""
PRUNE_INTERVAL = 60.0
UPLOAD_PATIENCE = 3600.0
"""Seconds without a further chunk after which an upload is removed."""
BROKEN = "The service cannot do this job because of an error of its own, which is in the log of its worker."


def schedules(container: AppContainer[Any], kinds: JobKinds) -> list[Schedule]:
    """The schedules of a worker that runs jobs."""
    return [
        Schedule("jobs", INTERVAL, JobRunner(container, kinds).run),
        Schedule("jobs-prune", PRUNE_INTERVAL, lambda: prune(container)),
    ]


async def prune(container: AppContainer[Any]) -> None:
    """Remove jobs and files that are old enough."""
    pruned = 1
    while pruned:
        async with container.database.transaction() as connection:
            pruned = await job_store.prune(connection, container.config.job_days, UPLOAD_PATIENCE)


class JobRunner:
    """Runs the jobs of one worker."""

    def __init__(self, container: AppContainer[Any], kinds: JobKinds, *, lease: float = LEASE) -> None:
        self._container = container
        self._kinds = kinds.by_name
        self._lease = lease
        self._id = uuid4()
        self._running: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Run jobs until there is none; when cancelled, give the running ones to other workers."""
        try:
            while True:
                await self._start_jobs()
                if not self._running:
                    return
                _, self._running = await asyncio.wait(
                    self._running, timeout=INTERVAL, return_when=asyncio.FIRST_COMPLETED
                )
        finally:
            await end_tasks(self._running)

    async def _start_jobs(self) -> None:
        while len(self._running) < AT_ONCE and not self._container.stopping.is_set():
            job = await self._claim()
            if job is None:
                return
            self._running.add(asyncio.ensure_future(self._run(job)))

    async def _claim(self) -> Job | None:
        try:
            async with self._container.database.statement() as connection:
                return await job_store.claim_job(connection, self._id, list(self._kinds), self._lease)
        except asyncpg.UniqueViolationError:
            return None  # another worker has begun a job of the tenant
        except UnavailableError as error:
            if not self._running:
                raise
            logger.warning("jobs cannot be read", extra={"error": str(error)})
            return None

    async def _run(self, job: Job) -> None:
        """Run a job to its end, or until this worker cannot continue it."""
        logger.info("a job runs", extra=_named(job, position=job.position))
        renewing = asyncio.ensure_future(self._renew(job))
        try:
            await self._kinds[job.kind].run(RunningJob(self._container, job, self._id, self._lease))
        except JobCancelledError:
            await self._end(job, "cancelled")
        except JobError as error:
            await self._end(job, "failed", str(error))
        except JobStoppedError:
            await self._release(job)
        except asyncio.CancelledError:
            await self._release(job)
            raise
        except JobTakenError:
            logger.warning("another worker has taken over a job", extra=_named(job))
        except ServiceError as error:  # such as PostgreSQL, which is unavailable: continued when the lease is over
            logger.warning("a job cannot continue", extra=_named(job, error=str(error)))
        except Exception:
            logger.exception("a job has failed", extra=_named(job))
            await self._end(job, "failed", BROKEN)
        else:
            await self._end(job, "completed")
        finally:
            await end_tasks([renewing])

    async def _renew(self, job: Job) -> None:
        while True:
            await asyncio.sleep(self._lease / 4)
            with suppress(ServiceError):
                async with self._container.database.statement() as connection:
                    await job_store.renew_lease(connection, job.tenant, job.id, self._id, self._lease)

    async def _release(self, job: Job) -> None:
        with suppress(ServiceError):
            async with self._container.database.statement() as connection:
                await job_store.renew_lease(connection, job.tenant, job.id, self._id, 0)

    async def _end(self, job: Job, state: State, error: str | None = None) -> None:
        """End a job that is still this worker's."""
        try:
            async with unit_of_work(self._container, job.caller) as work:
                if await job_store.hold_job(work.connection, job.tenant, job.id, self._id) is None:
                    return
                ended = await job_store.end_job(work.connection, job.tenant, job.id, state, error)
                if ended is not None:
                    work.publish([job_events.ended(self._container.config.service, ended)])
        except ServiceError as failure:  # another worker finds nothing left to do, and ends it
            logger.warning("the end of a job cannot be stored", extra=_named(job, error=str(failure)))
            return
        logger.info("a job has ended", extra=_named(job, state=state))


def _named(job: Job, **more: object) -> dict[str, object]:
    return {"job": str(job.id), "tenant": job.tenant, "kind": job.kind, **more}
