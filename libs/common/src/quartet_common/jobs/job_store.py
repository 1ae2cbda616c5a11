"""SQL of jobs, their files and reports: connection first, then the tenant; never commits."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from quartet_common.core.caller import Caller
from quartet_common.data.connections import Connection
from quartet_common.jobs.job_domain import OPEN, Finding, Job, State

COLUMNS = """
tenant_id, id, kind, format, options, is_dry_run, caller, state, created_at, is_cancelled, error, upload_bytes,
result_bytes, results, position, done, failed, skipped, findings, part, whole, saved, started_at, ended_at"""
OWN = "tenant_id = $1 AND id = $2"
CLAIM = f"""
UPDATE data_jobs SET state = 'running', worker = $1, leased_until = now() + make_interval(secs => $2),
    started_at = coalesce(started_at, now())
WHERE (tenant_id, id) = (
    SELECT tenant_id, id FROM data_jobs AS job
    WHERE state IN ('uploading', 'waiting', 'running') AND kind = ANY ($3::text[])
    AND (state = 'running' AND leased_until < now() OR state = 'waiting' AND NOT EXISTS (
        SELECT FROM data_jobs AS other WHERE other.tenant_id = job.tenant_id AND other.state = 'running'))
    ORDER BY (
        SELECT max(before.started_at) FROM data_jobs AS before WHERE before.tenant_id = job.tenant_id
    ) NULLS FIRST, created_at
    LIMIT 1 FOR UPDATE SKIP LOCKED
) RETURNING {COLUMNS}"""
EXPIRED = """
(job.ended_at < now() - make_interval(days => $1)
OR job.state = 'uploading' AND job.touched_at < now() - make_interval(secs => $2))"""
PRUNE_CHUNKS = f"""
DELETE FROM data_job_chunks WHERE (tenant_id, job_id, is_result, number) IN (
    SELECT chunk.tenant_id, chunk.job_id, chunk.is_result, chunk.number
    FROM data_job_chunks AS chunk JOIN data_jobs AS job ON job.tenant_id = chunk.tenant_id AND job.id = chunk.job_id
    WHERE job.ended_at IS NOT NULL AND NOT chunk.is_result OR {EXPIRED} LIMIT 50)"""
PRUNE_FINDINGS = f"""
DELETE FROM data_job_findings WHERE (tenant_id, job_id, number) IN (
    SELECT finding.tenant_id, finding.job_id, finding.number
    FROM data_job_findings AS finding JOIN data_jobs AS job
        ON job.tenant_id = finding.tenant_id AND job.id = finding.job_id
    WHERE {EXPIRED} LIMIT 5000)"""
PRUNE_JOBS = f"""
DELETE FROM data_jobs AS job WHERE {EXPIRED}
AND NOT EXISTS (SELECT FROM data_job_chunks AS chunk WHERE chunk.tenant_id = job.tenant_id AND chunk.job_id = job.id)
AND NOT EXISTS (
    SELECT FROM data_job_findings AS finding WHERE finding.tenant_id = job.tenant_id AND finding.job_id = job.id)"""


async def insert_job(connection: Connection, job: Job) -> bool:
    """Store a new job; False if the tenant does not exist any more."""
    done: str = await connection.execute(
        """
        INSERT INTO data_jobs (
            tenant_id, id, kind, format, options, is_dry_run, caller, state, created_at, touched_at)
        SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, now()
        WHERE NOT EXISTS (SELECT FROM deleted_tenants WHERE tenant_id = $1)
        """,
        job.tenant,
        job.id,
        job.kind,
        job.format,
        orjson.dumps(job.options).decode(),
        job.is_dry_run,
        orjson.dumps(_caller_facts(job.caller)).decode(),
        job.state,
        job.created_at,
    )
    return done.endswith(" 1")


async def count_open(connection: Connection, tenant: str) -> int:
    """The tenant's jobs that are not ended."""
    found: int = await connection.fetchval(
        "SELECT count(*) FROM data_jobs WHERE tenant_id = $1 AND state = ANY ($2::text[])", tenant, OPEN
    )
    return found


async def read_job(connection: Connection, tenant: str, job_id: UUID) -> Job | None:
    """One job."""
    row = await connection.fetchrow(f"SELECT {COLUMNS} FROM data_jobs WHERE {OWN}", tenant, job_id)
    return None if row is None else _job(row)


