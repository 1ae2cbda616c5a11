"""Checkpoints: their text, and the signatures of logs and witnesses (C2SP tlog-checkpoint, tlog-cosignature)."""

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from quartet_audit.note_domain import (
    ED25519,
    ED25519_COSIGNATURE,
    ML_DSA_44,
    MalformedNoteError,
    NoteSignature,
    SignedNote,
    VerifierKey,
    decode_base64,
    encode_base64,
)
from quartet_audit.trees.tree_domain import HASH_BYTES, Frontier, leaf_hash

DEPLOYMENT_LEAF_VERSION = 1
SALT_BYTES = 32
TIMESTAMP_BYTES = 8
MAX_NAME_BYTES = 255
SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
COSIGNED_LABEL = b"subtree/v1\n\0"
_deployment_head = struct.Struct(">BQq")


@dataclass(frozen=True)
class Checkpoint:
    """The head of a log: `origin` names it, `size` counts its leaves, `root` is the root hash of the tree over them."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The note text (tlog-checkpoint, "Note text")."""
        return f"{self.origin}\n{self.size}\n{encode_base64(self.root)}\n"

    @classmethod
    def decode(cls, text: str) -> "Checkpoint":
        """The checkpoint in a note text; extension lines are ignored. Raises MalformedNoteError."""
        lines = text.split("\n")
        if len(lines) < 4 or lines[-1] or not all(lines[:-1]) or SIZE.fullmatch(lines[1]) is None:
            raise MalformedNoteError(f"not the text of a checkpoint (origin, size, root hash): {text[:200]!r}")
        root = decode_base64(lines[2])
        if len(root) != HASH_BYTES:
            raise MalformedNoteError(f"the root hash has {len(root)} bytes instead of {HASH_BYTES}")
        return cls(lines[0], int(lines[1]), root)


@dataclass(frozen=True)
class Signers:
    """The private keys that sign a log now; more than one of a type while a new key replaces an old one."""

    ed25519: Sequence[Ed25519PrivateKey]
    ml_dsa_44: Sequence[MLDSA44PrivateKey]

    def sign(self, checkpoint: Checkpoint) -> SignedNote:
        """The checkpoint of a tenant's log: with Ed25519 signatures whose key name is the origin."""
        signatures = [sign_note(key, checkpoint) for key in self.ed25519]
        return SignedNote(checkpoint.text, tuple(signatures))

    def sign_deployment(self, checkpoint: Checkpoint, now: datetime) -> SignedNote:
        """The checkpoint of the deployment log: with ML-DSA-44 signatures too."""
        cosignatures = [cosign(key, checkpoint.origin, checkpoint, now) for key in self.ml_dsa_44]
        return SignedNote(checkpoint.text, (*self.sign(checkpoint).signatures, *cosignatures))


def sign_note(key: Ed25519PrivateKey, checkpoint: Checkpoint) -> NoteSignature:
    """An Ed25519 signature of the note text (signed-note, "Ed25519 signatures"); the key name is the origin."""
    verifier = VerifierKey(checkpoint.origin, ED25519, key.public_key().public_bytes_raw())
    return NoteSignature(verifier.name, verifier.id, key.sign(checkpoint.text.encode()))


def cosign(key: MLDSA44PrivateKey, name: str, checkpoint: Checkpoint, now: datetime) -> NoteSignature:
    """An ML-DSA-44 signature of the whole tree by the cosigner `name`, with the time in seconds (tlog-cosignature)."""
    verifier = VerifierKey(name, ML_DSA_44, key.public_key().public_bytes_raw())
    timestamp = int(now.timestamp())
    signature = key.sign(cosigned_message(name, timestamp, checkpoint))
    return NoteSignature(name, verifier.id, timestamp.to_bytes(TIMESTAMP_BYTES, "big") + signature)


def cosigned_message(name: str, timestamp: int, checkpoint: Checkpoint) -> bytes:
    """`cosigned_message` of tlog-cosignature, "ML-DSA-44 signed message", for the whole tree of `checkpoint`.

    Raises ValueError for a name or an origin of no or more than 255 bytes.
    """
    return b"".join(
        (
            COSIGNED_LABEL,
            _with_length(name),
            timestamp.to_bytes(8, "big"),
            _with_length(checkpoint.origin),
            (0).to_bytes(8, "big"),
            checkpoint.size.to_bytes(8, "big"),
            checkpoint.root,
        )
    )


def _with_length(text: str) -> bytes:
    encoded = text.encode()
    if not 0 < len(encoded) <= MAX_NAME_BYTES:
        raise ValueError(f"a name of a log or cosigner has 1 to {MAX_NAME_BYTES} bytes, got {len(encoded)}: {text!r}")
    return bytes([len(encoded)]) + encoded


def is_signed(note: SignedNote, signature: NoteSignature, key: VerifierKey) -> bool:
    """Whether `signature` is a valid one by `key` over the checkpoint in `note`, of the type of the key."""
    if key.type == ED25519:
        return key.verify(signature.signature, note.text.encode())
    timestamp, rest = signature.signature[:TIMESTAMP_BYTES], signature.signature[TIMESTAMP_BYTES:]
    seconds = int.from_bytes(timestamp, "big")
    if len(timestamp) < TIMESTAMP_BYTES or seconds >= 1 << 63:
        return False
    if key.type == ED25519_COSIGNATURE:
        return key.verify(rest, f"cosignature/v1\ntime {seconds}\n{note.text}".encode())
    return key.verify(rest, cosigned_message(key.name, seconds, Checkpoint.decode(note.text)))


def is_checkpoint_of(frontier: Frontier, note: str) -> bool:
    """Whether `note` is the checkpoint of a tree with this frontier; False for a text that is none."""
    try:
        checkpoint = Checkpoint.decode(SignedNote.decode(note).text)
    except MalformedNoteError:
        return False
    return (checkpoint.size, checkpoint.root) == (frontier.size, frontier.root())


def frontier_to_sign(
    stored: Frontier, signed: Frontier, note: str | None, added: Sequence[bytes], most: int
) -> Frontier | None:
    """The fork check: the frontier to sign next, that is `signed` (of `note`) and at most `most` of the leaves `added`.

    None if the tree with the frontier `stored` does not extend the signed one: signing it would be a fork.
    """
    if note is not None and not is_checkpoint_of(signed, note):
        return None
    if stored.size < signed.size or len(added) != min(stored.size - signed.size, most):
        return None
    frontier = signed.grow([leaf_hash(leaf) for leaf in added])
    return None if frontier.size == stored.size and frontier != stored else frontier


def deployment_leaf(index: int, microseconds: int, salt: bytes, text: str) -> bytes:
    """The leaf of the deployment log for the note text of a tenant's checkpoint (docs/audit-formats.md, "Logs").

    `microseconds` is the time since 1970, `salt` has 32 random bytes.
    """
    head = _deployment_head.pack(DEPLOYMENT_LEAF_VERSION, index, microseconds)
    return head + sha256(salt + text.encode()).digest()


def host_of(public_url: str) -> str:
    """The host of origins: that of `public_url`, with the port if it is not the default of the scheme."""
    scheme, _, authority = public_url.rstrip("/").lower().partition("://")
    return authority.removesuffix({"https": ":443", "http": ":80"}.get(scheme, ":"))


def deployment_origin(public_url: str) -> str:
    """The origin of the deployment log."""
    return f"{host_of(public_url)}/audit/log"


def tenant_origin(public_url: str, tenant: str) -> str:
    """The origin of the log of `tenant`."""
    return f"{deployment_origin(public_url)}/{tenant}"
