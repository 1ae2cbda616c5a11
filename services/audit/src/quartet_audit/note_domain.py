"""Signed notes: their text and signatures, verifier keys, and the signatures of both algorithms (C2SP signed-note)."""

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

ED25519 = 0x01
ED25519_COSIGNATURE = 0x04
ML_DSA_44 = 0x06
PUBLIC_KEY_BYTES = {ED25519: 32, ED25519_COSIGNATURE: 32, ML_DSA_44: 1312}
"""The signature types that are known here, and the length of their public keys."""

KEY_ID_BYTES = 4
MAX_SIGNATURES = 64
EM_DASH = "\u2014"
SIGNATURE_LINE = re.compile(rf"{EM_DASH} (\S+) (\S+)")
VKEY = re.compile(r"([^\s+]+)\+([0-9a-f]{8})\+(\S+)")
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")


class MalformedNoteError(ValueError):
    """The text is no signed note, or no verifier key."""


def encode_base64(value: bytes) -> str:
    """`value` in standard base64 (RFC 4648 section 4)."""
    return base64.b64encode(value).decode()


def decode_base64(text: str) -> bytes:
    """The bytes of `text` in standard base64. Raises MalformedNoteError, also for a text that is not canonical."""
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedNoteError(f"not base64: {text[:100]!r}") from error
    if encode_base64(value) != text:
        raise MalformedNoteError(f"base64 with unused bits that are not zero: {text[:100]!r}")
    return value


@dataclass(frozen=True)
class VerifierKey:
    """A public key by the name and signature type that it verifies (signed-note, "Verifier keys")."""

    name: str
    type: int
    public: bytes

    @property
    def id(self) -> bytes:
        """SHA-256(name || 0x0A || type || public key)[:4]."""
        return sha256(b"%b\n%c%b" % (self.name.encode(), self.type, self.public)).digest()[:KEY_ID_BYTES]

    def encode(self) -> str:
        """The vkey."""
        return f"{self.name}+{self.id.hex()}+{encode_base64(bytes([self.type]) + self.public)}"

    @classmethod
    def decode(cls, text: str) -> "VerifierKey":
        """The key in a vkey. Raises MalformedNoteError for another type, length or key id."""
        match = VKEY.fullmatch(text)
        if match is None:
            raise MalformedNoteError(f"not a vkey (<name>+<8 hex digits>+<base64>): {text[:100]!r}")
        material = decode_base64(match[3])
        key = cls(match[1], material[0] if material else 0, material[1:])
        if PUBLIC_KEY_BYTES.get(key.type) != len(key.public):
            raise MalformedNoteError(f"a vkey of type {key.type:#04x} with {len(key.public)} bytes: {text[:100]!r}")
        if key.id.hex() != match[2]:
            raise MalformedNoteError(f"the key id of the vkey is {match[2]}, that of its key {key.id.hex()}")
        return key

    def verify(self, signature: bytes, message: bytes) -> bool:
        """Whether `signature` is that of `message` by this key (RFC 8032, FIPS 204)."""
        try:
            if self.type == ML_DSA_44:
                MLDSA44PublicKey.from_public_bytes(self.public).verify(signature, message)
            else:
                Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except InvalidSignature:
            return False
        return True


class NoteSignature(NamedTuple):
    """One signature line; `signature` is what follows the key id."""

    name: str
    key_id: bytes
    signature: bytes

    @property
    def line(self) -> str:
        """The line with its newline."""
        return f"{EM_DASH} {self.name} {encode_base64(self.key_id + self.signature)}\n"

    def is_by(self, key: VerifierKey) -> bool:
        """Whether name and key id are those of `key`."""
        return (self.name, self.key_id) == (key.name, key.id)


@dataclass(frozen=True)
class SignedNote:
    """A text, whose last character is a newline, and its signatures."""

    text: str
    signatures: tuple[NoteSignature, ...]

    def encode(self) -> str:
        """The note as it is sent (signed-note, "Format")."""
        return f"{self.text}\n{''.join(signature.line for signature in self.signatures)}"

    @classmethod
    def decode(cls, encoded: str) -> "SignedNote":
        """The note in `encoded`. Raises MalformedNoteError."""
        text, separator, lines = encoded.rpartition("\n\n")
        if not separator or not lines.endswith("\n") or CONTROL.search(encoded) is not None:
            raise MalformedNoteError(
                "a signed note is a text, an empty line and signature lines that end with newlines"
            )
        return cls(f"{text}\n", tuple(decode_signatures(lines)))


def decode_signatures(lines: str) -> list[NoteSignature]:
    """The signatures in signature lines that end with newlines. Raises MalformedNoteError."""
    found = []
    for line in lines.removesuffix("\n").split("\n"):
        match = SIGNATURE_LINE.fullmatch(line)
        material = b"" if match is None else decode_base64(match[2])
        if match is None or "+" in match[1] or len(material) <= KEY_ID_BYTES:
            raise MalformedNoteError(f"not a signature line: {line[:100]!r}")
        found.append(NoteSignature(match[1], material[:KEY_ID_BYTES], material[KEY_ID_BYTES:]))
    if len(found) > MAX_SIGNATURES:
        raise MalformedNoteError(f"{len(found)} signatures; a note has at most {MAX_SIGNATURES}")
    return found


def known_signatures(
    signatures: Iterable[NoteSignature], keys: Iterable[VerifierKey]
) -> list[tuple[NoteSignature, VerifierKey]]:
    """Those of `signatures` whose name and key id are of one of `keys`; verifiers ignore all others."""
    known = {(key.name, key.id): key for key in keys}
    return [(one, known[one.name, one.key_id]) for one in signatures if (one.name, one.key_id) in known]
