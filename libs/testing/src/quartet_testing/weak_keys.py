"""Public keys that no service may trust, for tests."""

import base64

FIELD = 2**255 - 19
SMALL_ORDER_KEYS = [
    (y | sign << 255).to_bytes(32, "little")
    for y in (
        0,
        1,
        2707385501144840649318225287225658788936804267575313519463743609750303402022,
        55188659117513257062467267217118295137698188065244968500265048394206261417927,
        FIELD - 1,
        FIELD,
        FIELD + 1,
    )
    for sign in (0, 1)
]
"""All 14 encodings of the eight points of small order of edwards25519, also those that are not canonical."""


def base64url(data: bytes) -> str:
    """`data` without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def base64url_number(value: int) -> str:
    """A positive number (RFC 7518 section 2)."""
    return base64url(value.to_bytes((value.bit_length() + 7) // 8))
