"""Assertions of clients (RFC 7523): which are believed, and each way in which one is not."""

import base64
import hmac
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from quartet_common.errors import BadRequestError, UnauthorizedError
from quartet_users import assertions
from quartet_users.assertions import LEEWAY, LONGEST_LIFE, MAX_ID, MAX_KEYS, MAX_LENGTH, Assertion

CLIENT = "acme.aaaaaaaaaaaaaaaa"
ISSUER = "https://id.example.com"
AUDIENCES = frozenset({ISSUER, f"{ISSUER}/oauth2/token"})
NOW = datetime(2026, 1, 31, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
Key = ECKey | RSAKey | OKPKey

P256 = ECKey.generate_key("P-256")
RSA = RSAKey.generate_key(2048)
ED25519 = OKPKey.generate_key("Ed25519")
KEYS: dict[str, Key] = {
    "ES256": P256,
    "ES384": ECKey.generate_key("P-384"),
    "ES512": ECKey.generate_key("P-521"),
    "EdDSA": ED25519,
    "Ed25519": ED25519,
    "PS256": RSA,
    "RS256": RSA,
}


def public(*keys: Key) -> dict[str, Any]:
    """Keys as a client registers them."""
    return assertions.read_keys({"keys": [key.as_dict(private=False) for key in keys]})


def claims(**more: Any) -> dict[str, Any]:
    """What a good assertion says, and more; None leaves a claim out."""
    good = {"iss": CLIENT, "sub": CLIENT, "aud": ISSUER, "exp": SECONDS + 60, "iat": SECONDS, "jti": "one"}
    return {name: value for name, value in {**good, **more}.items() if value is not None}


def sign(body: dict[str, Any] | bytes, key: Any = P256, algorithm: str = "ES256", **header: Any) -> str:
    payload = body if isinstance(body, bytes) else json.dumps(body).encode()
    return jws.serialize_compact({"alg": algorithm, **header}, payload, key, algorithms=[algorithm])


def by_hand(header: dict[str, Any], signature: str = "", **more: Any) -> str:
    """An assertion that no library would make."""
    parts = [json.dumps(one).encode() for one in (header, claims(**more))]
    encoded = [base64.urlsafe_b64encode(one).rstrip(b"=").decode() for one in parts]
    return ".".join([*encoded, signature])


def verify(text: str, jwks: dict[str, Any] | None = None) -> Assertion:
    return assertions.verify(text, CLIENT, jwks or public(P256), AUDIENCES, NOW)


def reason(text: str, jwks: dict[str, Any] | None = None) -> str:
    """Why an assertion is refused."""
    with pytest.raises(UnauthorizedError) as caught:
        verify(text, jwks)
    return caught.value.reason


@pytest.mark.parametrize("algorithm", KEYS)
def test_each_kind_of_key_signs_what_is_believed(algorithm: str) -> None:
    key = KEYS[algorithm]
    found = verify(sign(claims(), key, algorithm), public(key))
    assert (found.client_id, found.id) == (CLIENT, "one")
    assert found.expires_at.timestamp() == SECONDS + 60 + LEEWAY


def test_there_is_no_algorithm_that_is_not_tried_here() -> None:
    assert set(assertions.ALGORITHMS) == set(KEYS)


@pytest.mark.parametrize("audience", [*AUDIENCES, [ISSUER], ["https://else.example.com", ISSUER]])
def test_it_is_meant_for_the_issuer_or_its_token_endpoint(audience: Any) -> None:
    assert verify(sign(claims(aud=audience))).id == "one"


def test_the_key_is_the_one_that_kid_names_and_needs_no_name_where_there_is_one() -> None:
    other = ECKey.generate_key("P-256")
    both = public(P256, other)
    names = [key["kid"] for key in both["keys"]]
    assert verify(sign(claims(), kid=names[0]), both).id == "one"
    assert reason(sign(claims(), kid=names[1]), both) == "bad_assertion"
    assert reason(sign(claims(), kid="unknown"), both) == "bad_assertion"
    assert reason(sign(claims(), kid="unknown")) == "bad_assertion"
    assert reason(sign(claims()), both) == "bad_assertion"


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"iss": None}, "bad_assertion"),
        ({"iss": "acme.bbbbbbbbbbbbbbbb"}, "bad_assertion"),
        ({"sub": None}, "bad_assertion"),
        ({"sub": "acme.bbbbbbbbbbbbbbbb"}, "bad_assertion"),
        ({"sub": [CLIENT]}, "bad_assertion"),
        ({"aud": None}, "bad_assertion_audience"),
        ({"aud": "https://id.example.org"}, "bad_assertion_audience"),
        ({"aud": f"{ISSUER}/"}, "bad_assertion_audience"),
        ({"aud": []}, "bad_assertion_audience"),
        ({"aud": [ISSUER, 7]}, "bad_assertion_audience"),
        ({"aud": {"a": ISSUER}}, "bad_assertion_audience"),
        ({"exp": None}, "bad_assertion"),
        ({"exp": "2099-01-01"}, "bad_assertion"),
        ({"exp": True}, "bad_assertion"),
        ({"exp": SECONDS - LEEWAY}, "expired_assertion"),
        ({"exp": SECONDS + LONGEST_LIFE + LEEWAY + 1}, "expired_assertion"),
        ({"exp": 1e308}, "bad_assertion"),
        ({"exp": -(2**70)}, "bad_assertion"),
        ({"nbf": SECONDS + LEEWAY + 1}, "expired_assertion"),
        ({"nbf": "now"}, "bad_assertion"),
        ({"iat": SECONDS + LEEWAY + 1}, "expired_assertion"),
        ({"jti": None}, "bad_assertion"),
        ({"jti": ""}, "bad_assertion"),
        ({"jti": 7}, "bad_assertion"),
        ({"jti": "a\0b"}, "bad_assertion"),
        ({"jti": "é"}, "bad_assertion"),
        ({"jti": "x" * (MAX_ID + 1)}, "bad_assertion"),
    ],
)
def test_a_signed_assertion_that_says_something_else_is_refused(more: dict[str, Any], why: str) -> None:
    assert reason(sign(claims(**more))) == why


