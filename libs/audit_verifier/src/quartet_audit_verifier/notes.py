"""Signed notes and checkpoints: parses and verifies them (signed-note, tlog-checkpoint, tlog-cosignature)."""

import re
import struct
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

from quartet_audit_verifier.encoding import HASH_BYTES, FormatError, decode_base64, shown

ED25519: Final = 0x01
ED25519_COSIGNATURE: Final = 0x04
MLDSA44_COSIGNATURE: Final = 0x06
ALGORITHMS: Final = {
    ED25519: "Ed25519",
    ED25519_COSIGNATURE: "Ed25519 cosignature",
    MLDSA44_COSIGNATURE: "ML-DSA-44",
}
PUBLIC_KEY_BYTES: Final = {ED25519: 32, ED25519_COSIGNATURE: 32, MLDSA44_COSIGNATURE: 1312}
SIGNATURE_BYTES: Final = {ED25519: 64, ED25519_COSIGNATURE: 8 + 64, MLDSA44_COSIGNATURE: 8 + 2420}

MAX_NOTE: Final = 512 * 1024
"""Bytes of a note: about a hundred cosignatures of ML-DSA-44. signed-note asks for a limit."""
LARGEST_SIZE: Final = (1 << 63) - 1
_SIGNATURE = re.compile("— ([^ ]+) ([A-Za-z0-9+/=]+)")
_SIZE = re.compile("0|[1-9][0-9]{0,18}")
_CONTROL = re.compile("[\x00-\x09\x0b-\x1f]")
_SUBTREE_LABEL: Final = b"subtree/v1\n\0"


