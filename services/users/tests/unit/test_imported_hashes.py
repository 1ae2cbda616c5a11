"""Hashes of other systems: verified as those systems make them, and replaced."""

import hashlib
from base64 import b64encode

import bcrypt
import pytest

from quartet_users.passwords.imported_hashes import is_imported, verify
from quartet_users.passwords.password_hashing import Passwords

PASSWORD = "correct horse battery staple"
SALT = b"0123456789abcdef"


def encoded(data: bytes) -> str:
    return b64encode(data).decode().rstrip("=")


def pbkdf2(digest: str, password: str = PASSWORD) -> str:
    made = hashlib.pbkdf2_hmac(digest, password.encode(), SALT, 1000, 20)
    return f"$pbkdf2-{digest}$i=1000${encoded(SALT)}${encoded(made)}"


def scrypt(password: str = PASSWORD) -> str:
    made = hashlib.scrypt(password.encode(), salt=SALT, n=1 << 10, r=8, p=1, dklen=32)
    return f"$scrypt$ln=10,r=8,p=1${encoded(SALT)}${encoded(made)}"


HASHES = {
    "bcrypt": bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode(),
    "bcrypt of PHP": bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode().replace("$2b$", "$2y$"),
    "PBKDF2-SHA1": pbkdf2("sha1"),
    "PBKDF2-SHA256": pbkdf2("sha256"),
    "PBKDF2-SHA512": pbkdf2("sha512"),
    "scrypt": scrypt(),
}


@pytest.mark.parametrize("name", HASHES)
async def test_a_hash_verifies_its_password_only_and_is_to_be_replaced(name: str) -> None:
    passwords = Passwords()
    assert await passwords.verify(HASHES[name], PASSWORD, "acme")
    assert not await passwords.verify(HASHES[name], PASSWORD + "x", "acme")
    assert not await passwords.verify(HASHES[name], "", "acme")
    assert passwords.is_outdated(HASHES[name])


@pytest.mark.parametrize("kind", ["argon2id", "argon2i", "argon2d"])
def test_hashes_of_argon2_are_of_no_other_system(kind: str) -> None:
    assert not is_imported(f"${kind}$v=19$m=1024,t=1,p=1$c2FsdHNhbHQ$aGFzaA")


def test_bcrypt_uses_the_first_72_bytes() -> None:
    long = "x" * 100
    made = bcrypt.hashpw(long.encode()[:72], bcrypt.gensalt(4)).decode()
    assert verify(made, long)
    assert not verify(made, "x" * 71)


def test_a_password_fits_as_it_was_typed_and_in_our_form() -> None:
    assert verify(pbkdf2("sha256", "Ame\u0301lie"), "Ame\u0301lie")  # a system that hashed what was typed
    assert verify(pbkdf2("sha256", "Am\u00e9lie"), "Ame\u0301lie")


@pytest.mark.parametrize(
    "malformed",
    ["", "plain", "$5$salt$hash", "$2b$04$short", "$pbkdf2-sha256$i=x$AAAA$AAAA", "$pbkdf2-sha256$i=1$*$AAAA",
     "$scrypt$ln=3,r=8,p=1$AAAA$", "$unknown$i=1$AAAA$AAAA"],
)  # fmt: skip
def test_a_malformed_hash_fits_no_password(malformed: str) -> None:
    assert not verify(malformed, PASSWORD)
    assert not verify(malformed, "")


def test_a_password_that_is_no_text_is_wrong() -> None:
    assert not verify(HASHES["bcrypt"], "\ud800")
