"""Routes of introspection (RFC 7662) and revocation (RFC 7009) of tokens."""

from quart import Blueprint, Response
from quart_schema import DataSource, document_request, document_response, tag

from quartet_common.web.dependencies import dependency
from quartet_common.web.guard import public, request_origin
from quartet_common.web.responses import json_response
from quartet_common.web.service_request import stop_on_disconnect
from quartet_users.errors import InvalidClientError
from quartet_users.oauth.oauth_models import IntrospectionDocument, TokenErrorDocument, TokenStatusRequest
from quartet_users.oauth.oauth_parameters import Form, read_parameters, require_parameter
from quartet_users.oauth.oauth_routes import authenticated_client
from quartet_users.oauth.token_status_usecases import Asker, TokenStatus

blueprint = Blueprint("token_status", __name__)


@blueprint.post("/oauth2/introspect")
@public
@tag(["OAuth"])
@document_request(TokenStatusRequest, source=DataSource.FORM)
@document_response(IntrospectionDocument)
@document_response(TokenErrorDocument, 400)
@document_response(TokenErrorDocument, 401)
async def introspect() -> Response:
    """Introspect a token (RFC 7662); invalid ones and those of others are not active."""
    form = await read_parameters()
    asker = await _asker(form)
    stop_on_disconnect()
    return json_response(await dependency(TokenStatus).introspect(asker, _token(form)))


@blueprint.post("/oauth2/revoke")
@public
@tag(["OAuth"])
@document_request(TokenStatusRequest, source=DataSource.FORM)
@document_response(TokenErrorDocument, 400)
@document_response(TokenErrorDocument, 401)
async def revoke() -> Response:
    """Revoke a token of the client (RFC 7009); other tokens get the same response and are not changed."""
    form = await read_parameters()
    asker = await _asker(form, may_be_public=True)
    await dependency(TokenStatus).revoke(asker, request_origin(), _token(form))
    return Response(b"", 200, content_type="application/json")


async def _asker(form: Form, *, may_be_public: bool = False) -> Asker:
    client = await authenticated_client(form)
    if client.is_public and not may_be_public:
        raise InvalidClientError("no_proof")  # a public client is not authenticated
    return Asker(client.id, client.tenants, client.is_service, client.name)


def _token(form: Form) -> str:
    """The token in question. `token_type_hint` is not needed: every kind of token can be recognised."""
    return require_parameter(form, "token")
