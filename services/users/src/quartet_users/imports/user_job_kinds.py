"""The kinds of jobs of the users service."""

from quartet_common.jobs.job_kinds import JobKind, JobKinds
from quartet_directory_formats import EXPORT_FORMATS, FORMATS
from quartet_users.imports.export_usecases import export_users
from quartet_users.imports.import_usecases import import_users

MEDIA_TYPES = {
    "ndjson": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8",
    "ldif": "text/x-ldif; charset=utf-8",
    "scim-bulk": "application/scim+json",
    "keycloak": "application/json",
}
OPTIONS = {"match": ("userName", "externalId"), "mapping": (), "delimiter": (), "encoding": ()}

KINDS = JobKinds.of(
    JobKind("import", import_users, {name: MEDIA_TYPES[name] for name in FORMATS}, options=OPTIONS),
    JobKind("export", export_users, {name: MEDIA_TYPES[name] for name in EXPORT_FORMATS}, takes_file=False),
)
