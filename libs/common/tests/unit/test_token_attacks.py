"""Tokens as an attacker writes them: whatever is sent, it is refused with a reason and never anything else happens."""

import json
import time
from base64 import urlsafe_b64encode
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey
from joserfc.jws import JWSRegistry

from quartet_common.auth.opaque_tokens import SCIM_TOKEN, make
from quartet_common.auth.principal import Principal
from quartet_common.auth.token_verifier import TokenVerifier
from quartet_common.core.errors import UnauthorizedError
from quartet_testing.examples import examples
from quartet_testing.tokens import KEY_ID, TokenFactory

ISSUER = "https://id.example.com"
FACTORY = TokenFactory(ISSUER)
FORGER = ECKey.generate_key("P-256")
GOOD = FACTORY.token("default", ["users:read"], exp=int(time.time()) + 3500)  # while the last test runs, too
HEADER, PAYLOAD, SIGNATURE = GOOD.split(".")

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
CLAIMS = ("iss", "aud", "sub", "client_id", "tenant", "scope", "iat", "exp", "nbf", "jti", "sid")


async def reason(token: str) -> str | None:
    """Why it is refused; None for a token that is taken."""
    try:
        await TokenVerifier(ISSUER, FACTORY.find_key).verify(token)
    except UnauthorizedError as refusal:
        return refusal.reason
    return None


def encoded(part: bytes) -> str:
    return urlsafe_b64encode(part).rstrip(b"=").decode()


def signed_bytes(header: bytes, payload: bytes, key: ECKey = FACTORY.key) -> str:
    """A token with a good signature over whatever bytes are given."""
    text = f"{encoded(header)}.{encoded(payload)}"
    return f"{text}.{encoded(JWSRegistry.algorithms['ES256'].sign(text.encode(), key))}"


def header(**more: Any) -> bytes:
    return json.dumps({"alg": "ES256", "typ": "at+jwt", "kid": KEY_ID, **more}).encode()


def claims(**changes: Any) -> dict[str, Any]:
    names = {"sub": "x", "client_id": "x", "tenant": "default", "scope": "users:read", "jti": "1"}
    now = int(time.time())
    return {"iss": ISSUER, "aud": "quartet", "iat": now, "exp": now + 60, **names, **changes}


async def test_what_the_attacks_are_made_of_is_taken_as_it_is() -> None:
    assert await reason(GOOD) is None
    assert await reason(signed_bytes(header(), json.dumps(claims()).encode())) is None


@pytest.mark.parametrize("name", ["jwk", "jku", "x5u", "x5c"])
async def test_a_key_that_comes_with_the_token_is_not_used(name: str) -> None:
    brought = {
        "jwk": FORGER.as_dict(private=False),
        "jku": "http://127.0.0.1:1/keys",
        "x5u": "http://127.0.0.1:1/certificate",
        "x5c": [encoded(FORGER.as_der(private=False))],
    }
    forged = signed_bytes(header(**{name: brought[name]}), json.dumps(claims()).encode(), FORGER)
    assert await reason(forged) == "bad_signature"


@pytest.mark.parametrize("value", [["exp"], ["b64"], [], "exp", None, 7])
async def test_what_must_be_understood_and_is_not_is_refused(value: Any) -> None:
    assert (
        await reason(signed_bytes(header(crit=value, b64=True), json.dumps(claims()).encode())) == "unknown_extension"
    )


@pytest.mark.parametrize("kid", [None, 7, [KEY_ID], {"kid": KEY_ID}, "", "../../etc/passwd", "' OR 1=1 --", "\x00"])
async def test_a_key_id_is_a_name_and_nothing_else(kid: Any) -> None:
    assert await reason(signed_bytes(header(kid=kid), json.dumps(claims()).encode())) == "unknown_key"


@pytest.mark.parametrize("typ", ["JWT", "", None, 7, ["at+jwt"], "logout+jwt", "at+jwt "])
async def test_a_token_for_something_else_is_refused(typ: Any) -> None:
    assert await reason(signed_bytes(header(typ=typ), json.dumps(claims()).encode())) == "wrong_algorithm_or_type"


@pytest.mark.parametrize("alg", ["none", "None", "", None, 7, ["ES256"], "es256", "HS256", "ES384", "EdDSA"])
async def test_another_algorithm_is_refused(alg: Any) -> None:
    token = signed_bytes(header(alg=alg), json.dumps(claims()).encode())
    assert await reason(token) == "wrong_algorithm_or_type"
    assert await reason(token.rpartition(".")[0] + ".") == "wrong_algorithm_or_type"