def test_times_may_be_at_the_edge() -> None:
    for more in ({"exp": SECONDS - LEEWAY + 1}, {"exp": SECONDS + LONGEST_LIFE}, {"nbf": SECONDS + LEEWAY}):
        assert verify(sign(claims(**more))).id == "one"


def test_a_signature_of_another_key_or_over_another_text_is_refused() -> None:
    assert reason(sign(claims(), ECKey.generate_key("P-256"))) == "bad_assertion"
    head, _, signature = sign(claims()).split(".")
    other = sign(claims(jti="two")).split(".")[1]
    assert reason(f"{head}.{other}.{signature}") == "bad_assertion"
    assert reason(f"{head}.{other}.") == "bad_assertion"


@pytest.mark.parametrize("name", ["none", "None", "nOnE", ""])
def test_no_signature_at_all_is_refused(name: str) -> None:
    assert reason(by_hand({"alg": name})) == "bad_assertion"


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_a_public_key_is_no_shared_secret(algorithm: str) -> None:
    """The attack by which a verifier takes the public key's text for the key of an HMAC."""
    for text in (RSA.as_pem(private=False), json.dumps(RSA.as_dict(private=False)).encode()):
        unsigned = by_hand({"alg": algorithm})[:-1]
        mac = hmac.digest(text, unsigned.encode(), f"sha{algorithm[2:]}")
        forged = f"{unsigned}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"
        assert reason(forged, public(RSA)) == "bad_assertion"


@pytest.mark.parametrize(("algorithm", "key"), [("ES384", P256), ("RS256", P256), ("EdDSA", P256), ("ES256", RSA)])
def test_an_algorithm_that_is_not_the_keys_is_refused(algorithm: str, key: Key) -> None:
    signature = sign(claims()).split(".")[2]
    assert reason(by_hand({"alg": algorithm}, signature), public(key)) == "bad_assertion"


def test_weaker_algorithms_of_a_key_are_refused() -> None:
    for algorithm in ("RS384", "PS512"):
        assert reason(sign(claims(), RSA, algorithm), public(RSA)) == "bad_assertion"


