"""Tokens: who gets in, who does not, and what is remembered."""

import hmac
import json
import time
from base64 import urlsafe_b64encode
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from quartet_common.auth import token_verifier
from quartet_common.auth.token_verifier import LEEWAY, MAX_LIFETIME, TokenVerifier
from quartet_common.core.errors import UnauthorizedError, UnavailableError
from quartet_testing.tokens import TokenFactory

ISSUER = "https://id.example.com"
A_DAY = 86_400
"""Seconds; what is compared with a time that is read when the tests are found may be as late as the last of them."""


class Clock:
    """A clock that is set by hand; seconds since the epoch."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


class Keys:
    """A key finder that counts how often it is asked."""

    def __init__(self, factory: TokenFactory) -> None:
        self.factory = factory
        self.asked = 0

    async def find(self, key_id: str) -> ECKey | None:
        self.asked += 1
        return await self.factory.find_key(key_id)


@pytest.fixture
def factory() -> TokenFactory:
    return TokenFactory(ISSUER)


@pytest.fixture
def verifier(factory: TokenFactory) -> TokenVerifier:
    return TokenVerifier(ISSUER, factory.find_key)


def claims_of(**changes: Any) -> dict[str, Any]:
    """Good claims with `changes`; None removes one."""
    names = {"sub": "x", "client_id": "x", "tenant": "default", "scope": "users:read"}
    times = {"iat": int(time.time()), "exp": int(time.time()) + 60}
    claims: dict[str, Any] = {"iss": ISSUER, "aud": "quartet", "jti": "1", **names, **times, **changes}
    return {name: value for name, value in claims.items() if value is not None}


def signed(claims: dict[str, Any], key: Any, algorithm: str = "ES256", **header: Any) -> str:
    """A token, signed with any key."""
    return jwt.encode({"alg": algorithm, "typ": "at+jwt", "kid": "test", **header}, claims, key, algorithms=[algorithm])


def hmac_signed(claims: dict[str, Any], secret: bytes, algorithm: str = "HS256") -> str:
    """A token made by hand, as an attacker does: the library refuses a public key as the secret."""
    parts = [json.dumps(part).encode() for part in ({"alg": algorithm, "typ": "at+jwt", "kid": "test"}, claims)]
    text = b".".join(urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    return (text + b"." + urlsafe_b64encode(hmac.digest(secret, text, "sha256")).rstrip(b"=")).decode()


async def refused(verifier: TokenVerifier, token: str) -> str:
    with pytest.raises(UnauthorizedError) as refusal:
        await verifier.verify(token)
    return refusal.value.reason


async def test_a_good_token_gives_its_principal(verifier: TokenVerifier, factory: TokenFactory) -> None:
    found = await verifier.verify(factory.token("default", ["users:read", "audit:read"], actor="scim-client"))
    assert (found.tenant, found.actor, found.client_id) == ("default", "scim-client", "scim-client")
    assert found.scopes == {"users:read", "audit:read"}


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"iss": "https://id.example.org"}, "wrong_issuer"),
        ({"iss": None}, "wrong_issuer"),
        ({"aud": "other"}, "wrong_audience"),
        ({"aud": ["other", "another"]}, "wrong_audience"),
        ({"aud": None}, "wrong_audience"),
        ({"aud": ""}, "wrong_audience"),
        ({"aud": []}, "wrong_audience"),
        ({"aud": 7}, "wrong_audience"),
        ({"aud": ["quartet", 7]}, "wrong_audience"),
        ({"aud": [["quartet"]]}, "wrong_audience"),
        ({"aud": {"quartet": True}}, "wrong_audience"),
        ({"aud": f"{ISSUER}/audit"}, "wrong_audience"),
        ({"exp": int(time.time()) - LEEWAY - 60}, "expired"),
        ({"exp": None}, "missing_claims"),
        ({"exp": "9999999999"}, "missing_claims"),
        ({"exp": True}, "missing_claims"),
        ({"exp": time.time() + 60}, "missing_claims"),
        ({"exp": 10**400}, "lives_too_long"),
        ({"exp": int(time.time()) + MAX_LIFETIME + A_DAY}, "lives_too_long"),
        ({"nbf": int(time.time()) + A_DAY}, "not_yet_valid"),
        ({"nbf": "0"}, "missing_claims"),
        ({"nbf": False}, "missing_claims"),
        ({"iat": None}, "missing_claims"),
        ({"iat": True}, "missing_claims"),
        ({"iat": int(time.time()) + A_DAY}, "not_yet_valid"),
        ({"iat": 10**400}, "not_yet_valid"),
        ({"iat": -(10**400)}, "lives_too_long"),
        ({"iat": int(time.time()) - MAX_LIFETIME - 60}, "lives_too_long"),
        ({"jti": None}, "missing_claims"),
        ({"jti": ""}, "missing_claims"),
        ({"sid": ""}, "missing_claims"),
        ({"sid": 7}, "missing_claims"),
        ({"tenant": None}, "missing_claims"),
        ({"tenant": 7}, "missing_claims"),
        ({"tenant": ""}, "missing_claims"),
        ({"sub": None}, "missing_claims"),
        ({"sub": ""}, "missing_claims"),
        ({"client_id": None}, "missing_claims"),
        ({"scope": None}, "missing_claims"),
        ({"scope": ["users:read"]}, "missing_claims"),
    ],
)
async def test_a_token_with_wrong_claims_is_refused(
    verifier: TokenVerifier, factory: TokenFactory, claims: dict[str, Any], reason: str
) -> None:
    assert await refused(verifier, signed(claims_of(**claims), factory.key)) == reason


async def test_an_audience_may_be_one_of_several(verifier: TokenVerifier, factory: TokenFactory) -> None:
    token = factory.token("default", ["users:read"], aud=["other", "quartet"])
    assert (await verifier.verify(token)).tenant == "default"


async def test_a_token_may_be_for_one_service_and_no_other_takes_it(factory: TokenFactory) -> None:
    token = factory.token("default", ["users:read"], aud=[f"{ISSUER}/groups"])
    groups = TokenVerifier(ISSUER, factory.find_key, audiences=frozenset({"quartet", f"{ISSUER}/groups"}))
    audit = TokenVerifier(ISSUER, factory.find_key, audiences=frozenset({"quartet", f"{ISSUER}/audit"}))
    assert (await groups.verify(token)).tenant == "default"
    assert await refused(audit, token) == "wrong_audience"


async def test_only_a_service_may_speak_for_any_tenant(verifier: TokenVerifier, factory: TokenFactory) -> None:
    assert await refused(verifier, factory.token("*", ["users:read"])) == "missing_claims"
    assert (await verifier.verify(factory.token("*", ["service"]))).tenant == "*"


@pytest.mark.parametrize("text", ["", "x", "a.b.c", "..", "é.é.é", "a.b", "a.b.c.d", "eyJhbGciOiJFUzI1NiJ9..x"])
async def test_what_is_no_token_is_refused(verifier: TokenVerifier, text: str) -> None:
    assert await refused(verifier, text) in ("malformed", "wrong_algorithm_or_type")


async def test_a_token_that_was_changed_is_refused(verifier: TokenVerifier, factory: TokenFactory) -> None:
    header, payload, signature = factory.token("default", ["users:read"]).split(".")
    _, other_payload, _ = factory.token("other", ["users:read"]).split(".")
    assert await refused(verifier, f"{header}.{other_payload}.{signature}") == "bad_signature"
    flipped = ("A" if signature[0] != "A" else "B") + signature[1:]
    assert await refused(verifier, f"{header}.{payload}.{flipped}") == "bad_signature"


async def test_a_token_of_somebody_elses_key_is_refused(verifier: TokenVerifier) -> None:
    forger = TokenFactory(ISSUER)
    assert await refused(verifier, forger.token("default", ["users:read"])) == "bad_signature"


async def test_other_algorithms_are_refused_before_any_key_is_used(factory: TokenFactory) -> None:
    keys = Keys(factory)
    verifier = TokenVerifier(ISSUER, keys.find)
    with_the_public_key = hmac_signed(claims_of(), factory.key.as_pem(private=False))
    rsa = signed(claims_of(), RSAKey.generate_key(2048), "RS256")
    none = hmac_signed(claims_of(), b"", "none").rpartition(".")[0] + "."
    for token in (with_the_public_key, rsa, none):
        assert await refused(verifier, token) == "wrong_algorithm_or_type"
    assert keys.asked == 0


async def test_a_token_of_another_type_is_refused(verifier: TokenVerifier, factory: TokenFactory) -> None:
    assert await refused(verifier, signed(claims_of(), factory.key, typ="JWT")) == "wrong_algorithm_or_type"


async def test_an_unknown_key_is_refused(verifier: TokenVerifier, factory: TokenFactory) -> None:
    assert await refused(verifier, signed(claims_of(), factory.key, kid="other")) == "unknown_key"


async def test_a_token_that_is_too_long_is_refused_unread(verifier: TokenVerifier, factory: TokenFactory) -> None:
    assert await refused(verifier, factory.token("default", ["users:read"], filler="x" * 9000)) == "too_long"


async def test_a_verified_token_is_remembered_and_forgotten_when_it_expires(factory: TokenFactory) -> None:
    keys, clock = Keys(factory), Clock()
    verifier = TokenVerifier(ISSUER, keys.find, clock)
    token = factory.token("default", ["users:read"], exp=int(clock.now) + 60)
    first = await verifier.verify(token)
    assert await verifier.verify(token) is first
    assert keys.asked == 1
    clock.now += 60 + LEEWAY + 1
    assert await refused(verifier, token) == "expired"
    assert await refused(verifier, token) == "expired"


async def test_what_was_refused_is_not_remembered(factory: TokenFactory) -> None:
    keys = Keys(factory)
    verifier = TokenVerifier(ISSUER, keys.find)
    token = factory.token("default", ["users:read"], aud="other")
    assert await refused(verifier, token) == await refused(verifier, token) == "wrong_audience"
    assert keys.asked == 2


async def test_a_revoked_token_is_refused_each_time_without_being_read_again(factory: TokenFactory) -> None:
    keys, reasons = Keys(factory), iter([None, "revoked", "revoked", None])
    verifier = TokenVerifier(ISSUER, keys.find, revoked=lambda _: next(reasons))
    token = factory.token("default", ["users:read"])
    first = await verifier.verify(token)
    assert [await refused(verifier, token) for _ in range(2)] == ["revoked", "revoked"]
    assert await verifier.verify(token) is first
    assert keys.asked == 1


async def test_what_is_remembered_is_no_token_and_has_one_size(factory: TokenFactory) -> None:
    verifier = TokenVerifier(ISSUER, factory.find_key)
    for filler in ("", "x" * 5000):
        await verifier.verify(factory.token("default", ["users:read"], filler=filler))
    assert [len(key) for key in verifier._seen] == [32, 32]


async def test_memory_is_bounded_and_the_oldest_goes_first(
    factory: TokenFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_verifier, "CACHE_SIZE", 3)
    keys = Keys(factory)
    verifier = TokenVerifier(ISSUER, keys.find)
    issued = [factory.token(f"tenant-{number}", ["users:read"]) for number in range(4)]
    for token in issued:
        await verifier.verify(token)
    await verifier.verify(issued[3])
    assert keys.asked == 4
    await verifier.verify(issued[0])
    assert keys.asked == 5


async def test_without_keys_it_is_closed(factory: TokenFactory) -> None:
    async def away(_: str) -> ECKey | None:
        raise UnavailableError("users")

    with pytest.raises(UnavailableError):
        await TokenVerifier(ISSUER, away).verify(factory.token("default", ["users:read"]))
