"""Password hashes as other systems write them, in one canonical form for each scheme that is taken.

Canonical: `$argon2id$v=19$m=,t=,p=$salt$hash`, `$2b$cost$...`, `$pbkdf2-sha256$i=$salt$hash` and
`$scrypt$ln=,r=,p=$salt$hash`, with salts and hashes in base64 without padding.
"""

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any

from quartet_directory_formats.records import InvalidRecordError

MAX_ARGON2_KIB, MAX_ARGON2_PASSES, MAX_LANES = 256 * 1024, 64, 16
MAX_BCRYPT_COST = 16
MAX_PBKDF2_ITERATIONS = 10_000_000
MAX_SCRYPT_BYTES = 256 * 1024 * 1024
MAX_HASH_CHARACTERS = 1024
MIN_HASH_BYTES = 16

B64 = r"[A-Za-z0-9+/.]+={0,2}"
NUMBER = r"[1-9][0-9]{0,9}"
ARGON2 = re.compile(rf"\$(argon2(?:id|i|d))\$v=(16|19)\$m=({NUMBER}),t=({NUMBER}),p=({NUMBER})\$({B64})\$({B64})")
BCRYPT = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}")
PBKDF2 = re.compile(
    rf"\$?pbkdf2(?:-(sha1|sha256|sha512))?\$(?:i=)?({NUMBER})(?:,l=[0-9]+)?\$({B64})\$({B64})", re.IGNORECASE
)
PBKDF2_DJANGO = re.compile(rf"pbkdf2_(sha1|sha256|sha512)\$({NUMBER})\$([^$]+)\$({B64})")
PBKDF2_WERKZEUG = re.compile(rf"pbkdf2:(sha1|sha256|sha512):({NUMBER})\$([^$]+)\$([0-9a-f]+)")
SCRYPT = re.compile(rf"\$scrypt\$ln=([0-9]{{1,2}}),r=({NUMBER}),p=({NUMBER})\$({B64})\$({B64})")
SCRYPT_WERKZEUG = re.compile(rf"scrypt:({NUMBER}):({NUMBER}):({NUMBER})\$([^$]+)\$([0-9a-f]+)")
LDAP = re.compile(r"\{([A-Za-z0-9_-]+)\}(.*)", re.DOTALL)
LDAP_PBKDF2 = {
    "PBKDF2": "sha1", "PBKDF2-SHA1": "sha1", "PBKDF2-SHA256": "sha256", "PBKDF2-SHA512": "sha512",
}  # fmt: skip
BLOB_389 = re.compile(r"[A-Za-z0-9+/]+={0,2}")


def read_password_hash(sent: Any) -> tuple[str | None, tuple[str, ...]]:
    """The canonical hash, and a note if it cannot be taken; None for no hash."""
    if sent is None or sent == "":
        return None, ()
    try:
        if not isinstance(sent, str):
            raise InvalidRecordError("it is not a text")
        return canonical(sent), ()
    except InvalidRecordError as error:
        return None, (f"The password hash is not imported: {error.reason}.",)


def canonical(text: str) -> str:
    """The canonical form of a hash. Raises InvalidRecordError, whose text never has the hash."""
    if len(text) > MAX_HASH_CHARACTERS:
        raise InvalidRecordError(f"it has more than {MAX_HASH_CHARACTERS} characters")
    if match := LDAP.fullmatch(text):
        return _ldap(match[1].upper(), match[2])
    for pattern, read in READERS:
        if match := pattern.fullmatch(text):
            return read(match)
    scheme = re.match(r"\$?([A-Za-z0-9_-]{1,30})[$:]", text)
    raise InvalidRecordError(f"the scheme {scheme[1]} is not supported" if scheme else "its scheme is not known")


def is_plain(text: str) -> bool:
    """Whether a userPassword of LDAP is the password itself."""
    return LDAP.fullmatch(text) is None


def pbkdf2(digest: str, iterations: int, salt: bytes, value: bytes) -> str:
    """The canonical form of PBKDF2. Raises InvalidRecordError."""
    _limit("PBKDF2 iterations", iterations, MAX_PBKDF2_ITERATIONS)
    return f"$pbkdf2-{digest}$i={iterations}${encode(salt)}${encode(_long_enough(value))}"


