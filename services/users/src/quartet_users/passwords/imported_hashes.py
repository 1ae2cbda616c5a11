"""Hashes of other systems that an import has stored: bcrypt, PBKDF2 and scrypt. They are replaced at the next login."""

import hashlib
import hmac
from base64 import b64decode
from collections.abc import Callable, Mapping

import bcrypt

from quartet_users.passwords.password_policy import normalise

BCRYPT = ("$2a$", "$2b$", "$2y$")
BCRYPT_BYTES = 72
"""Bytes of a password that bcrypt uses."""
SPARE = 32 * 1024 * 1024
"""Bytes that OpenSSL's scrypt may use above those of its cost."""


def is_imported(password_hash: str) -> bool:
    """Whether a hash has one of these schemes."""
    return password_hash.startswith((*BCRYPT, *(f"${scheme}$" for scheme in VERIFIERS)))


def verify(password_hash: str, password: str) -> bool:
    """Whether the hash is that of `password`, as it was typed or in the form in which we hash it; systems differ."""
    try:
        texts = dict.fromkeys((password, normalise(password)))
        return any(_verify(password_hash, text.encode()) for text in texts)
    except ValueError:  # a malformed hash, or a text that is not Unicode
        return False


def _verify(password_hash: str, password: bytes) -> bool:
    if password_hash.startswith(BCRYPT):
        return bcrypt.checkpw(password[:BCRYPT_BYTES], password_hash.encode())
    _, scheme, cost, salt, stored = password_hash.split("$")
    verified = VERIFIERS.get(scheme)
    if verified is None:
        return False
    expected = _decode(stored)
    settings = dict(part.split("=", 1) for part in cost.split(","))
    return hmac.compare_digest(verified(password, _decode(salt), settings, len(expected)), expected)


def _pbkdf2(digest: str) -> Callable[[bytes, bytes, Mapping[str, str], int], bytes]:
    def derive(password: bytes, salt: bytes, cost: Mapping[str, str], length: int) -> bytes:
        return hashlib.pbkdf2_hmac(digest, password, salt, int(cost["i"]), length)

    return derive


def _scrypt(password: bytes, salt: bytes, cost: Mapping[str, str], length: int) -> bytes:
    n, r, p = 1 << int(cost["ln"]), int(cost["r"]), int(cost["p"])
    return hashlib.scrypt(password, salt=salt, n=n, r=r, p=p, maxmem=128 * r * (n + p) + SPARE, dklen=length)


def _decode(text: str) -> bytes:
    return b64decode(text + "=" * (-len(text) % 4), validate=True)


VERIFIERS: Mapping[str, Callable[[bytes, bytes, Mapping[str, str], int], bytes]] = {
    "pbkdf2-sha1": _pbkdf2("sha1"),
    "pbkdf2-sha256": _pbkdf2("sha256"),
    "pbkdf2-sha512": _pbkdf2("sha512"),
    "scrypt": _scrypt,
}
"""How the hash of a password is made, by scheme."""
