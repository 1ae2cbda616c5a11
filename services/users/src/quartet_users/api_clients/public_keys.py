"""Public keys of clients: checks that refuse weak keys; no I/O."""

import math
from collections.abc import Sequence

from joserfc.jwk import ECKey, OKPKey, RSAKey

LEAST_RSA_BITS = 2048
MOST_RSA_BITS = 8192
LEAST_EXPONENT = 3
MOST_EXPONENT = 2**32
"""Upper limit of a public exponent: with a large one, the verification of each signature takes long."""
LEAST_FACTOR = 752
"""A modulus must have no factor below it (NIST SP 800-89 section 5.3.3)."""
CURVES = {"P-256": ("ES256",), "P-384": ("ES384",), "P-521": ("ES512",), "Ed25519": ("Ed25519", "EdDSA")}
"""The algorithms (`alg`) of keys on these curves; RFC 9864 has a new name for EdDSA."""
RSA = ("PS256", "RS256")
ALGORITHMS = ("ES256", "ES384", "ES512", "Ed25519", "EdDSA", *RSA)
"""The algorithms of assertions, all asymmetric: only the client knows the private key."""
FIELD = 2**255 - 19
"""The prime of Curve25519 (RFC 7748 section 4.1)."""
CURVE_D = -121665 * pow(121666, -1, FIELD) % FIELD
"""The constant d of edwards25519 (RFC 8032 section 5.1)."""
ORDER_8 = 2707385501144840649318225287225658788936804267575313519463743609750303402022
"""The y of two points of order 8; the other two have its negative."""
SMALL_ORDER = frozenset({0, 1, FIELD - 1, ORDER_8, FIELD - ORDER_8})
"""The y of the eight points of order 1, 2, 4 or 8, for which one constant signature verifies many messages."""
SMALL_FACTORS = math.prod(n for n in range(2, LEAST_FACTOR) if all(n % m for m in range(2, math.isqrt(n) + 1)))

PublicKey = ECKey | RSAKey | OKPKey


def algorithms_of(key: PublicKey) -> Sequence[str]:
    """The algorithms (`alg`) that signatures of `key` may have.

    Raises ValueError for an unsupported kind of key and for a weak key, for which others than its owner could sign.
    """
    if isinstance(key, RSAKey):
        numbers = key.public_key.public_numbers()
        _require_sound_rsa(numbers.n, numbers.e)
        return RSA
    curve = str(key.as_dict(private=False).get("crv"))
    if curve not in CURVES:
        raise ValueError(f"the curve must be one of {', '.join(CURVES)}, got {curve[:32]}")
    if isinstance(key, OKPKey):
        _require_sound_ed25519(key.public_key.public_bytes_raw())
    return CURVES[curve]


def _require_sound_rsa(modulus: int, exponent: int) -> None:
    """Raises ValueError for an RSA key that is too small, too slow to verify, or easily factored."""
    bits = modulus.bit_length()
    if not LEAST_RSA_BITS <= bits <= MOST_RSA_BITS:
        raise ValueError(f"an RSA modulus must have {LEAST_RSA_BITS} to {MOST_RSA_BITS} bits, got {bits}")
    if not LEAST_EXPONENT <= exponent < MOST_EXPONENT or exponent % 2 == 0:
        raise ValueError(f"an RSA exponent must be odd, at least {LEAST_EXPONENT} and below {MOST_EXPONENT}; use 65537")
    if math.gcd(modulus, SMALL_FACTORS) != 1 or math.isqrt(modulus) ** 2 == modulus:
        raise ValueError(f"an RSA modulus must be odd, not a square, and have no factor below {LEAST_FACTOR}")


def _require_sound_ed25519(encoded: bytes) -> None:
    """Raises ValueError for 32 bytes that encode no point (RFC 8032 section 5.1.3), or one of small order."""
    y = int.from_bytes(encoded, "little") & (2**255 - 1)
    if y % FIELD in SMALL_ORDER:
        raise ValueError("an Ed25519 key must not be a point of small order, for which signatures can be forged")
    x_squared = (y * y - 1) * pow(CURVE_D * y * y + 1, -1, FIELD) % FIELD
    if y >= FIELD or pow(x_squared, (FIELD - 1) // 2, FIELD) != 1:
        raise ValueError("an Ed25519 key must be the canonical encoding of a point of the curve")
