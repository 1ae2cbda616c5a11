"""Compact: reads signed JWTs (RFC 7515 section 3.1) to the letter: no two readers may understand one differently."""

import binascii
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any, NoReturn

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from quartet_common.core.errors import UnauthorizedError

MALFORMED = "malformed"


def header_of(token: str) -> dict[str, Any]:
    """The header of `token`, not yet believed. Raises UnauthorizedError("malformed") unless the token is three parts of
    base64url without padding, the first of them a JSON object.
    """
    parts = token.split(".")
    if len(parts) != 3:
        raise UnauthorizedError(MALFORMED)
    header, _, _ = (_decoded(part) for part in parts)
    return members_of(header)


def payload_of(token: str, key: ECKey, algorithm: str) -> dict[str, Any]:
    """The claims of `token`, which `header_of` has read, once the signature by `key` has been checked; keys that the
    token brings along are not looked at. Raises UnauthorizedError.
    """
    try:
        found = jws.deserialize_compact(token, key, algorithms=[algorithm])
    except (JoseError, ValueError, TypeError) as error:
        raise UnauthorizedError("bad_signature") from error
    return members_of(found.payload)


def warm_up() -> None:
    """Check a signature once: the first check imports and builds what all others use, which takes 100 ms."""
    key = ECKey.generate_key("P-256")
    payload_of(jws.serialize_compact({"alg": "ES256"}, b"{}", key), key, "ES256")


def members_of(text: bytes) -> dict[str, Any]:
    """The JSON object in `text`. Raises UnauthorizedError("malformed") also where a member occurs twice (RFC 7515
    section 4: some readers take the first, others the last) or a number is none (NaN, 1e999).
    """
    try:
        found = json.loads(text.decode(), object_pairs_hook=_unique, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise UnauthorizedError(MALFORMED) from error
    if not isinstance(found, dict):
        raise UnauthorizedError(MALFORMED)
    return found


def _decoded(part: str) -> bytes:
    try:
        decoded = urlsafe_b64decode(part.encode("ascii") + b"=" * (-len(part) % 4))
    except (binascii.Error, ValueError) as error:
        raise UnauthorizedError(MALFORMED) from error
    if urlsafe_b64encode(decoded).rstrip(b"=").decode() != part:  # another alphabet, white space, spare bits
        raise UnauthorizedError(MALFORMED)
    return decoded


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member occurs twice")
    return found


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not valid JSON")


def _finite(text: str) -> float:
    number = float(text)
    if number - number != 0:
        raise ValueError("a number is too large")
    return number
