"""The use case of export jobs: the users of a tenant become a file, page by page."""

from uuid import UUID

import asyncpg
import orjson

from quartet_common.core.identifiers import NIL_ID
from quartet_common.data.row_exports import FETCH_BYTES
from quartet_common.jobs.running_job import RunningJob, SetOutcome
from quartet_common.runtime.unit_of_work import UnitOfWork
from quartet_directory_formats import Writer
from quartet_scim.render import timestamp
from quartet_users.imports import import_store

PAGE = 1000
"""Users of one page, which have FETCH_BYTES at most."""


async def export_users(job: RunningJob) -> None:
    """Write the users of the job's tenant in the order of their ids. Each page is as of the time when it is read."""
    writer = Writer(job.state.format, "user")
    async with job.container.database.connection() as connection:
        job.expect(await import_store.count_users(connection, job.tenant))

    async def write(work: UnitOfWork, outcome: SetOutcome) -> None:
        after = job.state.saved.get("after")
        rows = await import_store.read_users(
            work.connection, work.tenant, NIL_ID if after is None else UUID(after), PAGE, FETCH_BYTES
        )
        head = writer.head() if after is None else b""
        outcome.result = head + b"".join(writer.record(_document(row)) for row in rows)
        outcome.handled = outcome.done = len(rows)
        outcome.saved = {"after": str(rows[-1]["id"])} if rows else None

    while (await job.run_set(0, write)).handled:
        job.require_running()


def _document(row: asyncpg.Record) -> dict[str, object]:
    """The SCIM document of a stored user."""
    meta = {
        "resourceType": "User",
        "created": timestamp(row["created_at"]),
        "lastModified": timestamp(row["modified_at"]),
        "version": f'W/"{row["version"]}"',
    }
    return {"id": str(row["id"]), **orjson.loads(row["resource"]), "meta": meta}
