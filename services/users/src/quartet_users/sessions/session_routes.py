"""Routes of sessions: users list and end their own, tenant administrators those of all users."""

from operator import attrgetter
from uuid import UUID

from quart import Blueprint, Response
from quart_schema import document_querystring, document_response, tag

from quartet_common.core.errors import ForbiddenError
from quartet_common.core.identifiers import MAX_ID, NIL_ID, parse_id, require_id
from quartet_common.web.dependencies import app_container
from quartet_common.web.guard import A_PERSON, PERSON_REQUIRED, caller, principal, requires
from quartet_common.web.openapi import ProblemDocument
from quartet_common.web.pages import next_cursor, read_page, read_parameters
from quartet_common.web.query_parameters import BadParameterError
from quartet_common.web.responses import json_response
from quartet_users.config import UsersConfig
from quartet_users.sessions import session_usecases
from quartet_users.sessions.session_models import EndQuery, SessionDocument, SessionListDocument, SessionsQuery
from quartet_users.sessions.session_store import Session

ADMINISTRATOR = "tenant:admin"

blueprint = Blueprint("sessions", __name__, url_prefix="/users")


@blueprint.get("/sessions")
@requires(ADMINISTRATOR, person=True)
@tag(["Sessions"])
@document_querystring(SessionsQuery)
@document_response(SessionListDocument)
@document_response(ProblemDocument, 400)
async def list_() -> Response:
    """List the caller's sessions, newest first, in pages; administrators can name another `user`."""
    given, tenant = read_parameters("user", "cursor", "count"), caller().tenant
    user_id = _user(given)
    context = ["users.sessions", tenant, str(user_id)]
    before, count = read_page(given, context, MAX_ID)
    rows = await session_usecases.list_sessions(app_container(UsersConfig), tenant, user_id, before, count + 1)
    onward = next_cursor(rows, count, context, attrgetter("id"))
    return json_response(SessionListDocument([_document(one) for one in rows[:count]], onward))


@blueprint.delete("/sessions")
@requires(ADMINISTRATOR, person=True)
@tag(["Sessions"])
@document_querystring(EndQuery)
@document_response(ProblemDocument, 400)
@document_response(ProblemDocument, 404)
async def end_all() -> Response:
    """End the caller's sessions, with `others=true` all but the current; administrators can name a `user`."""
    container = app_container(UsersConfig)
    given = read_parameters("user", "others")
    user_id = _user(given)
    if given.get("others", "false") not in ("true", "false"):
        raise BadParameterError("others", "must be true or false")
    if given.get("others") == "true":
        await session_usecases.end_other_sessions(container, caller(), user_id, own_session())
    else:
        await session_usecases.end_sessions(container, caller(), user_id)
    return Response(b"", 204)


@blueprint.delete("/sessions/<session_id>")
@requires(ADMINISTRATOR, person=True)
@tag(["Sessions"])
@document_response(ProblemDocument, 404)
async def end(session_id: str) -> Response:
    """End a session of the caller; administrators can end any session of the tenant."""
    known = require_id(session_id)
    owner = None if ADMINISTRATOR in principal().scopes else own_id()
    await session_usecases.end_session(app_container(UsersConfig), caller(), known, owner)
    return Response(b"", 204)


def _user(given: dict[str, str]) -> UUID:
    """The user whose sessions are listed or ended. Raises BadParameterError (400), ForbiddenError (403)."""
    if "user" not in given:
        if not principal().is_person:
            raise BadParameterError("user", "is required, because the access token is not a user's")
        return own_id()
    if given["user"] != principal().actor and ADMINISTRATOR not in principal().scopes:
        raise ForbiddenError(ADMINISTRATOR)
    return parse_id(given["user"]) or NIL_ID


def _document(one: Session) -> SessionDocument:
    return SessionDocument(
        str(one.id),
        str(one.user_id),
        one.client_id,
        one.created_at.isoformat(),
        one.last_used_at.isoformat(),
        one.ends_at.isoformat(),
        one.expires_at.isoformat(),
        one.source_address,
        one.user_agent,
        one.id == own_session(),
    )


def own_id() -> UUID:
    """The id of the caller's user. Raises ForbiddenError (403) for a token of a client."""
    found = parse_id(principal().actor)
    if found is None or not principal().is_person:
        raise ForbiddenError(A_PERSON, detail=PERSON_REQUIRED)
    return found


def own_session() -> UUID | None:
    """The session of the request's access token."""
    return parse_id(principal().session or "")
