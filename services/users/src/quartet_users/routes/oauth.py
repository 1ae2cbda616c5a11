"""OAuth routes: tokens for API clients (RFC 6749 section 4.4) and the keys that verify them (RFC 7517)."""

import base64
import binascii
from urllib.parse import unquote_plus

from quart import Blueprint, Response, request
from quart_schema import DataSource, document_request, document_response, security_scheme, tag

from quartet_common.auth.guard import source_address
from quartet_common.auth.principal import ANY_TENANT
from quartet_common.container import AppContainer
from quartet_common.openapi import JSON, Dialect
from quartet_common.responses import json_response
from quartet_users import tenant_usecases, tokens
from quartet_users.config import UsersConfig
from quartet_users.errors import InvalidClientError, OAuthError
from quartet_users.keys import KeyRing
from quartet_users.refreshing import REFRESH, refresh
from quartet_users.routes.documents import (
    KeySetDocument,
    LoginDocument,
    TokenDocument,
    TokenErrorDocument,
    TokenRequest,
)

CLIENT_CREDENTIALS = "client_credentials"
OAUTH = Dialect(
    prefix="/oauth2",
    error_type=JSON,
    error={
        "type": "object",
        "required": ["error", "error_description"],
        "properties": {"error": {"type": "string"}, "error_description": {"type": "string"}},
    },
)
"""How the token endpoint speaks (RFC 6749 section 5.2)."""


def oauth_blueprint(container: AppContainer[UsersConfig], keys: KeyRing) -> Blueprint:
    """`/oauth2/token` and `/.well-known/jwks.json`."""
    blueprint = Blueprint("oauth", __name__)
    config = container.config

    @blueprint.post("/oauth2/token")
    @security_scheme([])
    @tag(["OAuth"])
    @document_request(TokenRequest, source=DataSource.FORM)
    @document_response(TokenDocument)
    @document_response(TokenErrorDocument, 400)
    @document_response(TokenErrorDocument, 401)
    async def token() -> Response:
        """Give an API client an access token, or the next tokens for a refresh token."""
        form = await request.form
        if form.get("grant_type") == REFRESH:
            found = await refresh(container, keys, form, source_address())
            return json_response(LoginDocument.of(found))
        if form.get("grant_type") != CLIENT_CREDENTIALS:
            raise OAuthError("unsupported_grant_type", f"grant_type must be {CLIENT_CREDENTIALS} or {REFRESH}.")
        client_id, secret = credentials(form.get("client_id"), form.get("client_secret"))
        client = tokens.find_client(config.bootstrap_clients.clients, client_id, secret)
        grant = tokens.decide_grant(client, form.get("scope"), form.get("tenant"))
        if grant.tenant != ANY_TENANT:
            await tenant_usecases.demand_active(container, grant.tenant)
        pair = await keys.signing_pair()
        signed = tokens.sign(grant, pair, config.issuer, container.clock(), config.token_lifetime)
        scope = " ".join(sorted(grant.scopes))
        return json_response(TokenDocument(signed, "Bearer", config.token_lifetime, scope))

    @blueprint.get("/.well-known/jwks.json")
    @security_scheme([])
    @tag(["OAuth"])
    @document_response(KeySetDocument)
    async def jwks() -> Response:
        """The public keys of access tokens."""
        document = KeySetDocument(await keys.published())
        return json_response(document, headers={"Cache-Control": "public, max-age=60"})

    return blueprint


def credentials(form_id: str | None, form_secret: str | None) -> tuple[str, str]:
    """Client id and secret from HTTP Basic or the form, not both (RFC 6749 section 2.3.1)."""
    header = request.headers.get("Authorization")
    if header is None:
        return form_id or "", form_secret or ""
    if form_secret is not None:
        raise OAuthError("invalid_request", "Client credentials belong in the header or in the form, not in both.")
    scheme, _, encoded = header.partition(" ")
    try:
        client_id, _, secret = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise InvalidClientError from None
    if scheme.lower() != "basic":
        raise InvalidClientError
    return unquote_plus(client_id), unquote_plus(secret)
