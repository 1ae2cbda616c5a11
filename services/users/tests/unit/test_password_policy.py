"""Which passwords are taken."""

import hashlib
import time
from pathlib import Path

import pytest

from quartet_users.passwords.password_policy import BreachedPasswords, PasswordPolicy

NAME = "Barbara.Jensen@example.com"
TENANT = "acme-corp"


def sha1(password: str) -> str:
    return hashlib.sha1(password.encode(), usedforsecurity=False).hexdigest()


@pytest.mark.parametrize(
    "password",
    [
        "fifteen letters", "correct horse battery staple", "пароль из пяти слов", "🐎🔋🧷🥕🎈🧊🦆🛶🎻🧵🪁🌵🍋🧭🚲",
        "839201746352910",
        "my password is not this", "dragon monkey football shadow", "Ünïcödé ïs fïne hére",
    ],
)  # fmt: skip
def test_what_is_long_enough_is_taken_whatever_is_in_it(password: str) -> None:
    assert PasswordPolicy().fault(password, NAME, TENANT) is None


COMMON = "It is too easy to guess: a common password, a name, a repeated text, a row of keys, or a variation."


@pytest.mark.parametrize(
    "password",
    [
        "passwordpassword", "PasswordPassword1", "passwordpasswor", "password1234567", "1234567password",
        "p@ssw0rdP@ssw0rd",
        "123456789012345", "012345678901234", "987654321098765", "111111111111111", "abcabcabcabcabc",
        "12341234123412341",
        "qwertyuiopasdfg", "asdfghjklasdfghjkl", "1qaz2wsx3edc4rfv", "poiuytrewqlkjhgfdsa", "qwertyuiop12345",
        "abcdefghijklmnop", "zyxwvutsrqponmlk", "!@#$%^&*()!@#$%", "drowssapdrowssap", "letmein letmein!",
        "footballbaseball",
        "a b c d e f g h", "iloveyouiloveyou", "Quartet-Quartet-1", "quartetquartet2026", "Barbara.Jensen2026",
        "jensenjensenjensen", "acme-corp-acme-corp", "AcmeCorp20262026", "x" * 1024, "🐎" * 15, "changemechangeme",
    ],
)  # fmt: skip
def test_a_common_password_and_its_variations_are_refused(password: str) -> None:
    assert PasswordPolicy().fault(password, NAME, TENANT) == COMMON


@pytest.mark.parametrize(
    "password", ["password", "12345678", "qwertyui", "iloveyou", "Passw0rd", "trustno1", "acmecorp"]
)
def test_common_passwords_are_refused_at_the_least_length_too(password: str) -> None:
    assert PasswordPolicy(min_length=8).fault(password, NAME, TENANT) == COMMON


@pytest.mark.parametrize(
    "password",
    [
        " " * 15, "\u200b" * 15, "\u00ad\u200d\u2060\ufeff" * 4, "\u3164" * 15, "\u2800" * 15, "\u115f\u1160\u034f" * 5,
        "\t \u00a0\u2003\u3000" * 3, "\ufe0f\U000e0100\u180b" * 5,
    ],
)  # fmt: skip
def test_a_password_that_nobody_can_see_is_refused(password: str) -> None:
    fault = PasswordPolicy().fault(password, NAME, TENANT)
    assert fault == "It must not consist of spaces or invisible characters only."


def test_a_visible_character_among_spaces_is_enough() -> None:
    assert PasswordPolicy().fault("k  \u200b   w  7    \u2003   z", NAME, TENANT) is None


def test_the_list_is_quick() -> None:
    started = time.perf_counter()
    for _ in range(10):
        PasswordPolicy().fault("ab" * 250 + "x" + "cd" * 250, NAME, TENANT)
    assert time.perf_counter() - started < 1


@pytest.mark.parametrize(
    ("password", "fault"),
    [
        ("fourteen chars", "It must have at least 15 characters."),
        ("e\u0301" * 14, "It must have at least 15 characters."),
        ("", "It must have at least 15 characters."),
        ("\ufdfa", "It must have at least 15 characters."),
        ("x" * 1025, "It must have at most 1024 bytes."),
        ("ü" * 513, "It must have at most 1024 bytes."),
        ("\ufdfa" * 100, "It must have at most 1024 bytes."),
        ("\ud800" * 15, "It must be Unicode text."),
        (NAME, "It must differ from the user's name."),
        (NAME.upper(), "It must differ from the user's name."),
    ],
)
def test_what_is_wrong_is_said_without_the_password(password: str, fault: str) -> None:
    assert PasswordPolicy().fault(password, NAME, TENANT) == fault


def test_a_password_that_is_known_to_others_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "breached.txt"
    lines = [
        "bright moon 1234",
        "",
        sha1("river of stones").upper() + ":4711",
        sha1("dragon and cave"),
        "the last one here",
    ]
    path.write_text("\r\n".join(lines))
    policy = PasswordPolicy(BreachedPasswords.read(path))
    for known in ("bright moon 1234", "river of stones", "dragon and cave", "the last one here"):
        assert policy.fault(known, NAME, TENANT) == "It is on the list of breached passwords. Choose another one."
    for unknown in ("Bright moon 1234", "river of stones 5", sha1("dragon and cave")):
        assert policy.fault(unknown, NAME, TENANT) is None


def test_a_list_of_breached_passwords_is_small_and_finds_all_of_it() -> None:
    words = [f"password {number}" for number in range(10_000)]
    breached = BreachedPasswords(word.encode() for word in words)
    assert len(breached) == 10_000
    assert all(word in breached for word in words)
    assert not any(f"other {number}" in breached for number in range(10_000))


def test_the_configuration_may_ask_for_less_and_gets_it() -> None:
    policy = PasswordPolicy(min_length=8)
    assert policy.fault("1mz050nq", "isaac", TENANT) is None
    assert policy.fault("1mz050n", "isaac", TENANT) == "It must have at least 8 characters."