async def lock_job(connection: Connection, tenant: str, job_id: UUID) -> Job | None:
    """One job, locked until the transaction ends."""
    row = await connection.fetchrow(f"SELECT {COLUMNS} FROM data_jobs WHERE {OWN} FOR UPDATE", tenant, job_id)
    return None if row is None else _job(row)


async def list_jobs(connection: Connection, tenant: str, before: UUID, limit: int) -> list[Job]:
    """At most `limit` jobs with ids before `before`, newest first."""
    rows = await connection.fetch(
        f"SELECT {COLUMNS} FROM data_jobs WHERE tenant_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3",
        tenant,
        before,
        limit,
    )
    return [_job(row) for row in rows]


async def delete_chunks(connection: Connection, tenant: str, job_id: UUID) -> int:
    """Delete some chunks of a job, which may be large; returns how many."""
    done: str = await connection.execute(
        """
        DELETE FROM data_job_chunks WHERE tenant_id = $1 AND job_id = $2 AND (is_result, number) IN (
            SELECT is_result, number FROM data_job_chunks WHERE tenant_id = $1 AND job_id = $2 LIMIT 50)
        """,
        tenant,
        job_id,
    )
    return int(done.rpartition(" ")[2])


async def delete_job(connection: Connection, tenant: str, job_id: UUID) -> None:
    """Delete a job with its files and its report."""
    await connection.execute(f"DELETE FROM data_jobs WHERE {OWN}", tenant, job_id)


async def end_upload(connection: Connection, tenant: str, job_id: UUID, size: int) -> bool:
    """The file of a job is complete: it waits for a worker. False if the job was cancelled meanwhile, or is gone."""
    done: str = await connection.execute(
        f"""
        UPDATE data_jobs SET state = 'waiting', upload_bytes = $3, whole = $3 WHERE {OWN} AND state = 'uploading'
        """,
        tenant,
        job_id,
        size,
    )
    return done.endswith(" 1")


async def request_cancel(connection: Connection, tenant: str, job_id: UUID) -> None:
    """Ask the worker to end a job."""
    await connection.execute(f"UPDATE data_jobs SET is_cancelled = true WHERE {OWN}", tenant, job_id)


async def claim_job(connection: Connection, worker: UUID, kinds: Sequence[str], lease: float) -> Job | None:
    """A job that waits, or whose worker has ended, for a worker, which holds it for `lease` seconds; None for none.

    The tenant whose last job began first comes first. Raises asyncpg's UniqueViolationError if another worker has begun
    a job of the same tenant.
    """
    row = await connection.fetchrow(CLAIM, worker, lease, list(kinds))
    return None if row is None else _job(row)


async def renew_lease(connection: Connection, tenant: str, job_id: UUID, worker: UUID, lease: float) -> None:
    """Hold a job for `lease` seconds from now on, if it is the worker's; 0 gives it to others."""
    await connection.execute(
        f"UPDATE data_jobs SET leased_until = now() + make_interval(secs => $4) WHERE {OWN} AND worker = $3",
        tenant,
        job_id,
        worker,
        lease,
    )


async def hold_job(connection: Connection, tenant: str, job_id: UUID, worker: UUID) -> bool | None:
    """Lock a running job for a set of its worker; whether it is cancelled. None if it is not the worker's any more."""
    found: bool | None = await connection.fetchval(
        f"SELECT is_cancelled FROM data_jobs WHERE {OWN} AND worker = $3 AND state = 'running' FOR UPDATE",
        tenant,
        job_id,
        worker,
    )
    return found


async def save_job(connection: Connection, job: Job, lease: float) -> None:
    """Store the counts of a running job, which is locked."""
    await connection.execute(
        f"""
        UPDATE data_jobs SET position = $3, done = $4, failed = $5, skipped = $6, findings = $7, part = $8, whole = $9,
            saved = $10, results = $11, result_bytes = $12, leased_until = now() + make_interval(secs => $13)
        WHERE {OWN}
        """,
        job.tenant,
        job.id,
        job.position,
        job.done,
        job.failed,
        job.skipped,
        job.findings,
        job.part,
        job.whole,
        orjson.dumps(job.saved).decode(),
        job.results,
        job.result_bytes,
        lease,
    )