async def test_a_member_that_stands_twice_is_refused_in_the_header_and_in_the_claims() -> None:
    twice = b'{"alg": "none", "alg": "ES256", "typ": "at+jwt", "kid": "test"}'
    assert await reason(signed_bytes(twice, json.dumps(claims()).encode())) == "malformed"
    payload = json.dumps(claims()).encode()
    assert await reason(signed_bytes(header(), payload[:-1] + b', "tenant": "other"}')) == "malformed"
    nested = payload[:-1] + b', "more": {"a": 1, "a": 2}}'
    assert await reason(signed_bytes(header(), nested)) == "malformed"


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999", b"1" * 5000])
@pytest.mark.parametrize("name", ["iat", "exp", "nbf"])
async def test_a_number_that_is_none_is_refused(name: str, number: bytes) -> None:
    payload = json.dumps({key: value for key, value in claims().items() if key != name}).encode()
    assert await reason(signed_bytes(header(), payload[:-1] + b', "%b": %b}' % (name.encode(), number))) == "malformed"


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b"7", b"null", b'"text"', b"{", b"\xff\xfe", b"[" * 5000, b'{"a":' * 900]
)
async def test_claims_that_are_no_object_are_refused(payload: bytes) -> None:
    assert await reason(signed_bytes(header(), payload)) == "malformed"
    assert await reason(signed_bytes(payload, json.dumps(claims()).encode())) == "malformed"


@pytest.mark.parametrize(
    "token",
    [
        f"{GOOD}=",
        f"{HEADER}=.{PAYLOAD}.{SIGNATURE}",
        f" {GOOD}",
        f"{GOOD}\n",
        f"{HEADER}.{PAYLOAD[:8]}\t{PAYLOAD[8:]}.{SIGNATURE}",
        f"{HEADER}.{PAYLOAD}.{SIGNATURE}.",
        f"{HEADER}.{PAYLOAD}.{SIGNATURE}.{SIGNATURE}",
        f".{PAYLOAD}.{SIGNATURE}",
        f"{HEADER}.{PAYLOAD}",
        f"{GOOD},{GOOD}",
        f"{GOOD};",
        f"{GOOD}\u00e9",
        f"{GOOD}\ud800",
        f"{GOOD}\u200b",
        "\u0430" * 20,
        "\x00",
        "%2e%2e",
        "+/" * 10,
    ],
)
async def test_a_token_that_is_not_written_as_it_was_issued_is_refused(token: str) -> None:
    assert await reason(token) == "malformed"


async def test_no_other_spelling_of_a_signature_is_taken() -> None:
    """The last character of 64 bytes in base64url has four bits that mean nothing; only one of the 16 is right."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    group = alphabet.index(SIGNATURE[-1]) // 16 * 16
    others = [f"{GOOD[:-1]}{one}" for one in alphabet[group : group + 16] if one != SIGNATURE[-1]]
    assert {await reason(one) for one in others} == {"malformed"}
    assert len(others) == 15


@pytest.mark.parametrize("length", [0, 1, 63, 65, 70, 128])
async def test_a_signature_of_another_length_is_refused(length: int) -> None:
    assert await reason(f"{HEADER}.{PAYLOAD}.{encoded(bytes(length))}") == "bad_signature"


async def test_a_token_inside_a_token_is_not_looked_at() -> None:
    inner = signed_bytes(header(cty="JWT"), GOOD.encode())
    assert await reason(inner) == "malformed"


async def test_an_opaque_token_is_asked_for_only_when_it_was_copied_whole() -> None:
    asked: list[str] = []

    async def find(token: str) -> Principal | None:
        asked.append(token)
        return None

    verifier = TokenVerifier(ISSUER, FACTORY.find_key, find_opaque=find)
    token = make(SCIM_TOKEN, "acme")
    for changed in (token[:-1], token + "x", token.replace("acme", "acmf"), token.upper(), SCIM_TOKEN):
        with pytest.raises(UnauthorizedError):
            await verifier.verify(changed)
    assert asked == []
    with pytest.raises(UnauthorizedError) as refusal:
        await verifier.verify(token)
    assert (asked, refusal.value.reason) == ([token], "unknown_token")


@settings(max_examples=examples(300), deadline=None)
@given(st.one_of(st.text(), st.from_regex(r"[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*", fullmatch=True)))
async def test_any_text_is_refused_and_nothing_else_happens(text: str) -> None:
    assert await reason(text) is not None


@settings(max_examples=examples(300), deadline=None)
@given(st.dictionaries(st.sampled_from(("alg", "typ", "kid", "crit", "jwk", "x5c", "b64", "zip", "enc")), JSON))
async def test_any_header_is_refused_and_nothing_else_happens(changes: dict[str, Any]) -> None:
    token = signed_bytes(header(**changes), json.dumps(claims()).encode(), FORGER)
    assert await reason(token) is not None


@settings(max_examples=examples(300), deadline=None)
@given(st.dictionaries(st.sampled_from(CLAIMS), JSON, min_size=1))
async def test_any_claims_are_taken_or_refused_and_nothing_else_happens(changes: dict[str, Any]) -> None:
    token = signed_bytes(header(), json.dumps(claims(**changes)).encode())
    verifier = TokenVerifier(ISSUER, FACTORY.find_key)
    try:
        found = await verifier.verify(token)
    except UnauthorizedError:
        return
    assert (found.tenant, found.actor) == (claims(**changes)["tenant"], claims(**changes)["sub"])
    assert found.expires_at > time.time() - 10


@settings(max_examples=examples(200), deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.characters(codec="ascii"))
async def test_any_character_that_is_changed_spoils_a_token(place: int, character: str) -> None:
    changed = GOOD[:place] + character + GOOD[place + 1 :]
    assert (await reason(changed) is None) == (changed == GOOD)
