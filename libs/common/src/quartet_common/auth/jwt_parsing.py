"""JWT parsing: strict about RFC 7515 section 3.1, so that no other reader can understand a token differently."""

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
    """The header of `token`, not yet verified. Raises UnauthorizedError("malformed") unless the token is three parts of
    base64url without padding, the first of them a JSON object.
    """
    parts = token.split(".")
    if len(parts) != 3:
        raise UnauthorizedError(MALFORMED)
    header, _, _ = (_decoded(part) for part in parts)
    return members_of(header)


def payload_of(token: str, key: ECKey, algorithm: str) -> dict[str, Any]:
    """The verified claims of `token`, after `header_of`; uses only `key`, never a key in the token. Raises
    UnauthorizedError.
    """
    try:
        found = jws.deserialize_compact(token, key, algorithms=[algorithm])
    except (JoseError, ValueError, TypeError) as error:
        raise UnauthorizedError("bad_signature") from error
    return members_of(found.payload)


def warm_up() -> None:
    """Verify a signature once: the first verification imports and builds objects, which takes 100 ms."""
    key = ECKey.generate_key("P-256")
    payload_of(jws.serialize_compact({"alg": "ES256"}, b"{}", key), key, "ES256")


def members_of(text: bytes) -> dict[str, Any]:
    """The JSON object in `text`. Raises UnauthorizedError("malformed") also for a duplicate member (RFC 7515 section 4:
    readers differ in which one they take) and for invalid numbers (NaN, 1e999).
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
    if urlsafe_b64encode(decoded).rstrip(b"=").decode() != part:  # another alphabet, white space, non-zero padding bits
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