async def end_job(connection: Connection, tenant: str, job_id: UUID, state: State, error: str | None) -> Job | None:
    """End a job and return it; None if there is none."""
    row = await connection.fetchrow(
        f"""
        UPDATE data_jobs SET state = $3, error = $4, ended_at = now(), worker = NULL, leased_until = NULL
        WHERE {OWN} RETURNING {COLUMNS}
        """,
        tenant,
        job_id,
        state,
        error,
    )
    return None if row is None else _job(row)


async def add_chunk(
    connection: Connection, tenant: str, job_id: UUID, number: int, data: bytes, *, is_result: bool
) -> None:
    """Store a piece of a file. Raises asyncpg's ForeignKeyViolationError if the job is gone."""
    await connection.execute(
        """
        WITH touched AS (UPDATE data_jobs SET touched_at = now() WHERE tenant_id = $1 AND id = $2 AND NOT $3)
        INSERT INTO data_job_chunks (tenant_id, job_id, is_result, number, data) VALUES ($1, $2, $3, $4, $5)
        """,
        tenant,
        job_id,
        is_result,
        number,
        data,
    )


async def read_chunk(
    connection: Connection, tenant: str, job_id: UUID, number: int, *, is_result: bool
) -> bytes | None:
    """A piece of a file; None behind the last one."""
    found: bytes | None = await connection.fetchval(
        """
        SELECT data FROM data_job_chunks WHERE tenant_id = $1 AND job_id = $2 AND is_result = $3 AND number = $4
        """,
        tenant,
        job_id,
        is_result,
        number,
    )
    return found


async def add_findings(
    connection: Connection, tenant: str, job_id: UUID, first: int, findings: Sequence[Finding]
) -> None:
    """Add lines to a report; `first` is the number of the first one."""
    await connection.execute(
        """
        INSERT INTO data_job_findings (tenant_id, job_id, number, line, is_error, reason, value)
        SELECT $1, $2, $3 + new.number - 1, new.line, new.is_error, new.reason, new.value
        FROM unnest($4::bigint[], $5::boolean[], $6::text[], $7::text[])
            WITH ORDINALITY AS new (line, is_error, reason, value, number)
        """,
        tenant,
        job_id,
        first,
        [one.line for one in findings],
        [one.is_error for one in findings],
        [one.reason for one in findings],
        [one.value for one in findings],
    )


async def read_findings(
    connection: Connection, tenant: str, job_id: UUID, first: int, limit: int
) -> list[asyncpg.Record]:
    """At most `limit` lines of a report from the number `first` on, in order."""
    return await connection.fetch(
        """
        SELECT line, is_error, reason, value FROM data_job_findings
        WHERE tenant_id = $1 AND job_id = $2 AND number >= $3 ORDER BY number LIMIT $4
        """,
        tenant,
        job_id,
        first,
        limit,
    )


async def prune(connection: Connection, days: int, upload_seconds: float) -> int:
    """Delete some chunks of uploads whose jobs have ended, and of jobs that ended `days` ago or whose upload stopped;
    then findings and rows of these jobs. Returns how many chunks and findings. Of all tenants.
    """
    left = 0
    for statement in (PRUNE_CHUNKS, PRUNE_FINDINGS, PRUNE_JOBS):
        done: str = await connection.execute(statement, days, upload_seconds)
        left += int(done.rpartition(" ")[2])
    return left


def _caller_facts(caller: Caller) -> dict[str, Any]:
    return {
        "actor": caller.actor,
        "source_address": caller.source_address,
        "scopes": sorted(caller.scopes),
        "actor_name": caller.actor_name,
        "actor_type": caller.actor_type,
        "user_agent": caller.user_agent,
    }


def _job(row: asyncpg.Record) -> Job:
    values: dict[str, Any] = dict(row)
    tenant = values.pop("tenant_id")
    facts: Mapping[str, Any] = orjson.loads(values.pop("caller"))
    caller = Caller(tenant, **{**facts, "scopes": frozenset(facts["scopes"])})
    documents = {name: orjson.loads(values.pop(name)) for name in ("options", "saved")}
    return Job(tenant=tenant, caller=caller, **documents, **values)
