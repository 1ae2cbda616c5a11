"""Percent-encoding (RFC 3986 section 2.1) and urlencoded forms, decoded at a cost that malformed input cannot raise.

urllib raises and catches an exception for each "%" without two hexadecimal digits.
"""

import re

_TRIPLET = re.compile(rb"%([0-9A-Fa-f]{2})")
_BYTES = {f"{first}{second}".encode(): bytes.fromhex(f"{first}{second}")
          for first in "0123456789abcdefABCDEF" for second in "0123456789abcdefABCDEF"}  # fmt: skip


def unquote(text: bytes) -> str:
    """`text` percent-decoded as UTF-8; invalid escapes stay, invalid UTF-8 becomes U+FFFD."""
    return _decoded(text).decode("utf-8", "replace")


def unquote_plus(text: bytes) -> str:
    """The same for a name or value of a form, in which "+" is a space."""
    return unquote(text.replace(b"+", b" "))


def parse_form(text: bytes) -> list[tuple[str, str]]:
    """The fields of a urlencoded form or query string, in order; a field without "=" has an empty value."""
    return [
        (unquote_plus(name), unquote_plus(value))
        for name, _, value in (field.partition(b"=") for field in text.split(b"&") if field)
    ]


def _decoded(text: bytes) -> bytes:
    return _TRIPLET.sub(lambda found: _BYTES[found[1]], text) if b"%" in text else text
