"""Archives over HTTP, for platform administrators: of a tenant's data in one service, and its restore in parts."""

import re
from functools import partial
from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from quart import Blueprint, Quart, Response, request
from quart_schema import document_querystring, document_response, tag_blueprint

from quartet_common.auth.scopes import PLATFORM_ADMIN
from quartet_common.core.errors import ServiceError
from quartet_common.core.identifiers import SYSTEM_TENANT, TENANT_ID
from quartet_common.core.validation_messages import shown
from quartet_common.runtime.archives import Archives
from quartet_common.web.blueprints.data_export import NDJSON, Exports
from quartet_common.web.bodies import takes
from quartet_common.web.dependencies import dependency, provide
from quartet_common.web.guard import caller, requires
from quartet_common.web.openapi import ProblemDocument, answers
from quartet_common.web.pages import read_parameters
from quartet_common.web.query_parameters import BadParameterError, whole_number
from quartet_common.web.responses import json_response

PART_BYTES = 4 * 1024 * 1024
"""The size of a part that is restored; a line has up to some 2 MiB."""
SHA_256 = re.compile(r"[0-9a-f]{64}")
MOST = 10**15

blueprint = Blueprint("archives", __name__)
tag_blueprint(blueprint, ["Operations"])


class ArchiveQuery(Struct):
    """Whose data is archived."""

    tenant: Annotated[str, Meta(description="The id of the tenant. Required.")] = ""


class RestoreQuery(Struct):
    """Which lines are restored."""

    tenant: Annotated[str, Meta(description="The id of the tenant. Required.")] = ""
    archive: Annotated[str, Meta(description="The SHA-256 of the archive's manifest, in hexadecimal. Required.")] = ""
    position: Annotated[int, Meta(description="How many lines come before those of the body. Required.")] = 0


class RestoreDocument(Struct):
    """How far the restore is."""

    position: Annotated[int, Meta(description="How many lines are stored: the next part begins there.")]
    is_complete: Annotated[bool, Meta(description="Whether all lines are stored.")]


def provide_archives(app: Quart, archives: Archives, exports: Exports) -> None:
    """Serve `archives`, which share the disk with `exports`."""
    provide(app, Archives, archives)
    provide(app, ArchiveExports, ArchiveExports(**{**vars(exports), "exporters": archives.exporters}))
    app.register_blueprint(blueprint, url_prefix=f"/{archives.container.config.service}/data")


class ArchiveExports(Exports):
    """The exports that are archives."""


@blueprint.get("/archive")
@requires(PLATFORM_ADMIN)
@document_querystring(ArchiveQuery)
@answers(NDJSON)
async def archive() -> Response:
    """Archive what the service stores for a tenant, with the hashes of passwords, as a stream of lines."""
    tenant = _tenant(read_parameters("tenant"))
    before = partial(dependency(Archives).record, caller(), tenant)
    return await dependency(ArchiveExports).response(tenant, before)


@blueprint.post("/restore")
@requires(PLATFORM_ADMIN)
@takes(PART_BYTES)
@document_querystring(RestoreQuery)
@document_response(RestoreDocument)
@document_response(ProblemDocument, 400)
@document_response(ProblemDocument, 409)
async def restore() -> Response:
    """Restore lines of an archive, in their order; lines that are stored already change nothing."""
    given = read_parameters("tenant", "archive", "position")
    tenant, digest = _tenant(given), given.get("archive", "")
    if SHA_256.fullmatch(digest) is None:
        raise BadParameterError("archive", f"must be a SHA-256 in hexadecimal, got {shown(digest)}")
    position = whole_number("position", given.get("position", ""), 0, MOST)
    if (request.content_type or "").partition(";")[0].strip().lower() != NDJSON:
        raise ServiceError(415, "unsupported_media_type", f"The body must be {NDJSON}, as an archive is.")
    body: bytes = await request.get_data(cache=False, as_text=False, parse_form_data=False)
    done = await dependency(Archives).restore(caller(), tenant, digest, position, body)
    return json_response(msgspec.json.encode(RestoreDocument(done.position, done.is_complete)))


def _tenant(given: dict[str, str]) -> str:
    tenant = given.get("tenant", "")
    if TENANT_ID.fullmatch(tenant) is None or tenant == SYSTEM_TENANT:
        raise BadParameterError("tenant", f"must be the id of a tenant, not the platform's, got {shown(tenant)}")
    return tenant