def test_a_key_that_comes_with_the_assertion_is_not_used() -> None:
    stranger = ECKey.generate_key("P-256")
    for header in ({"jwk": stranger.as_dict(private=False)}, {"jku": "https://evil.example.com/jwks"}):
        assert reason(by_hand({"alg": "ES256", **header}, sign(claims(), stranger).split(".")[2])) == "bad_assertion"


def test_extensions_that_must_be_understood_are_not() -> None:
    head = {"alg": "ES256", "crit": ["b64"], "b64": True}
    assert reason(by_hand(head, sign(claims()).split(".")[2])) == "bad_assertion"


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{", b"\xff", b'{"sub": "a", "sub": "b"}'])
def test_what_is_signed_must_be_an_object(body: bytes) -> None:
    text = sign(body)
    assert reason(text) in ("bad_assertion", "malformed")
    with pytest.raises(UnauthorizedError):
        assertions.claimed_client(text)


@pytest.mark.parametrize("text", ["", ".", "..", "a.b", "a.b.c", "a.b.c.d", "é.é.é", "x" * (MAX_LENGTH + 1), "\0"])
def test_what_is_no_assertion_says_nothing(text: str) -> None:
    with pytest.raises(UnauthorizedError):
        assertions.claimed_client(text)


def test_an_assertion_says_whose_it_is_before_it_is_believed() -> None:
    assert assertions.claimed_client(sign(claims())) == CLIENT
    with pytest.raises(UnauthorizedError):
        assertions.claimed_client(sign(claims(sub=7)))


def test_keys_are_kept_without_what_is_not_needed_and_each_has_a_name() -> None:
    sent = {**P256.as_dict(private=False), "use": "sig", "alg": "ES256", "key_ops": ["verify"]}
    [kept] = assertions.read_keys({"keys": [sent]})["keys"]
    assert (kept["kid"], kept["kty"]) == (P256.thumbprint(), "EC")
    assert not {"d", "key_ops"} & kept.keys()
    assert public(P256)["keys"][0]["kid"] == P256.thumbprint()


@pytest.mark.parametrize("key", [P256, RSA, KEYS["EdDSA"], OctKey.generate_key(256)])
def test_a_private_key_is_refused_and_said_to_be_one(key: Any) -> None:
    with pytest.raises(BadRequestError, match="private or secret key") as caught:
        assertions.read_keys({"keys": [key.as_dict(private=True)]})
    secret = key.as_dict(private=True)
    assert all(secret[name] not in str(caught.value) for name in ("d", "k") if name in secret)


@pytest.mark.parametrize(
    "sent",
    [
        None,
        [],
        "keys",
        {},
        {"keys": []},
        {"keys": {}},
        {"keys": ["x"]},
        {"keys": [{}]},
        {"keys": [{"kty": "oct"}]},
        {"keys": [{"kty": "EC", "crv": "P-256"}]},
        {"keys": [{"kty": "EC", "crv": "P-256", "x": 7, "y": []}]},
        {"keys": [{**P256.as_dict(private=False), "x": "AAAA"}]},
        {"keys": [{**P256.as_dict(private=False), "use": "enc"}]},
        {"keys": [{**P256.as_dict(private=False), "alg": "ES384"}]},
        {"keys": [{**P256.as_dict(private=False), "alg": ["ES256"]}]},
        {"keys": [{**P256.as_dict(private=False), "kid": ""}]},
        {"keys": [{**P256.as_dict(private=False), "kid": 7}]},
        {"keys": [{**P256.as_dict(private=False), "kid": "x" * (MAX_ID + 1)}]},
        {"keys": [P256.as_dict(private=False)] * 2},
        {"keys": [P256.as_dict(private=False)] * (MAX_KEYS + 1)},
        {"keys": [ECKey.generate_key("secp256k1").as_dict(private=False)]},
        {"keys": [OKPKey.generate_key("X25519").as_dict(private=False)]},
        {"keys": [RSAKey.generate_key(1024).as_dict(private=False)]},
    ],
)
def test_keys_that_cannot_be_used_are_refused(sent: Any) -> None:
    with pytest.raises(BadRequestError) as caught:
        assertions.read_keys(sent)
    assert caught.value.code == "bad_jwks"
