"""The policy for new passwords (NIST SP 800-63B-4 section 3.1.1.2): minimum length, visible, not easily guessed."""

import hashlib
import re
import unicodedata
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from pathlib import Path

from quartet_scim.filters import fold
from quartet_users.config import MIN_LENGTH
from quartet_users.passwords.common_passwords import is_common

PRODUCT = "quartet"
INVISIBLE_CATEGORIES = frozenset({"Zs", "Zl", "Zp", "Cc", "Cf"})
INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u2800\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff]"
)
"""Characters of other categories without a glyph: the default-ignorable code points (Unicode standard, section 5.21),
and the empty Braille pattern.
"""
MAX_BYTES = 1024
SHA1 = re.compile(rb"([0-9A-Fa-f]{40})(:\d+)?")
"""A line of a list of hashes, with or without a count."""
PREFIX = 8
"""Bytes kept of each hash. A billion passwords use so few of 2**64 values that none is refused by mistake."""


def normalise(password: str) -> str:
    """`password` in NFKC: the same text for all ways in which keyboards compose characters."""
    return unicodedata.normalize("NFKC", password)


class BreachedPasswords:
    """A list of breached passwords: 8 bytes of memory each, found by bisection."""

    def __init__(self, lines: Iterable[bytes] = ()) -> None:
        """Each of `lines` is a password in UTF-8, or its SHA-1 in hexadecimal with or without `:count`."""
        found = array("Q", _prefixes(lines))
        self._sorted = array("Q", sorted(found)) if len(found) > 1 else found

    @classmethod
    def read(cls, path: Path) -> "BreachedPasswords":
        """The list in a file. Raises OSError."""
        with path.open("rb") as lines:
            return cls(lines)

    def __contains__(self, password: str) -> bool:
        wanted = _prefix(hashlib.sha1(password.encode(), usedforsecurity=False).digest())
        place = bisect_left(self._sorted, wanted)
        return place < len(self._sorted) and self._sorted[place] == wanted

    def __len__(self) -> int:
        return len(self._sorted)


class PasswordPolicy:
    """Checks new passwords."""

    def __init__(self, breached: BreachedPasswords | None = None, min_length: int = MIN_LENGTH) -> None:
        self._breached = breached or BreachedPasswords()
        self._min_length = min_length

    def fault(self, password: str, user_name: str, tenant: str) -> str | None:
        """Why `password` is refused for a user of a tenant, as a sentence without the password; None if accepted."""
        if len(password) > MAX_BYTES or len(normalise(password).encode(errors="replace")) > MAX_BYTES:
            return f"It must have at most {MAX_BYTES} bytes."
        wanted = normalise(password)
        return self._shape_fault(password, wanted) or self._guess_fault(password, wanted, user_name, tenant)

    def _shape_fault(self, password: str, wanted: str) -> str | None:
        # NFKC expands some single characters to many, and composes combining marks: the shorter form counts
        if min(len(wanted), len(unicodedata.normalize("NFC", password))) < self._min_length:
            return f"It must have at least {self._min_length} characters."
        if any("\ud800" <= character <= "\udfff" for character in wanted):
            return "It must be Unicode text."
        if all(_is_invisible(character) for character in wanted):
            return "It must not consist of spaces or invisible characters only."
        return None

    def _guess_fault(self, password: str, wanted: str, user_name: str, tenant: str) -> str | None:
        local_part = user_name.partition("@")[0]
        if fold(wanted) in (fold(normalise(user_name)), fold(normalise(local_part))):
            return "It must differ from the user's name."
        if is_common(wanted, (normalise(user_name), normalise(local_part), tenant, PRODUCT)):
            return "It is too easy to guess: a common password, a name, a repeated text, a row of keys, or a variation."
        if wanted in self._breached or password in self._breached:
            return "It is on the list of breached passwords. Choose another one."
        return None


def _is_invisible(character: str) -> bool:
    return unicodedata.category(character) in INVISIBLE_CATEGORIES or INVISIBLE.match(character) is not None


def _prefixes(lines: Iterable[bytes]) -> Iterator[int]:
    for line in lines:
        text = line.rstrip(b"\r\n")
        hashed = SHA1.fullmatch(text)
        if hashed is not None:
            yield _prefix(bytes.fromhex(hashed[1].decode()))
        elif text:
            yield _prefix(hashlib.sha1(text, usedforsecurity=False).digest())


def _prefix(digest: bytes) -> int:
    return int.from_bytes(digest[:PREFIX])
