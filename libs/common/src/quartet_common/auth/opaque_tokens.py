"""Opaque tokens and secrets: random texts with a prefix, a tenant and a checksum."""

import hashlib
import re
import secrets
import string
import zlib

SCIM_TOKEN = "quartet_scim_"  # noqa: S105  # what such tokens begin with
REFRESH_TOKEN = "quartet_refresh_"  # noqa: S105  # what such tokens begin with
CLIENT_SECRET = "quartet_secret_"  # noqa: S105  # what such secrets begin with

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
RANDOM_LENGTH = 43
"""Characters of 5.95 bits: 256 bits."""
FAMILY_LENGTH = 22
"""The first of them, 131 bits, are common to a family of tokens; the others are 125 bits."""
CHECKSUM_LENGTH = 6
"""Characters that hold a CRC-32."""

MARK = "quartet_"
"""The prefixes."""
HIDDEN = "(hidden)"
ANYWHERE = re.compile(r"quartet_(?:scim|refresh|secret)_[0-9A-Za-z_-]*")
FORM = re.compile(r"([a-z0-9-]{1,63})_([0-9A-Za-z]{43})([0-9A-Za-z]{6})")


def make(prefix: str, tenant: str) -> str:
    """A new token of `tenant`: `<prefix><tenant>_<43 random characters><6 of checksum>`."""
    return _complete(f"{prefix}{tenant}_", RANDOM_LENGTH)


def make_next(family: str) -> str:
    """The next token of the same family, by `family_of`, as a token of `make`."""
    return _complete(family, RANDOM_LENGTH - FAMILY_LENGTH)


def family_of(token: str) -> str:
    """The common start of `token` and of all tokens that `make_next` makes after it. Unknown without one of them."""
    return token[: -(RANDOM_LENGTH - FAMILY_LENGTH + CHECKSUM_LENGTH)]


def tenant_of(prefix: str, token: str) -> str | None:
    """The tenant in `token`; None if `make` with `prefix` cannot have made it. Needs no query, and does not say whether
    the token is valid.
    """
    found = FORM.fullmatch(token, len(prefix)) if token.startswith(prefix) else None
    if found is None or _checksum(token[:-CHECKSUM_LENGTH]) != token[-CHECKSUM_LENGTH:]:
        return None
    return found.group(1)


def hide(text: str) -> str:
    """`text` with tokens and secrets hidden: some clients put them into URLs."""
    return ANYWHERE.sub(HIDDEN, text) if MARK in text else text


def digest(token: str) -> bytes:
    """The stored form of a token or a secret: its SHA-256. 256 random bits need no slow hash."""
    return hashlib.sha256(token.encode()).digest()


def _complete(begun: str, missing: int) -> str:
    body = begun + "".join(secrets.choice(ALPHABET) for _ in range(missing))
    return body + _checksum(body)


def _checksum(text: str) -> str:
    number = zlib.crc32(text.encode())
    digits = []
    for _ in range(CHECKSUM_LENGTH):
        number, digit = divmod(number, len(ALPHABET))
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))
