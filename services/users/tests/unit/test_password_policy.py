"""Which passwords are taken."""

import hashlib
from pathlib import Path

import pytest

from quartet_users.passwords.password_policy import BreachedPasswords, PasswordPolicy

NAME = "Barbara.Jensen@example.com"


def sha1(password: str) -> str:
    return hashlib.sha1(password.encode(), usedforsecurity=False).hexdigest()


@pytest.mark.parametrize(
    "password", ["twelve chars", "aaaaaaaaaaaa", "correct horse battery staple", "пароль пароль", "x" * 1024, "🐎" * 12]
)
def test_what_is_long_enough_is_taken_whatever_is_in_it(password: str) -> None:
    assert PasswordPolicy().fault(password, NAME) is None


@pytest.mark.parametrize(
    ("password", "fault"),
    [
        ("eleven char", "It must have at least 12 characters."),
        ("e\u0301" * 11, "It must have at least 12 characters."),
        ("", "It must have at least 12 characters."),
        ("\ufdfa", "It must have at least 12 characters."),
        ("x" * 1025, "It must have at most 1024 bytes."),
        ("ü" * 513, "It must have at most 1024 bytes."),
        ("\ufdfa" * 100, "It must have at most 1024 bytes."),
        ("\ud800" * 12, "It must be Unicode text."),
        (NAME, "It must be another than the user's name."),
        (NAME.upper(), "It must be another than the user's name."),
        ("barbara.jensen", "It must be another than the user's name."),
    ],
)
def test_what_is_wrong_is_said_without_the_password(password: str, fault: str) -> None:
    assert PasswordPolicy().fault(password, NAME) == fault


def test_a_password_that_is_known_to_others_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "breached.txt"
    lines = ["password1234", "", sha1("iloveyou1234").upper() + ":4711", sha1("dragon dragon"), "the last one here"]
    path.write_text("\r\n".join(lines))
    policy = PasswordPolicy(BreachedPasswords.read(path))
    for known in ("password1234", "iloveyou1234", "dragon dragon", "the last one here"):
        assert policy.fault(known, NAME) == "It is on a list of passwords that are known to others."
    for unknown in ("Password1234", "iloveyou12345", sha1("dragon dragon")):
        assert policy.fault(unknown, NAME) is None


def test_a_list_of_breached_passwords_is_small_and_finds_all_of_it() -> None:
    words = [f"password {number}" for number in range(10_000)]
    breached = BreachedPasswords(word.encode() for word in words)
    assert len(breached) == 10_000
    assert all(word in breached for word in words)
    assert not any(f"other {number}" in breached for number in range(10_000))


def test_the_configuration_may_ask_for_less_and_gets_it() -> None:
    policy = PasswordPolicy(min_length=8)
    assert policy.fault("1mz050nq", "isaac") is None
    assert policy.fault("1mz050n", "isaac") == "It must have at least 8 characters."
