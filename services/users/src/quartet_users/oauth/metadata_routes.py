"""Routes of public metadata: the keys that verify tokens (RFC 7517), and the authorization server (RFC 8414)."""

from hashlib import sha256

import orjson
from quart import Blueprint, Response, request
from quart_schema import document_response, tag

from quartet_common.auth.scopes import SCOPES, SERVICE_SCOPE
from quartet_common.web.dependencies import dependency
from quartet_common.web.guard import public
from quartet_common.web.responses import json_response
from quartet_users.api_clients.public_keys import ALGORITHMS
from quartet_users.oauth.client_authentication import METHODS
from quartet_users.oauth.grant_types import Grants
from quartet_users.oauth.oauth_models import KeySetDocument, ServerDocument
from quartet_users.tokens.key_domain import PUBLISHED_FIRST
from quartet_users.tokens.key_ring import KeyRing

CACHED = f"public, max-age={int(PUBLISHED_FIRST.total_seconds())}"

blueprint = Blueprint("metadata", __name__)


@blueprint.get("/.well-known/jwks.json")
@public
@tag(["OAuth"])
@document_response(KeySetDocument)
async def jwks() -> Response:
    """List the public keys that verify access tokens, including the next one."""
    return _cached(orjson.dumps(KeySetDocument(await dependency(KeyRing).published())))


@blueprint.get("/.well-known/oauth-authorization-server")
@public
@tag(["OAuth"])
@document_response(ServerDocument)
async def server() -> Response:
    """Read the metadata of the authorization server (RFC 8414 section 2)."""
    return _cached(orjson.dumps(dependency(ServerDocument)))


def server_document(issuer: str, grants: Grants) -> ServerDocument:
    """The metadata of the authorization server `issuer` with the grant types `grants`.

    There is no authorization endpoint, so there are no response types.
    """
    confidential = [method for method in METHODS if method != "none"]
    return ServerDocument(
        issuer=issuer,
        token_endpoint=f"{issuer}/oauth2/token",
        jwks_uri=f"{issuer}/.well-known/jwks.json",
        revocation_endpoint=f"{issuer}/oauth2/revoke",
        introspection_endpoint=f"{issuer}/oauth2/introspect",
        response_types_supported=[],
        grant_types_supported=list(grants),
        scopes_supported=sorted(SCOPES - {SERVICE_SCOPE}),
        token_endpoint_auth_methods_supported=list(METHODS),
        token_endpoint_auth_signing_alg_values_supported=sorted(ALGORITHMS),
        revocation_endpoint_auth_methods_supported=list(METHODS),
        revocation_endpoint_auth_signing_alg_values_supported=sorted(ALGORITHMS),
        introspection_endpoint_auth_methods_supported=confidential,
        introspection_endpoint_auth_signing_alg_values_supported=sorted(ALGORITHMS),
        service_documentation=f"{issuer}/users/docs",
    )


def _cached(body: bytes) -> Response:
    """A response that may be cached for a minute; 304 if the client has it already (RFC 9110 section 13.1.2)."""
    etag = sha256(body).hexdigest()[:32]
    headers = {"Cache-Control": CACHED, "ETag": f'"{etag}"'}
    if request.if_none_match.contains_weak(etag):
        return Response(b"", 304, headers=headers)
    return json_response(body, headers=headers)
