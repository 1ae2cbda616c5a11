"""Passwords."""

import argon2
import pytest

from quartet_users.passwords import Passwords


async def test_a_hash_is_argon2id_and_verifies_its_password_only() -> None:
    hashed = await Passwords().hash("correct horse battery staple")
    assert hashed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert argon2.PasswordHasher().verify(hashed, "correct horse battery staple")
    with pytest.raises(argon2.exceptions.VerifyMismatchError):
        argon2.PasswordHasher().verify(hashed, "another")


async def test_equal_passwords_have_different_hashes() -> None:
    passwords = Passwords()
    assert await passwords.hash("same") != await passwords.hash("same")
