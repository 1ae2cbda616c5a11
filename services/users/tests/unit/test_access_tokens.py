"""Access tokens: who gets which."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from quartet_common.auth.token_verifier import MAX_TOKEN_LENGTH
from quartet_users.api_clients.authenticated_client import AuthenticatedClient
from quartet_users.errors import OAuthError
from quartet_users.oauth import client_credentials_grant
from quartet_users.tokens import access_tokens
from quartet_users.tokens.key_ring import KeyPair

ISSUER = "https://id.example.com"


def client(*scopes: str, tenants: tuple[str, ...] = ("*",), is_public: bool = False) -> AuthenticatedClient:
    return AuthenticatedClient("quartet-admin", frozenset(tenants), frozenset(scopes), datetime.now(UTC), is_public)


def decide(one: AuthenticatedClient, scope: str | None = None, tenant: str | None = None) -> access_tokens.Grant:
    return client_credentials_grant.decide_grant(one, scope, tenant, "quartet")


def test_without_scope_a_client_gets_all_that_it_has_for_the_default_tenant() -> None:
    grant = decide(client("users:read", "users:write"))
    assert grant == access_tokens.Grant("quartet-admin", "default", frozenset({"users:read", "users:write"}))


def test_a_client_gets_the_scopes_that_it_asks_for_and_no_more() -> None:
    assert decide(client("users:read", "users:write"), "users:read", "acme").scopes == {"users:read"}


def test_a_scope_that_the_client_lacks_is_refused() -> None:
    with pytest.raises(OAuthError) as caught:
        decide(client("users:read"), "users:read users:write", "acme")
    assert caught.value.code == "invalid_scope"


@pytest.mark.parametrize("tenant", ["", "Acme", "a b", "-a", "a-", "*", "a" * 64, "a/b"])
def test_a_tenant_that_is_no_name_is_refused(tenant: str) -> None:
    with pytest.raises(OAuthError) as caught:
        decide(client("users:read"), None, tenant)
    assert caught.value.code == "invalid_request"


def test_a_client_of_one_tenant_gets_tokens_for_it_and_for_no_other() -> None:
    own = client("users:read", tenants=("acme",))
    assert decide(own).tenant == decide(own, None, "acme").tenant == "acme"
    with pytest.raises(OAuthError):
        decide(own, None, "globex")


def test_only_a_service_gets_a_token_for_any_tenant() -> None:
    assert decide(client("service")).tenant == "*"
    assert decide(client("service", tenants=("acme",))).tenant == "acme"
    assert decide(client("users:read")).tenant == "default"


def test_a_public_client_gets_no_token_for_itself() -> None:
    with pytest.raises(OAuthError) as caught:
        decide(client(is_public=True))
    assert caught.value.code == "unauthorized_client"


@pytest.mark.parametrize("service", access_tokens.SERVICES)
def test_a_resource_is_one_of_the_services(service: str) -> None:
    assert access_tokens.audience_of(ISSUER, []) == "quartet"
    assert access_tokens.audience_of(ISSUER, [f"{ISSUER}/{service}"]) == f"{ISSUER}/{service}"


@pytest.mark.parametrize(
    "resources", [[""], ["quartet"], [f"{ISSUER}/users/"], [f"{ISSUER}/users", f"{ISSUER}/groups"]]
)
def test_any_other_resource_is_refused(resources: list[str]) -> None:
    with pytest.raises(OAuthError) as caught:
        access_tokens.audience_of(ISSUER, resources)
    assert caught.value.code == "invalid_target"


def test_a_token_carries_the_claims_of_rfc_9068() -> None:
    pair = KeyPair("k1", ECKey.generate_key("P-256"))
    grant = access_tokens.Grant("quartet-admin", "acme", frozenset({"users:write", "users:read"}))
    signed = access_tokens.sign(grant, pair, "https://id.example.com", datetime(2026, 1, 31, tzinfo=UTC), 600)
    decoded = jwt.decode(signed, pair.key, algorithms=["ES256"])
    assert decoded.header == {"alg": "ES256", "typ": "at+jwt", "kid": "k1"}
    assert decoded.claims.pop("jti")
    assert decoded.claims == {
        "iss": "https://id.example.com", "aud": "quartet", "sub": "quartet-admin", "client_id": "quartet-admin",
        "tenant": "acme", "scope": "users:read users:write", "iat": 1769817600, "exp": 1769818200,
    }  # fmt: skip


def signed_for(name: str, user_id: UUID | None = None) -> tuple[str, dict[str, Any]]:
    """A token for `name`, and its claims."""
    pair = KeyPair("k1", ECKey.generate_key("P-256"))
    scopes = frozenset({"users:write", "users:read", "groups:read", "groups:write"})
    grant = access_tokens.Grant("acme.f3a9", "acme", scopes, user_id, name=name)
    signed = access_tokens.sign(grant, pair, ISSUER, datetime(2026, 1, 31, tzinfo=UTC), 600)
    return signed, jwt.decode(signed, pair.key, algorithms=["ES256"]).claims


def test_a_token_says_the_name_of_its_person_or_its_client() -> None:
    _, client = signed_for("Okta")
    _, person = signed_for("bjensen@example.com", uuid4())
    assert (client["client_name"], client.get("preferred_username")) == ("Okta", None)
    assert (person["preferred_username"], person.get("client_name")) == ("bjensen@example.com", None)


def test_a_name_makes_a_token_no_longer_than_its_128_characters() -> None:
    longest, claims = signed_for("a\x00" + "b" * 1000)
    assert claims["client_name"] == "a" + "b" * 127
    assert len(longest) - len(signed_for("")[0]) < 250
    assert len(signed_for("\U0001f600" * 128)[0]) < MAX_TOKEN_LENGTH / 3


def test_the_published_key_holds_no_private_part() -> None:
    assert "d" not in KeyPair("k1", ECKey.generate_key("P-256")).public


def test_a_token_of_a_customer_never_administers_the_platform() -> None:
    grant = access_tokens.Grant("x", "acme", frozenset({"users:read", "platform:admin"}))
    key = ECKey.generate_key("P-256")
    for tenant, scope in (("acme", "users:read"), ("quartet", "platform:admin users:read")):
        signed = access_tokens.sign(
            replace(grant, tenant=tenant), KeyPair("1", key), "http://issuer", datetime.now(UTC), 600
        )
        assert jwt.decode(signed, key, algorithms=["ES256"]).claims["scope"] == scope
