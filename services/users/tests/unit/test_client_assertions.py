"""Assertions of clients: which are believed, and the many that are not."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from quartet_common.core.errors import BadRequestError, UnauthorizedError
from quartet_testing.weak_keys import SMALL_ORDER_KEYS, base64url, base64url_number
from quartet_users.api_clients import client_assertions, public_keys
from quartet_users.api_clients.client_assertions import LEEWAY, MAX_LIFETIME
from quartet_users.api_clients.public_keys import LEAST_RSA_BITS

NOW = datetime(2026, 1, 31, 9, 0, tzinfo=UTC)
CLIENT = "acme.reporting0123456"
AUDIENCE = "https://id.example.com"
KEYS: dict[str, ECKey | OKPKey | RSAKey] = {
    "ES256": ECKey.generate_key("P-256"),
    "ES384": ECKey.generate_key("P-384"),
    "EdDSA": OKPKey.generate_key("Ed25519"),
    "Ed25519": OKPKey.generate_key("Ed25519"),
    "RS256": RSAKey.generate_key(2048),
}
KEY = KEYS["ES256"]


RSA_4096 = RSAKey.generate_key(4096)


def claims(**changes: Any) -> dict[str, Any]:
    now = int(NOW.timestamp())
    content = {"iss": CLIENT, "sub": CLIENT, "aud": AUDIENCE, "exp": now + 60, "iat": now, "jti": "once", **changes}
    return {name: value for name, value in content.items() if value is not None}


def signed(content: dict[str, Any], key: Any = KEY, algorithm: str = "ES256", **header: Any) -> str:
    return jws.serialize_compact(
        {"alg": algorithm, **header}, json.dumps(content).encode(), key, algorithms=[algorithm]
    )


def stored(*keys: Any) -> dict[str, Any]:
    return client_assertions.read_keys({"keys": [key.as_dict(private=False) for key in keys]})


def verify(text: str, keys: dict[str, Any] | None = None) -> client_assertions.Assertion:
    return client_assertions.verify(text, CLIENT, keys or stored(KEY), frozenset({AUDIENCE}), NOW)


@pytest.mark.parametrize("algorithm", KEYS)
def test_an_assertion_is_believed_by_the_key_that_the_client_has(algorithm: str) -> None:
    key = KEYS[algorithm]
    said = verify(signed(claims(), key, algorithm), stored(key))
    assert (said.client_id, said.id) == (CLIENT, "once")
    assert said.expires_at == NOW + timedelta(seconds=60 + LEEWAY)
    assert client_assertions.claimed_client(signed(claims(), key, algorithm)) == CLIENT


def test_of_several_keys_the_header_names_one() -> None:
    keys = stored(KEY, KEYS["RS256"])
    [own, other] = [one["kid"] for one in keys["keys"]]
    assert verify(signed(claims(), kid=own), keys).id == "once"
    for header in ({}, {"kid": other}, {"kid": "unknown"}, {"kid": 7}):
        with pytest.raises(UnauthorizedError):
            verify(signed(claims(), **header) if header != {"kid": 7} else forged({"alg": "ES256", "kid": 7}), keys)


def forged(header: dict[str, Any]) -> str:
    """A token with a header that libraries would not make, and any signature."""

    def part(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

    return ".".join([part(json.dumps(header).encode()), part(json.dumps(claims()).encode()), part(b"signature")])


NOW_S = int(NOW.timestamp())


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "acme.other"}, {"iss": None}, {"sub": "acme.other"}, {"sub": None},
        {"aud": "https://elsewhere.example.com"}, {"aud": None}, {"aud": []}, {"aud": [7, AUDIENCE]}, {"aud": {}},
        {"aud": [AUDIENCE, "https://elsewhere.example.com"]},
        {"exp": None}, {"exp": NOW_S - LEEWAY - 1}, {"exp": NOW_S + MAX_LIFETIME + LEEWAY + 1}, {"exp": True},
        {"exp": "soon"}, {"exp": 1e300}, {"nbf": NOW_S + LEEWAY + 1}, {"iat": NOW_S + LEEWAY + 1}, {"iat": "now"},
        {"jti": None}, {"jti": ""}, {"jti": "x" * 257}, {"jti": 7}, {"jti": "\0"}, {"jti": "\ud800"}, {"jti": "é"},
    ],
)  # fmt: skip
def test_an_assertion_that_says_anything_else_is_not_believed(changes: dict[str, Any]) -> None:
    with pytest.raises(UnauthorizedError):
        verify(signed(claims(**changes)))


def test_the_audience_may_be_a_list_of_names_of_ours() -> None:
    ours = frozenset({AUDIENCE, f"{AUDIENCE}/oauth2/token"})
    for audience in ([AUDIENCE], sorted(ours)):
        assert client_assertions.verify(signed(claims(aud=audience)), CLIENT, stored(KEY), ours, NOW).id == "once"


def test_nobody_elses_signature_counts_nor_another_algorithm() -> None:
    start = forged({"alg": "HS256"}).rpartition(".")[0]
    by_public_key = hmac.new(KEY.as_pem(private=False), start.encode(), hashlib.sha256).digest()
    for text in (
        signed(claims(), ECKey.generate_key("P-256")),
        f"{start}.{base64.urlsafe_b64encode(by_public_key).rstrip(b'=').decode()}",
        signed(claims(), KEYS["RS256"], "RS256"),
        forged({"alg": "none"}),
        forged({"alg": "ES256", "jwk": KEY.as_dict(private=False)}),
        forged({"alg": ["ES256"]}),
        forged({}),
        signed(claims()).rpartition(".")[0] + ".",
        "no.token.at-all",
        "",
    ):
        with pytest.raises(UnauthorizedError):
            verify(text)


def test_extensions_that_must_be_known_are_not() -> None:
    content = b'{"iss":"%b","sub":"%b"}' % (CLIENT.encode(), CLIENT.encode())
    with pytest.raises(UnauthorizedError):
        verify(jws.serialize_compact({"alg": "ES256", "crit": ["b64"], "b64": True}, content, KEY))


@pytest.mark.parametrize(
    "text", ["", "a.b", "a.b.c", "é.é.é", "x" * 9000, signed(claims(sub=None)), signed(claims(sub=7))]
)
def test_what_names_no_client_is_nobodys(text: str) -> None:
    with pytest.raises(UnauthorizedError):
        client_assertions.claimed_client(text)


def test_keys_are_kept_without_what_is_not_theirs_and_with_a_name() -> None:
    sent = {**KEY.as_dict(private=False), "use": "sig", "alg": "ES256", "note": "ours"}
    [kept] = client_assertions.read_keys({"keys": [sent]})["keys"]
    assert kept["kid"] == KEY.thumbprint()
    assert {"kty", "crv", "x", "y", "kid"} <= kept.keys()


PUBLIC = KEY.as_dict(private=False)


@pytest.mark.parametrize(
    "sent",
    [
        None, [], {}, {"keys": []}, {"keys": {}}, {"keys": ["key"]}, {"keys": [{}]}, {"keys": [{"kty": "EC"}]},
        {"keys": [PUBLIC] * 11}, {"keys": [PUBLIC, PUBLIC]}, {"keys": [{**PUBLIC, "use": "enc"}]},
        {"keys": [{**PUBLIC, "alg": "HS256"}]}, {"keys": [{**PUBLIC, "kid": ""}]}, {"keys": [{**PUBLIC, "kid": "é"}]},
        {"keys": [{**PUBLIC, "x": "AAAA"}]}, {"keys": [{**PUBLIC, "crv": "secp256k1"}]},
        {"keys": [RSAKey.generate_key(1024).as_dict(private=False)]},
        {"keys": [OKPKey.generate_key("X25519").as_dict(private=False)]},
    ],
)  # fmt: skip
def test_keys_that_cannot_be_used_are_refused(sent: Any) -> None:
    with pytest.raises(BadRequestError):
        client_assertions.read_keys(sent)


@pytest.mark.parametrize("key", [*KEYS.values(), OctKey.generate_key(256)], ids=lambda key: str(key.key_type))
def test_a_key_that_is_not_public_is_refused_by_name(key: Any) -> None:
    with pytest.raises(BadRequestError, match="private or secret"):
        client_assertions.read_keys({"keys": [key.as_dict(private=True)]})


def test_a_key_that_names_its_algorithm_verifies_by_no_other() -> None:
    key = KEYS["RS256"]
    keys = client_assertions.read_keys({"keys": [{**key.as_dict(private=False), "alg": "PS256"}]})
    assert verify(signed(claims(), key, "PS256"), keys).id == "once"
    with pytest.raises(UnauthorizedError):
        verify(signed(claims(), key, "RS256"), keys)
    assert verify(signed(claims(), key, "RS256"), stored(key)).id == "once"


def test_a_key_that_was_stored_by_wider_rules_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    key = RSAKey.generate_key(LEAST_RSA_BITS)
    keys, text = stored(key), signed(claims(), key, "RS256")
    assert verify(text, keys).id == "once"
    monkeypatch.setattr(public_keys, "LEAST_RSA_BITS", LEAST_RSA_BITS + 1)
    with pytest.raises(UnauthorizedError):
        verify(text, keys)


def test_a_stored_key_for_which_anybody_can_sign_verifies_nothing() -> None:
    constant = bytes([1]) + bytes(63)  # R is the neutral point and S is 0
    for encoded in SMALL_ORDER_KEYS:
        keys = {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": base64url(encoded), "kid": "weak"}]}
        for number in range(32):  # of order 8 it verifies one message in eight
            start = ".".join(
                base64url(json.dumps(part).encode()) for part in ({"alg": "Ed25519"}, claims(jti=str(number)))
            )
            with pytest.raises(UnauthorizedError):
                verify(f"{start}.{base64url(constant)}", keys)


def test_a_stored_rsa_key_that_is_easily_factored_verifies_nothing() -> None:
    assert RSA_4096.private_key is not None
    prime = RSA_4096.private_key.private_numbers().p
    keys = {"keys": [{"kty": "RSA", "n": base64url_number(3 * prime), "e": "AQAB", "kid": "weak"}]}
    start = ".".join(base64url(json.dumps(part).encode()) for part in ({"alg": "RS256"}, claims()))
    size = ((3 * prime).bit_length() + 7) // 8
    digest_info = bytes.fromhex("3031300d060960864801650304020105000420") + hashlib.sha256(start.encode()).digest()
    padded = b"\0\1" + b"\xff" * (size - len(digest_info) - 3) + b"\0" + digest_info
    signature = pow(int.from_bytes(padded), pow(65537, -1, prime - 1), 3 * prime).to_bytes(size)
    with pytest.raises(UnauthorizedError):
        verify(f"{start}.{base64url(signature)}", keys)
