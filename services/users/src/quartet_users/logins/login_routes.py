"""Routes of logins and of changes of the caller's own password."""

from quart import Blueprint, Response
from quart_schema import document_request, document_response, tag

from quartet_common.core.errors import BadRequestError
from quartet_common.core.validation_messages import shown
from quartet_common.web.bodies import read_json
from quartet_common.web.dependencies import dependency
from quartet_common.web.guard import caller, public, requires, source_address, user_agent
from quartet_common.web.openapi import ProblemDocument
from quartet_common.web.responses import json_response
from quartet_users.api_clients.authenticated_client import FIRST_PARTY
from quartet_users.logins import login_usecases
from quartet_users.logins.login_models import LoginRequest, PasswordRequest
from quartet_users.logins.login_usecases import Attempt, LoginDependencies, PasswordChange
from quartet_users.sessions.session_models import LoginDocument
from quartet_users.sessions.session_routes import own_id, own_session
from quartet_users.sessions.session_tokens import Visitor

blueprint = Blueprint("logins", __name__, url_prefix="/users")


@blueprint.post("/login")
@public
@tag(["Logins"])
@document_request(LoginRequest)
@document_response(LoginDocument)
@document_response(ProblemDocument, 400)
@document_response(ProblemDocument, 401)
@document_response(ProblemDocument, 403)
@document_response(ProblemDocument, 429)
async def log_in() -> Response:
    """Log in as a user of one of Quartet's own applications."""
    attempt = await read_json(Attempt)
    if attempt.client_id not in FIRST_PARTY:
        raise BadRequestError(
            f"client_id must be one of {', '.join(sorted(FIRST_PARTY))}, got {shown(attempt.client_id)}.",
            "unknown_client",
        )
    visitor = Visitor(attempt.client_id, source_address(), user_agent())
    return json_response(LoginDocument.of(await login_usecases.log_in(dependency(LoginDependencies), attempt, visitor)))


@blueprint.post("/password")
@requires(person=True)
@tag(["Logins"])
@document_request(PasswordRequest)
@document_response(ProblemDocument, 400)
@document_response(ProblemDocument, 403)
@document_response(ProblemDocument, 429)
async def change_password() -> Response:
    """Change the caller's own password; the caller's other sessions end."""
    change = await read_json(PasswordChange)
    await login_usecases.change_password(dependency(LoginDependencies), caller(), own_id(), own_session(), change)
    return Response(b"", 204)
