"""Public keys of clients: those by which others than the owner could sign are refused, with the bounds in the error."""

from typing import Any

import pytest
from joserfc.jwk import OKPKey, RSAKey

from quartet_common.core.errors import BadRequestError
from quartet_testing.weak_keys import SMALL_ORDER_KEYS, base64url, base64url_number
from quartet_users.api_clients.client_assertions import read_keys
from quartet_users.api_clients.public_keys import CURVE_D, FIELD, MOST_RSA_BITS, ORDER_8, SMALL_ORDER

MODULUS = RSAKey.generate_key(2048).public_key.public_numbers().n


def ed25519(encoded: bytes) -> dict[str, Any]:
    return {"kty": "OKP", "crv": "Ed25519", "x": base64url(encoded)}


def rsa(modulus: int, exponent: int = 65537) -> dict[str, Any]:
    return {"kty": "RSA", "n": base64url_number(modulus), "e": base64url_number(exponent)}


def doubled(x: int, y: int) -> tuple[int, int]:
    """Twice a point of edwards25519 (RFC 8032 section 5.1.4, in affine coordinates)."""
    product = CURVE_D * x * x * y * y % FIELD
    return (
        2 * x * y * pow(1 + product, -1, FIELD) % FIELD,
        (y * y + x * x) * pow(1 - product, -1, FIELD) % FIELD,
    )


def test_the_point_of_order_8_is_one() -> None:
    x_squared = (ORDER_8**2 - 1) * pow(CURVE_D * ORDER_8**2 + 1, -1, FIELD) % FIELD
    x = pow(x_squared, (FIELD + 3) // 8, FIELD)
    x = x if x * x % FIELD == x_squared else x * pow(2, (FIELD - 1) // 4, FIELD) % FIELD
    assert x * x % FIELD == x_squared
    assert doubled(*doubled(x, ORDER_8)) == (0, FIELD - 1)
    assert len(SMALL_ORDER) == 5


@pytest.mark.parametrize("encoded", SMALL_ORDER_KEYS, ids=bytes.hex)
def test_a_point_of_small_order_is_refused(encoded: bytes) -> None:
    with pytest.raises(BadRequestError, match=r"keys\[0\].*small order"):
        read_keys({"keys": [ed25519(encoded)]})


def test_what_encodes_no_point_of_the_curve_is_refused() -> None:
    not_canonical = (FIELD + 3).to_bytes(32, "little")
    not_on_the_curve = (2).to_bytes(32, "little")
    for encoded in (not_canonical, not_on_the_curve):
        with pytest.raises(BadRequestError, match="canonical encoding of a point"):
            read_keys({"keys": [ed25519(encoded)]})


def test_generated_keys_are_taken() -> None:
    for _ in range(20):
        assert read_keys({"keys": [OKPKey.generate_key("Ed25519").as_dict(private=False)]})
    for exponent in (3, 65537, 2**32 - 1):
        assert read_keys({"keys": [rsa(MODULUS, exponent)]})


@pytest.mark.parametrize(
    ("key", "bounds"),
    [
        (rsa(15, 3), "2048 to 8192 bits, got 4"),
        (rsa(MODULUS >> 1024 | 1), "2048 to 8192 bits, got 1024"),
        (rsa(2**MOST_RSA_BITS + 1), "2048 to 8192 bits, got 8193"),
        (rsa(MODULUS - 1), "odd, not a square, and have no factor below 752"),
        (rsa(MODULUS * 2), "odd, not a square, and have no factor below 752"),
        (rsa(MODULUS * 751), "odd, not a square, and have no factor below 752"),
        (rsa(MODULUS * MODULUS), "odd, not a square"),
        (rsa(MODULUS, 2**32 + 1), "at least 3 and below 4294967296"),
        (rsa(MODULUS, 1), "e must be >= 3"),
        (rsa(MODULUS, 65536), "e must be odd"),
    ],
)
def test_an_rsa_key_that_is_weak_or_costly_is_refused_with_its_bounds(key: dict[str, Any], bounds: str) -> None:
    with pytest.raises(BadRequestError, match=bounds):
        read_keys({"keys": [key]})
