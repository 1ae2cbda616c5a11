"""Client assertions: client authentication by a signed JWT (private_key_jwt, RFC 7523)."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry

from quartet_common.auth.jwt_parsing import header_of, members_of
from quartet_common.core.errors import BadRequestError, UnauthorizedError
from quartet_users.api_clients.public_keys import PublicKey, algorithms_of

TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
MAX_LENGTH = 8192
MAX_KEYS = 10
MAX_LIFETIME = 3600
"""Seconds until `exp`, as common libraries set it; the `jti` is stored for as long."""
LEEWAY = 30
"""Tolerated error of a client's clock in seconds."""
LATEST = 2**40
"""Seconds since the epoch: an upper limit of all times."""
TIMES = {"exp": None, "nbf": 0, "iat": 0}
"""The times of an assertion with the defaults of optional ones."""
MAX_ID = 256
PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


@dataclass(frozen=True)
class Assertion:
    """A verified assertion; its `id` (`jti`) must not have been used before."""

    client_id: str
    id: str
    expires_at: datetime


def read_keys(sent: Any) -> dict[str, Any]:
    """The public keys of a client in the stored form (RFC 7517 section 5), each with a `kid`.

    Raises BadRequestError for invalid and for private keys.
    """
    keys = sent.get("keys") if isinstance(sent, dict) else None
    if not isinstance(keys, list) or not 1 <= len(keys) <= MAX_KEYS:
        raise _bad(f"must be an object whose keys are 1 to {MAX_KEYS} public keys")
    found = [_read_key(one, f"keys[{index}]") for index, one in enumerate(keys)]
    if len({one["kid"] for one in found}) != len(found):
        raise _bad("two keys have the same kid")
    return {"keys": found}


def claimed_client(text: str) -> str:
    """The client id (`sub`) of an assertion that is not verified yet. Raises UnauthorizedError."""
    if len(text) > MAX_LENGTH:
        raise UnauthorizedError("bad_assertion")
    header_of(text)
    try:
        claims = members_of(jws.extract_compact(text.encode()).payload)
    except (JoseError, ValueError) as error:
        raise UnauthorizedError("bad_assertion") from error
    subject = claims.get("sub")
    if not isinstance(subject, str):
        raise UnauthorizedError("bad_assertion")
    return subject


def verify(text: str, client_id: str, jwks: dict[str, Any], audiences: frozenset[str], now: datetime) -> Assertion:
    """Verify the assertion `text` of `client_id` (RFC 7523 section 3). It must have no `aud` but `audiences`: another
    recipient could use it here.

    Raises UnauthorizedError, whose reason is for the audit log only.
    """
    header = header_of(text)
    if "crit" in header:
        raise UnauthorizedError("bad_assertion")
    found, algorithm = _find_key(jwks, header.get("kid")), header.get("alg")
    if found is None or found.get("alg", algorithm) != algorithm:
        raise UnauthorizedError("bad_assertion")
    try:  # also for the key, which an earlier release may have stored by other rules
        key = _import(found)
        if algorithm not in algorithms_of(key):
            raise UnauthorizedError("bad_assertion")
        claims = members_of(jws.deserialize_compact(text, key, algorithms=[str(algorithm)]).payload)
    except (JoseError, ValueError, TypeError) as error:
        raise UnauthorizedError("bad_assertion") from error
    return _read_claims(claims, client_id, audiences, now.timestamp())


def _read_claims(claims: dict[str, Any], client_id: str, audiences: frozenset[str], now: float) -> Assertion:
    sent = claims.get("aud")
    meant = sent if isinstance(sent, list) else [sent]
    if claims.get("iss") != client_id or claims.get("sub") != client_id:
        raise UnauthorizedError("bad_assertion")
    if not all(isinstance(one, str) for one in meant) or not meant or not audiences.issuperset(meant):
        raise UnauthorizedError("bad_assertion_audience")
    expires, begins, issued = (_time(claims.get(name, default)) for name, default in TIMES.items())
    if expires + LEEWAY <= now or expires > now + MAX_LIFETIME + LEEWAY or max(begins, issued) > now + LEEWAY:
        raise UnauthorizedError("expired_assertion")
    identifier = claims.get("jti")
    if not isinstance(identifier, str) or not 0 < len(identifier) <= MAX_ID or not _is_plain(identifier):
        raise UnauthorizedError("bad_assertion")
    return Assertion(client_id, identifier, datetime.fromtimestamp(expires + LEEWAY, UTC))


def _time(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < LATEST:
        raise UnauthorizedError("bad_assertion")
    return value


def _find_key(jwks: dict[str, Any], key_id: object) -> dict[str, Any] | None:
    """The key with the `kid`; without one, the only key."""
    keys = [one for one in jwks["keys"] if key_id is None or one["kid"] == key_id]
    return keys[0] if len(keys) == 1 else None


def _read_key(sent: Any, where: str) -> dict[str, Any]:
    if not isinstance(sent, dict):
        raise _bad(f"{where} must be an object")
    if PRIVATE_MEMBERS & sent.keys():
        raise _bad(f"{where} is a private or secret key. Send the public key only, and stop using this private key")
    if sent.get("use", "sig") != "sig":
        raise _bad(f"{where} is not a signature key")
    try:
        key = _import(sent)
        algorithms = algorithms_of(key)
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise _bad(f"{where} cannot be used: {error}"[:300]) from None
    if sent.get("alg", algorithms[0]) not in algorithms:
        raise _bad(f"{where} cannot be used with its alg. Supported: {', '.join(algorithms)}")
    key_id = sent.get("kid", key.thumbprint())
    if not isinstance(key_id, str) or not 0 < len(key_id) <= MAX_ID or not _is_plain(key_id):
        raise _bad(f"{where}.kid must be a string of at most {MAX_ID} ASCII characters")
    named = {"alg": sent["alg"]} if "alg" in sent else {}  # the only algorithm then (RFC 8725 section 3.1)
    return {**key.as_dict(private=False), **named, "kid": key_id}


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _import(sent: dict[str, Any]) -> PublicKey:
    key = JWKRegistry.import_key({name: value for name, value in sent.items() if name not in ("key_ops", "use", "alg")})
    if not isinstance(key, PublicKey):
        raise ValueError("kty must be EC, RSA or OKP")  # no TypeError: the request is wrong, not the call
    return key


def _bad(rule: str) -> BadRequestError:
    return BadRequestError(f"jwks: {rule}.", "bad_jwks")
