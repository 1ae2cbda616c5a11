"""Access tokens: who gets which."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey
from pydantic import SecretStr

from quartet_users import tokens
from quartet_users.config import BootstrapClient
from quartet_users.errors import InvalidClientError, OAuthError
from quartet_users.keys import KeyPair

SECRET = "a-secret-of-the-test"


def client(*scopes: str, tenants: tuple[str, ...] = ("*",), client_id: str = "quartet-admin") -> BootstrapClient:
    return BootstrapClient(
        client_id=client_id, client_secret=SecretStr(SECRET), scopes=frozenset(scopes), tenants=frozenset(tenants)
    )


def test_a_client_is_found_by_id_and_secret() -> None:
    one, two = client("users:read"), client("users:read", client_id="quartet-groups")
    assert tokens.find_client((one, two), "quartet-groups", SECRET) is two


@pytest.mark.parametrize(("client_id", "secret"), [("quartet-admin", "no"), ("nobody", SECRET), ("", "")])
def test_a_wrong_id_or_secret_is_refused(client_id: str, secret: str) -> None:
    with pytest.raises(InvalidClientError) as caught:
        tokens.find_client((client("users:read"),), client_id, secret)
    assert caught.value.status == 401
    assert caught.value.headers["WWW-Authenticate"].startswith("Basic")


def test_without_scope_a_client_gets_all_that_it_has_for_the_default_tenant() -> None:
    grant = tokens.decide_grant(client("users:read", "users:write"), None, None)
    assert grant == tokens.Grant("quartet-admin", "default", frozenset({"users:read", "users:write"}))


def test_a_client_gets_the_scopes_that_it_asks_for_and_no_more() -> None:
    assert tokens.decide_grant(client("users:read", "users:write"), "users:read", "acme").scopes == {"users:read"}


def test_a_scope_that_the_client_lacks_is_refused() -> None:
    with pytest.raises(OAuthError) as caught:
        tokens.decide_grant(client("users:read"), "users:read users:write", "acme")
    assert caught.value.code == "invalid_scope"


@pytest.mark.parametrize("tenant", ["", "Acme", "a b", "-a", "a-", "*", "a" * 64, "a/b"])
def test_a_tenant_that_is_no_name_is_refused(tenant: str) -> None:
    with pytest.raises(OAuthError) as caught:
        tokens.decide_grant(client("users:read"), None, tenant)
    assert caught.value.code == "invalid_request"


def test_a_client_of_one_tenant_gets_no_token_for_another() -> None:
    with pytest.raises(OAuthError):
        tokens.decide_grant(client("users:read", tenants=("acme",)), None, "globex")


def test_only_a_service_gets_a_token_for_any_tenant() -> None:
    assert tokens.decide_grant(client("service"), None, None).tenant == "*"
    with pytest.raises(OAuthError):
        tokens.decide_grant(client("service", tenants=("acme",)), None, None)


def test_a_token_carries_the_claims_of_rfc_9068() -> None:
    pair = KeyPair("k1", ECKey.generate_key("P-256"))
    grant = tokens.Grant("quartet-admin", "acme", frozenset({"users:write", "users:read"}))
    signed = tokens.sign(grant, pair, "https://id.example.com", datetime(2026, 1, 31, tzinfo=UTC), 600)
    decoded = jwt.decode(signed, pair.key, algorithms=["ES256"])
    assert decoded.header == {"alg": "ES256", "typ": "at+jwt", "kid": "k1"}
    assert decoded.claims.pop("jti")
    assert decoded.claims == {
        "iss": "https://id.example.com", "aud": "quartet", "sub": "quartet-admin", "client_id": "quartet-admin",
        "tenant": "acme", "scope": "users:read users:write", "iat": 1769817600, "exp": 1769818200,
    }  # fmt: skip


def test_the_published_key_holds_no_private_part() -> None:
    assert "d" not in KeyPair("k1", ECKey.generate_key("P-256")).public


def test_a_token_of_a_customer_never_administers_the_platform() -> None:
    grant = tokens.Grant("x", "acme", frozenset({"users:read", "platform:admin"}))
    key = ECKey.generate_key("P-256")
    for tenant, scope in (("acme", "users:read"), ("quartet", "platform:admin users:read")):
        signed = tokens.sign(replace(grant, tenant=tenant), KeyPair("1", key), "http://issuer", datetime.now(UTC), 600)
        assert jwt.decode(signed, key, algorithms=["ES256"]).claims["scope"] == scope
