"""Routes of the status of tokens: introspection (RFC 7662) and revocation (RFC 7009)."""

from quart import Blueprint, Response, request
from quart_schema import DataSource, document_request, document_response, security_scheme, tag
from werkzeug.datastructures import MultiDict

from quartet_common.auth.guard import source_address
from quartet_common.auth.principal import SERVICE_SCOPE
from quartet_common.responses import json_response
from quartet_users import tokens
from quartet_users.config import BootstrapClient
from quartet_users.errors import OAuthError
from quartet_users.routes.documents import TokenErrorDocument
from quartet_users.routes.oauth import credentials
from quartet_users.routes.token_documents import IntrospectionDocument, TokenStatusRequest
from quartet_users.token_status import Asker, TokenStatus


def token_status_blueprint(status: TokenStatus, clients: tuple[BootstrapClient, ...]) -> Blueprint:
    """`/oauth2/introspect` and `/oauth2/revoke`; whoever asks authenticates as a client."""
    blueprint = Blueprint("token_status", __name__)

    def authenticate(form: MultiDict[str, str]) -> Asker:
        client_id, secret = credentials(form.get("client_id"), form.get("client_secret"))
        client = tokens.find_client(clients, client_id, secret)
        return Asker(client.client_id, client.tenants, SERVICE_SCOPE in client.scopes)

    @blueprint.post("/oauth2/introspect")
    @security_scheme([])
    @tag(["OAuth"])
    @document_request(TokenStatusRequest, source=DataSource.FORM)
    @document_response(IntrospectionDocument)
    @document_response(TokenErrorDocument, 400)
    @document_response(TokenErrorDocument, 401)
    async def introspect() -> Response:
        """What a token stands for; one that is not valid, or not the client's business, is not active."""
        form = await request.form
        asker = authenticate(form)
        return json_response(await status.introspect(asker, _token(form)))

    @blueprint.post("/oauth2/revoke")
    @security_scheme([])
    @tag(["OAuth"])
    @document_request(TokenStatusRequest, source=DataSource.FORM)
    @document_response(TokenErrorDocument, 400)
    @document_response(TokenErrorDocument, 401)
    async def revoke() -> Response:
        """End a token that was given to the client; of any other the answer is the same, and nothing happens."""
        form = await request.form
        asker = authenticate(form)
        await status.revoke(asker, source_address(), _token(form))
        return Response(b"", 200, content_type="application/json")

    return blueprint


def _token(form: MultiDict[str, str]) -> str:
    """The token that is asked about. Its `token_type_hint` is not needed: every kind of token says what it is."""
    if len(form.getlist("token")) != 1 or not form["token"]:
        raise OAuthError("invalid_request", "The form must have a token, once.")
    return form["token"]
