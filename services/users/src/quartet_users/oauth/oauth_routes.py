"""OAuth routes: the token endpoint (RFC 6749 section 3.2)."""

from quart import Blueprint, Response, request
from quart_schema import DataSource, document_request, document_response, tag

from quartet_common.core.errors import code_of, title_of
from quartet_common.web.dependencies import app_container, dependency
from quartet_common.web.guard import public, request_origin, source_address
from quartet_common.web.openapi import JSON, Dialect
from quartet_common.web.responses import json_response
from quartet_common.web.service_request import stop_on_disconnect
from quartet_users.api_clients.authenticated_client import AuthenticatedClient
from quartet_users.config import UsersConfig
from quartet_users.errors import OAuthError
from quartet_users.lockout.lockout import Lockout
from quartet_users.oauth.client_authentication import authenticate
from quartet_users.oauth.client_credentials_grant import Granted
from quartet_users.oauth.grant_types import Grants
from quartet_users.oauth.oauth_models import TokenDocument, TokenErrorDocument, TokenRequest
from quartet_users.oauth.oauth_parameters import Form, read_parameters, require_parameter
from quartet_users.oauth.refresh_token_grant import REFRESH
from quartet_users.sessions.session_models import LoginDocument
from quartet_users.sessions.session_tokens import Tokens

UNCACHED = {"Pragma": "no-cache"}
"""Required for responses with a token (RFC 6749 section 5.1); all responses have `Cache-Control: no-store`."""
OAUTH = Dialect(
    prefix="/oauth2",
    error_type=JSON,
    error={
        "type": "object",
        "required": ["error", "error_description"],
        "properties": {"error": {"type": "string"}, "error_description": {"type": "string"}},
    },
    error_example=lambda status: {"error": code_of(status), "error_description": f"{title_of(status)}."},
)
"""The errors of the OAuth endpoints in the OpenAPI document (RFC 6749 section 5.2)."""

blueprint = Blueprint("oauth", __name__)


@blueprint.post("/oauth2/token")
@public
@tag(["OAuth"])
@document_request(TokenRequest, source=DataSource.FORM)
@document_response(TokenDocument)
@document_response(TokenErrorDocument, 400)
@document_response(TokenErrorDocument, 401)
async def token() -> Response:
    """Issue an access token to a client, or new tokens for a refresh token."""
    form, grants = await read_parameters(), dependency(Grants)
    grant_type = require_parameter(form, "grant_type")
    if grant_type not in grants:
        raise OAuthError("unsupported_grant_type", f"grant_type must be one of {', '.join(grants)}.")
    client = await authenticated_client(form)
    if grant_type == REFRESH:
        stop_on_disconnect()  # the refresh token stays valid if the client would not receive the next one
    return _answer(await grants[grant_type](form, client, request_origin()))


async def authenticated_client(form: Form) -> AuthenticatedClient:
    """The client that sent the request. Raises InvalidClientError (401), OAuthError (400), LimitedError (429)."""
    container, lockout = app_container(UsersConfig), dependency(Lockout)
    return await authenticate(container, lockout, form, _authorization(), source_address())


def _answer(given: Granted | Tokens) -> Response:
    if isinstance(given, Tokens):
        return json_response(LoginDocument.of(given), headers=UNCACHED)
    document = TokenDocument(given.access_token, "Bearer", given.expires_in, given.scope)
    return json_response(document, headers=UNCACHED)


def _authorization() -> str | None:
    """The Authorization header of the request. Raises OAuthError (400) for more than one."""
    sent = request.headers.getlist("Authorization")
    if len(sent) > 1:
        raise OAuthError("invalid_request", "The request has more than one Authorization header.")
    return sent[0] if sent else None