@dataclass(frozen=True)
class Signature:
    """A signature line of a note."""

    name: str
    key_id: bytes
    value: bytes


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint with its signatures; `note` is all of it as it was read, `text` the part that is signed."""

    note: str
    text: str
    origin: str
    size: int
    root: bytes
    signatures: tuple[Signature, ...]


@dataclass(frozen=True)
class VerifierKey:
    """A public key with its name: a vkey of signed-note."""

    name: str
    key_id: bytes
    kind: int
    public: bytes

    @property
    def algorithm(self) -> str:
        """Its algorithm, for people."""
        return ALGORITHMS[self.kind]

    @cached_property
    def text(self) -> str:
        """The vkey as text."""
        return f"{self.name}+{self.key_id.hex()}+{b64encode(bytes([self.kind]) + self.public).decode()}"


@dataclass(frozen=True)
class CheckedSignature:
    """A signature of a known key; `time` is in seconds since 1970, None if the algorithm has none."""

    key: VerifierKey
    is_valid: bool
    time: int | None


def parse_vkey(text: str) -> VerifierKey:
    """A vkey (signed-note, Verifier keys). Raises FormatError, also if its id is not that of its name and key."""
    name, *rest = text.split("+", 2)
    if len(rest) != 2 or not _is_key_name(name) or not re.fullmatch("[0-9a-f]{8}", rest[0]):
        raise FormatError(f"not a vkey (<name>+<id>+<key>): {shown(text)}")
    raw = decode_base64(rest[1], "the key of a vkey")
    kind, public = raw[0] if raw else -1, raw[1:]
    if kind not in ALGORITHMS:
        raise FormatError(f"vkey {shown(name)} has a signature type other than 0x01, 0x04 and 0x06")
    if len(public) != PUBLIC_KEY_BYTES[kind]:
        raise FormatError(f"vkey {shown(name)} has {len(public)} bytes of key instead of {PUBLIC_KEY_BYTES[kind]}")
    expected = sha256(name.encode() + b"\n" + raw).digest()[:4]
    if expected.hex() != rest[0]:
        raise FormatError(f"vkey {shown(name)} has the id {rest[0]}, but its name and key give {expected.hex()}")
    return VerifierKey(name, expected, kind, public)


def parse_checkpoint(note: str) -> Checkpoint:
    """A checkpoint (tlog-checkpoint) in a signed note. Raises FormatError."""
    text, signatures = _parse_note(note)
    lines = text.split("\n")[:-1]
    if len(lines) < 3 or not all(lines):
        raise FormatError("a checkpoint has fewer than three lines, or an empty one")
    if not _SIZE.fullmatch(lines[1]) or int(lines[1]) > LARGEST_SIZE:
        raise FormatError(f"a checkpoint has the size {shown(lines[1])}")
    root = decode_base64(lines[2], "the root hash of a checkpoint", HASH_BYTES)
    return Checkpoint(note, text, lines[0], int(lines[1]), root, signatures)


def check_signatures(checkpoint: Checkpoint, keys: Iterable[VerifierKey]) -> list[CheckedSignature]:
    """The signatures of known keys, valid or not; those of others are ignored, as signed-note demands."""
    known = {(key.name, key.key_id): key for key in keys}
    found = ((known.get((each.name, each.key_id)), each.value) for each in checkpoint.signatures)
    return [_check(key, value, checkpoint) for key, value in found if key is not None]


def _check(key: VerifierKey, value: bytes, checkpoint: Checkpoint) -> CheckedSignature:
    if len(value) != SIGNATURE_BYTES[key.kind]:
        return CheckedSignature(key, is_valid=False, time=None)
    if key.kind == ED25519:
        return CheckedSignature(key, _verifies(key, value, checkpoint.text.encode()), None)
    time = int.from_bytes(value[:8])
    if key.kind == ED25519_COSIGNATURE:
        message = f"cosignature/v1\ntime {time}\n{checkpoint.text}".encode()
    else:
        message = _cosigned_message(key.name.encode(), time, checkpoint)
    return CheckedSignature(key, time <= LARGEST_SIZE and _verifies(key, value[8:], message), time)


def _cosigned_message(name: bytes, time: int, checkpoint: Checkpoint) -> bytes:
    """The structure `cosigned_message` of tlog-cosignature (ML-DSA-44 signed message)."""
    origin = checkpoint.origin.encode()
    head = _SUBTREE_LABEL + _short(name) + struct.pack(">Q", time) + _short(origin)
    return head + struct.pack(">QQ", 0, checkpoint.size) + checkpoint.root


def _short(value: bytes) -> bytes:
    """`opaque<1..2^8-1>`; a longer value makes a message without a valid signature."""
    return bytes([min(len(value), 255)]) + value


def _verifies(key: VerifierKey, signature: bytes, message: bytes) -> bool:
    kind = MLDSA44PublicKey if key.kind == MLDSA44_COSIGNATURE else Ed25519PublicKey
    try:
        kind.from_public_bytes(key.public).verify(signature, message)
    except UnsupportedAlgorithm:
        raise
    except (InvalidSignature, ValueError):
        return False
    return True


def _parse_note(note: str) -> tuple[str, tuple[Signature, ...]]:
    """The signed text with its last line end, and the signatures."""
    try:
        size = len(note.encode())
    except UnicodeEncodeError:
        raise FormatError("a note has characters that UTF-8 cannot have") from None
    if size > MAX_NOTE:
        raise FormatError(f"a note has {size} bytes, more than {MAX_NOTE}")
    if _CONTROL.search(note):
        raise FormatError("a note has control characters")
    text, separator, rest = note.rpartition("\n\n")
    if not separator or not rest.endswith("\n"):
        raise FormatError("a note has no signatures, or no line end after the last one")
    return f"{text}\n", tuple(_parse_signature(line) for line in rest[:-1].split("\n"))


def _parse_signature(line: str) -> Signature:
    match = _SIGNATURE.fullmatch(line)
    if match is None or not _is_key_name(match[1]):
        raise FormatError(f"not a signature line of a note: {shown(line)}")
    raw = decode_base64(match[2], "a signature")
    if len(raw) < 5:
        raise FormatError(f"a signature line of a note has {len(raw)} bytes")
    return Signature(match[1], raw[:4], raw[4:])


def _is_key_name(name: str) -> bool:
    return bool(name) and "+" not in name and not any(character.isspace() for character in name)
