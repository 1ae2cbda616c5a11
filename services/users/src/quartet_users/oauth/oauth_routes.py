"""OAuth routes: the token endpoint (RFC 6749 section 3.2)."""

from quart import Blueprint, Response, request
from quart_schema import DataSource, document_request, document_response, tag

from quartet_common.core.errors import code_of, title_of
from quartet_common.runtime.container import AppContainer
from quartet_common.web.guard import public, source_address
from quartet_common.web.openapi import JSON, Dialect
from quartet_common.web.responses import json_response
from quartet_users.config import UsersConfig
from quartet_users.errors import OAuthError
from quartet_users.lockout.lockout import Lockout
from quartet_users.oauth.client_authentication import authenticate
from quartet_users.oauth.grant_types import Grants
from quartet_users.oauth.oauth_models import TokenDocument, TokenErrorDocument, TokenRequest
from quartet_users.oauth.oauth_parameters import demand_parameter, read_parameters
from quartet_users.sessions.session_models import LoginDocument
from quartet_users.sessions.session_tokens import Tokens

UNCACHED = {"Pragma": "no-cache"}
"""What RFC 6749 section 5.1 wants of an answer with a token beside the `Cache-Control: no-store` that all have."""
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
"""How the token endpoint speaks (RFC 6749 section 5.2)."""


def oauth_blueprint(container: AppContainer[UsersConfig], grants: Grants, lockout: Lockout) -> Blueprint:
    """`/oauth2/token`; `grants` says what is given, `lockout` who waits."""
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
        form = await read_parameters()
        grant = grants.get(demand_parameter(form, "grant_type"))
        if grant is None:
            raise OAuthError("unsupported_grant_type", f"grant_type must be one of {', '.join(grants)}.")
        client = await authenticate(container, lockout, form, authorization(), source_address())
        answer = await grant(form, client)
        if isinstance(answer, Tokens):
            return json_response(LoginDocument.of(answer), headers=UNCACHED)
        given = TokenDocument(answer.access_token, "Bearer", answer.expires_in, answer.scope)
        return json_response(given, headers=UNCACHED)

    return blueprint


def authorization() -> str | None:
    """The request's Authorization header. Of two nobody can say which one counts: raises OAuthError (400)."""
    sent = request.headers.getlist("Authorization")
    if len(sent) > 1:
        raise OAuthError("invalid_request", "The request has more than one Authorization header.")
    return sent[0] if sent else None
