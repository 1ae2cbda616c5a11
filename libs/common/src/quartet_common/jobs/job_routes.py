"""Routes of jobs: make one with its file, follow it, read its report, download its result, cancel it."""

from collections.abc import AsyncGenerator
from datetime import datetime
from operator import attrgetter

import orjson
from quart import Blueprint, Response
from quart_schema import document_querystring, document_response, tag_blueprint

from quartet_common.config.settings import ServiceConfig
from quartet_common.core.identifiers import MAX_ID, require_id
from quartet_common.jobs import job_store, job_usecases
from quartet_common.jobs.job_domain import Job, NoResultError
from quartet_common.jobs.job_kinds import JobKinds
from quartet_common.jobs.job_models import JobDocument, JobListDocument, JobPageQuery, NewJobQuery
from quartet_common.jobs.job_parameters import read_new_job
from quartet_common.runtime.container import AppContainer
from quartet_common.web.blueprints.data_export import NDJSON, keep_pace
from quartet_common.web.bodies import takes
from quartet_common.web.dependencies import app_container, dependency
from quartet_common.web.guard import caller, requires
from quartet_common.web.openapi import ProblemDocument, answers
from quartet_common.web.pages import next_cursor, read_page, read_parameters
from quartet_common.web.responses import json_response, streamed_response
from quartet_common.web.service_request import body_pieces

blueprint = Blueprint("jobs", __name__)
tag_blueprint(blueprint, ["Jobs"])


def upload_limit() -> int:
    """QUARTET_UPLOAD_BYTES of the running app."""
    return _container().config.upload_bytes


@blueprint.post("/jobs")
@requires("tenant:admin")
@takes(upload_limit)
@document_querystring(NewJobQuery)
@document_response(JobDocument, 202)
@document_response(ProblemDocument, 400)
@document_response(ProblemDocument, 409)
async def create() -> Response:
    """Make a job; the body is the file of an import, which is stored while it arrives."""
    container, new = _container(), read_new_job(dependency(JobKinds))
    if new.kind.takes_file:
        job = await job_usecases.upload_job(container, caller(), new, body_pieces(upload_limit()))
    else:
        job = await job_usecases.make_job(container, caller(), new)
    config = container.config
    headers = {"Location": f"{config.issuer}/{config.service}/data/jobs/{job.id}"}
    return json_response(_document(job), 202, headers=headers)


@blueprint.get("/jobs")
@requires("tenant:admin")
@document_querystring(JobPageQuery)
@document_response(JobListDocument)
async def list_() -> Response:
    """List the tenant's jobs, newest first, in pages."""
    container, tenant = _container(), caller().tenant
    context = [f"{container.config.service}.jobs", tenant]
    before, count = read_page(read_parameters("cursor", "count"), context, MAX_ID)
    async with container.database.connection() as connection:
        found = await job_store.list_jobs(connection, tenant, before, count + 1)
    onward = next_cursor(found, count, context, attrgetter("id"))
    return json_response(JobListDocument([_document(one) for one in found[:count]], onward))


@blueprint.get("/jobs/<job_id>")
@requires("tenant:admin")
@document_response(JobDocument)
@document_response(ProblemDocument, 404)
async def read(job_id: str) -> Response:
    """Read one of the tenant's jobs: its state, its counts and the remaining time."""
    return json_response(_document(await _job(job_id)))


@blueprint.get("/jobs/<job_id>/report")
@requires("tenant:admin")
@answers(NDJSON)
@document_response(ProblemDocument, 404)
async def report(job_id: str) -> Response:
    """Read what is wrong with lines of the file, as NDJSON: line, level (error or note), reason and value."""
    lines = _report_lines(_container(), await _job(job_id))
    return await streamed_response(keep_pace(lines), NDJSON)


@blueprint.get("/jobs/<job_id>/result")
@requires("tenant:admin")
@answers("application/octet-stream")
@document_response(ProblemDocument, 404)
@document_response(ProblemDocument, 409)
async def result(job_id: str) -> Response:
    """Download the file that a completed job has made."""
    job = await _job(job_id)
    kind = dependency(JobKinds).by_name.get(job.kind)
    if job.state != "completed" or kind is None or kind.takes_file:
        raise NoResultError(job.state)
    name = f"quartet-{_container().config.service}.{job.format}"
    headers = {
        "Content-Disposition": f'attachment; filename="{name}"',
        "Content-Length": str(job.result_bytes),
    }
    pieces = _result_pieces(_container(), job)
    return await streamed_response(keep_pace(pieces), kind.formats[job.format], headers)


@blueprint.post("/jobs/<job_id>/cancel")
@requires("tenant:admin")
@document_response(JobDocument)
@document_response(ProblemDocument, 404)
@document_response(ProblemDocument, 409)
async def cancel(job_id: str) -> Response:
    """Cancel a job: what it has done stays, and it ends after the set of records that runs."""
    return json_response(_document(await job_usecases.cancel_job(_container(), caller(), require_id(job_id))))


async def _report_lines(container: AppContainer[ServiceConfig], job: Job) -> AsyncGenerator[bytes, None]:
    yield b""  # the head of the response is sent also for an empty report
    async for one in job_usecases.findings(container, job):
        level = "error" if one.is_error else "note"
        yield orjson.dumps({"line": one.line or None, "level": level, "reason": one.reason, "value": one.value}) + b"\n"


async def _result_pieces(container: AppContainer[ServiceConfig], job: Job) -> AsyncGenerator[bytes, None]:
    yield b""
    async for piece in job_usecases.result(container, job):
        yield piece


def _container() -> AppContainer[ServiceConfig]:
    return app_container(ServiceConfig)


async def _job(job_id: str) -> Job:
    return await job_usecases.read_job(_container(), caller().tenant, require_id(job_id))


def _document(job: Job) -> JobDocument:
    now = _container().clock()
    rate, remaining = job.rate(now), job.remaining(now)
    return JobDocument(
        id=str(job.id),
        kind=job.kind,
        format=job.format,
        options=dict(job.options),
        dry_run=job.is_dry_run,
        state=job.state,
        cancelled=job.is_cancelled,
        error=job.error,
        created_at=job.created_at.isoformat(),
        created_by=job.caller.actor,
        started_at=_text(job.started_at),
        ended_at=_text(job.ended_at),
        upload_bytes=job.upload_bytes,
        result_bytes=job.result_bytes,
        done=job.done,
        failed=job.failed,
        skipped=job.skipped,
        progress=1.0 if job.state == "completed" else round(job.part / job.whole, 4) if job.whole else 0.0,
        rate=None if rate is None else round(rate, 1),
        remaining=None if remaining is None else round(remaining, 1),
    )


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
