"""Events of jobs, which each service publishes under its own name; their JSON Schemas are in schemas/."""

from typing import Any

from quartet_common.jobs.job_domain import Job
from quartet_common.messaging.outbox import DomainEvent


def created(service: str, job: Job) -> DomainEvent:
    """A client has made a job, whose file is complete."""
    return DomainEvent(f"{service}.job.created.v1", f"jobs/{job.id}", 1, {**_facts(job), "bytes": job.upload_bytes})


def cancelled(service: str, job: Job) -> DomainEvent:
    """A client has cancelled a job: it ends after the set that runs."""
    return DomainEvent(f"{service}.job.cancelled.v1", f"jobs/{job.id}", 2, _facts(job))


def ended(service: str, job: Job) -> DomainEvent:
    """A job has ended."""
    counts = {"state": job.state, "done": job.done, "failed": job.failed, "skipped": job.skipped, "error": job.error}
    return DomainEvent(f"{service}.job.ended.v1", f"jobs/{job.id}", 3, {**_facts(job), **counts})


def _facts(job: Job) -> dict[str, Any]:
    return {"id": str(job.id), "kind": job.kind, "format": job.format, "dryRun": job.is_dry_run}
