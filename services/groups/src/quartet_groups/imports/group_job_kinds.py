"""The kinds of jobs of the groups service."""

from quartet_common.jobs.job_kinds import JobKind, JobKinds
from quartet_common.jobs.running_job import RunningJob
from quartet_directory_formats import EXPORT_FORMATS, FORMATS
from quartet_groups import users_client
from quartet_groups.imports.export_usecases import GroupExport
from quartet_groups.imports.import_usecases import GroupImport

MEDIA_TYPES = {
    "ndjson": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8",
    "ldif": "text/x-ldif; charset=utf-8",
    "scim-bulk": "application/scim+json",
    "keycloak": "application/json",
}
OPTIONS = {"match": ("externalId", "displayName"), "mapping": (), "delimiter": (), "encoding": ()}


async def import_groups(job: RunningJob) -> None:
    """Import the groups of the job's file."""
    await GroupImport(job, _directory(job)).run()


async def export_groups(job: RunningJob) -> None:
    """Export the groups of the job's tenant."""
    await GroupExport(job, _directory(job)).run()


def _directory(job: RunningJob) -> users_client.UserDirectory:
    container = job.container
    return users_client.UsersClient(container.service_client("users", container.config.users_url))


KINDS = JobKinds.of(
    JobKind("import", import_groups, {name: MEDIA_TYPES[name] for name in FORMATS}, options=OPTIONS),
    JobKind("export", export_groups, {name: MEDIA_TYPES[name] for name in EXPORT_FORMATS}, takes_file=False),
)
