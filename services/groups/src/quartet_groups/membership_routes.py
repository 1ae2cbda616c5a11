"""Routes of memberships: a group's members by page, checks, and the groups of a user; not SCIM."""

from operator import itemgetter
from typing import Any, Literal, NamedTuple
from uuid import UUID

import msgspec
import orjson
from quart import Blueprint, Response
from quart_schema import document_querystring, document_request, document_response, tag

from quartet_common.core.errors import BadRequestError
from quartet_common.core.identifiers import NIL_ID
from quartet_common.web.bodies import read_json_bytes, takes
from quartet_common.web.dependencies import dependency
from quartet_common.web.guard import caller, requires
from quartet_common.web.pages import next_cursor, read_page, read_parameters
from quartet_common.web.query_parameters import MAX_TEXT, BadParameterError
from quartet_common.web.responses import json_response
from quartet_common.web.service_request import stop_on_disconnect
from quartet_groups.group_models import (
    CheckDocument,
    CheckListDocument,
    CheckListRequest,
    CheckQuery,
    GroupsOfDocument,
    MembersDocument,
    PageQuery,
)
from quartet_groups.membership_domain import Question
from quartet_groups.membership_usecases import Membership

MAX_CHECKS = 1000
MAX_CHECK_BYTES = 256 * 1024
"""Bytes of a body with MAX_CHECKS checks."""


class Place(NamedTuple):
    """The position at which a page of members ended: a user (kind 0) or a group (1)."""

    kind: Literal[0, 1]
    id: UUID


blueprint = Blueprint("membership", __name__, url_prefix="/groups")


@blueprint.get("/<group_id>/members")
@requires("groups:read")
@tag(["memberships"])
@document_querystring(PageQuery)
@document_response(MembersDocument)
async def members(group_id: str) -> Response:
    """List the members of a group in pages: users by id, then groups by id."""
    tenant = caller().tenant
    context = ["groups.members", tenant, group_id]
    after, count = read_page(read_parameters("cursor", "count"), context, Place(0, NIL_ID))
    rows = await dependency(Membership).members(tenant, group_id, after, count + 1)
    onward = next_cursor(rows, count, context, itemgetter("kind", "id"))
    # the members are JSON texts of the database
    return _page("members", ",".join(row["text"] for row in rows[:count]).encode(), onward)


@blueprint.get("/check")
@requires("groups:read")
@tag(["memberships"])
@document_querystring(CheckQuery)
@document_response(CheckDocument)
async def check() -> Response:
    """Check whether a user is in a group, directly or through nested groups, and return the path."""
    given = read_parameters("user", "group")
    for name in ("user", "group"):
        if name not in given:
            raise BadParameterError(name, "is required")
    answers = await dependency(Membership).check(caller().tenant, [Question(given["user"], given["group"])])
    return json_response(answers[1:-1])


@blueprint.post("/check")
@requires("groups:read")
@takes(MAX_CHECK_BYTES)
@tag(["memberships"])
@document_request(CheckListRequest)
@document_response(CheckListDocument)
async def check_many() -> Response:
    """Carry out up to 1,000 checks; the results are in the order of the checks."""
    stop_on_disconnect()
    questions = _questions(await read_json_bytes())
    return json_response(b'{"results":%b}' % await dependency(Membership).check(caller().tenant, questions))


@blueprint.get("/of/<user>")
@requires("groups:read")
@tag(["memberships"])
@document_querystring(PageQuery)
@document_response(GroupsOfDocument)
async def of(user: str) -> Response:
    """List the groups of a user by id in pages, direct ones and those through nested groups."""
    tenant = caller().tenant
    context = ["groups.of", tenant, user]
    after, count = read_page(read_parameters("cursor", "count"), context, NIL_ID)
    found = await dependency(Membership).groups_of(tenant, user, after, count + 1)
    onward = next_cursor(found, count, context, lambda group: orjson.loads(group)["value"])
    return _page("groups", b",".join(found[:count]), onward)


def _page(name: str, items: bytes, onward: str | None) -> Response:
    return json_response(b'{"%b":[%b],"next":%b}' % (name.encode(), items, msgspec.json.encode(onward)))


def _questions(body: bytes) -> list[Question]:
    """The parsed questions. Raises BadRequestError, which names the error."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise BadRequestError("The body must be JSON.") from None
    checks = document.get("checks") if isinstance(document, dict) else None
    if not isinstance(checks, list) or not 1 <= len(checks) <= MAX_CHECKS:
        raise BadRequestError(f"The body must be an object whose checks are a list of 1 to {MAX_CHECKS} objects.")
    return [Question(_text(one, "user", place), _text(one, "group", place)) for place, one in enumerate(checks)]


def _text(check: Any, name: str, place: int) -> str:
    found = check.get(name) if isinstance(check, dict) else None
    if not isinstance(found, str) or not 0 < len(found) <= MAX_TEXT:
        raise BadRequestError(f"checks[{place}].{name} must be a string of 1 to {MAX_TEXT} characters.")
    return found
