"""Password hashes: each form that other systems write, checked by the algorithm itself; limits of costs."""

import base64
import hashlib
import re

import pytest
from argon2 import PasswordHasher

from quartet_directory_formats.password_hashes import canonical, read_password_hash
from quartet_directory_formats.records import InvalidRecordError

SALT = b"saltsaltsaltsalt"
DIGEST = hashlib.pbkdf2_hmac("sha256", b"password", SALT, 1000)
CANONICAL = f"$pbkdf2-sha256$i=1000${base64.b64encode(SALT).decode()[:-2]}${base64.b64encode(DIGEST).decode()[:-1]}"


def adapted(value: bytes) -> str:
    """Base64 as passlib and OpenLDAP write it."""
    return base64.b64encode(value).decode().rstrip("=").replace("+", ".")


@pytest.mark.parametrize(
    "text",
    [
        CANONICAL,
        f"$pbkdf2-sha256$1000${adapted(SALT)}${adapted(DIGEST)}",
        f"$pbkdf2-sha256$i=1000,l=32${adapted(SALT)}${adapted(DIGEST)}",
        f"pbkdf2_sha256$1000${SALT.decode()}${base64.b64encode(DIGEST).decode()}",
        f"pbkdf2:sha256:1000${SALT.decode()}${DIGEST.hex()}",
        f"{{PBKDF2-SHA256}}1000${adapted(SALT)}${adapted(DIGEST)}",
    ],
    ids=["canonical", "passlib", "PHC", "Django", "Werkzeug", "OpenLDAP"],
)
def test_forms_of_pbkdf2_are_one(text: str) -> None:
    assert canonical(text) == CANONICAL


def test_the_form_of_389_directory_server_is_read() -> None:
    salt = b"s" * 64
    digest = hashlib.pbkdf2_hmac("sha256", b"password", salt, 2048, 256)
    blob = base64.b64encode((2048).to_bytes(4, "big") + salt + digest).decode()
    expected = "$".join(
        ("", "pbkdf2-sha256", "i=2048", *(base64.b64encode(one).decode().rstrip("=") for one in (salt, digest)))
    )
    assert canonical(f"{{PBKDF2_SHA256}}{blob}") == expected


def test_scrypt_of_werkzeug_is_that_of_phc() -> None:
    digest = hashlib.scrypt(b"password", salt=SALT, n=2**14, r=8, p=1, dklen=64)
    expected = f"$scrypt$ln=14,r=8,p=1${adapted(SALT)}${base64.b64encode(digest).decode().rstrip('=')}"
    assert canonical(f"scrypt:16384:8:1${SALT.decode()}${digest.hex()}") == canonical(expected) == expected


def test_hashes_of_argon2_and_bcrypt_stay_as_they_are() -> None:
    hashed = PasswordHasher(1, 64, 1).hash("password")
    assert canonical(hashed) == canonical(f"{{ARGON2}}{hashed}") == hashed
    assert PasswordHasher().verify(canonical(hashed), "password")
    bcrypt = f"$2a$12${'./A' * 17}zz"
    assert canonical(bcrypt) == canonical(f"{{CRYPT}}{bcrypt}") == bcrypt


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "$argon2id$v=19$m=262145,t=1,p=1$c2FsdHNhbHQ$c2FsdHNhbHRzYWx0c2FsdA",
            "262145 KiB of argon2 are more than 262144",
        ),
        ("$argon2id$v=19$m=64,t=65,p=1$c2FsdHNhbHQ$c2FsdHNhbHRzYWx0c2FsdA", "65 passes of argon2 are more than 64"),
        ("$argon2id$v=19$m=64,t=1,p=1$c2FsdA$c2FsdHNhbHRzYWx0c2FsdA", "its argon2 parameters are not valid"),
        (f"$2b$17${'a' * 53}", "17 cost of bcrypt are more than 16"),
        (f"$2b$03${'a' * 53}", "its bcrypt cost is not valid"),
        (f"$pbkdf2-sha256$i=10000001${adapted(SALT)}${adapted(DIGEST)}", "10000001 PBKDF2 iterations are more than"),
        (f"$pbkdf2-sha256$i=1${adapted(SALT)}$YWJj", "it has less than 16 bytes"),
        (f"$pbkdf2-sha256$i=1$abcde${adapted(DIGEST)}", "it is not valid base64"),
        (f"$scrypt$ln=22,r=8,p=1${adapted(SALT)}${adapted(DIGEST)}", "4294967296 bytes of scrypt are more than"),
        (f"scrypt:1000:8:1$salt${'ab' * 32}", "its scrypt parameters are not valid"),
        ("$6$salt$hash", "the scheme 6 is not supported"),
        ("{SSHA}abc", "the scheme {SSHA} is not supported"),
        ("{CRYPT}{CRYPT}{CRYPT}", "the scheme {CRYPT} is not supported"),
        ("5f4dcc3b5aa765d61d8327deb882cf99", "its scheme is not known"),
        ("x" * 1025, "it has more than 1024 characters"),
    ],
)
def test_a_hash_that_is_not_taken_has_a_reason_without_the_hash(text: str, reason: str) -> None:
    with pytest.raises(InvalidRecordError, match=re.escape(reason)) as error:
        canonical(text)
    assert (error.value.value, text[-10:] in str(error.value)) == ("", False)
    assert read_password_hash(text)[0] is None


def test_no_hash_is_none_and_other_values_are_a_note() -> None:
    assert read_password_hash(None) == read_password_hash("") == (None, ())
    assert read_password_hash(7) == (None, ("The password hash is not imported: it is not a text.",))