def argon2(kind: str, version: int, costs: tuple[int, int, int], salt: bytes, value: bytes) -> str:
    """The canonical form of argon2 with `costs` (KiB, passes, lanes). Raises InvalidRecordError."""
    for name, cost, limit in zip(
        ("KiB of argon2", "passes of argon2", "lanes of argon2"),
        costs,
        (MAX_ARGON2_KIB, MAX_ARGON2_PASSES, MAX_LANES),
        strict=True,
    ):
        _limit(name, cost, limit)
    memory, passes, lanes = costs
    if len(salt) < 8 or memory < 8 * lanes:
        raise InvalidRecordError("its argon2 parameters are not valid")
    return f"${kind}$v={version}$m={memory},t={passes},p={lanes}${encode(salt)}${encode(_long_enough(value))}"


def scrypt(cost: int, blocks: int, lanes: int, salt: bytes, value: bytes) -> str:
    """The canonical form of scrypt with 2**cost steps. Raises InvalidRecordError."""
    if not 1 <= cost <= 30:
        raise InvalidRecordError("its scrypt parameters are not valid")
    _limit("bytes of scrypt", 128 * blocks << cost, MAX_SCRYPT_BYTES)
    _limit("lanes of scrypt", lanes, MAX_LANES)
    return f"$scrypt$ln={cost},r={blocks},p={lanes}${encode(salt)}${encode(_long_enough(value))}"


def bcrypt(text: str, cost: int) -> str:
    """The form of bcrypt, which is its canonical one. Raises InvalidRecordError."""
    _limit("cost of bcrypt", cost, MAX_BCRYPT_COST)
    if cost < 4:
        raise InvalidRecordError("its bcrypt cost is not valid")
    return text


def encode(value: bytes) -> str:
    """Base64 without padding."""
    return base64.b64encode(value).decode("ascii").rstrip("=")


def decode(text: str) -> bytes:
    """Base64 with or without padding, also with passlib's `.` for `+`. Raises InvalidRecordError."""
    plain = text.rstrip("=").replace(".", "+")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRecordError("it is not valid base64") from None


def _limit(name: str, value: int, limit: int) -> None:
    if value > limit:
        raise InvalidRecordError(f"{value} {name} are more than {limit}")


def _long_enough(value: bytes) -> bytes:
    if len(value) < MIN_HASH_BYTES:
        raise InvalidRecordError(f"it has less than {MIN_HASH_BYTES} bytes")
    return value


def _ldap(scheme: str, value: str) -> str:
    if scheme in LDAP_PBKDF2 and (match := PBKDF2.fullmatch(f"pbkdf2${value}")):
        return pbkdf2(LDAP_PBKDF2[scheme], int(match[2]), decode(match[3]), decode(match[4]))
    if scheme == "PBKDF2_SHA256" and BLOB_389.fullmatch(value):  # 389 Directory Server: iterations, salt, hash
        blob = decode(value)
        if len(blob) > 68:
            return pbkdf2("sha256", int.from_bytes(blob[:4], "big"), blob[4:68], blob[68:])
    if scheme in ("ARGON2", "CRYPT", "BCRYPT", "SCRYPT"):
        return canonical(value) if not LDAP.fullmatch(value) else _unsupported(scheme)
    return _unsupported(scheme)


def _unsupported(scheme: str) -> str:
    raise InvalidRecordError(f"the scheme {{{scheme[:30]}}} is not supported")


def _exponent(steps: int) -> int:
    """The binary logarithm of `steps`. Raises InvalidRecordError if it is no power of 2."""
    if steps & (steps - 1):
        raise InvalidRecordError("its scrypt parameters are not valid")
    return steps.bit_length() - 1


Reader = Callable[[re.Match[str]], str]
READERS: tuple[tuple[re.Pattern[str], Reader], ...] = (
    (ARGON2, lambda m: argon2(m[1], int(m[2]), (int(m[3]), int(m[4]), int(m[5])), decode(m[6]), decode(m[7]))),
    (BCRYPT, lambda m: bcrypt(m[0], int(m[1]))),
    (PBKDF2, lambda m: pbkdf2((m[1] or "sha1").lower(), int(m[2]), decode(m[3]), decode(m[4]))),
    (PBKDF2_DJANGO, lambda m: pbkdf2(m[1], int(m[2]), m[3].encode(), decode(m[4]))),
    (PBKDF2_WERKZEUG, lambda m: pbkdf2(m[1], int(m[2]), m[3].encode(), bytes.fromhex(m[4]))),
    (SCRYPT, lambda m: scrypt(int(m[1]), int(m[2]), int(m[3]), decode(m[4]), decode(m[5]))),
    (
        SCRYPT_WERKZEUG,
        lambda m: scrypt(_exponent(int(m[1])), int(m[2]), int(m[3]), m[4].encode(), bytes.fromhex(m[5])),
    ),
)
