"""Reads transparency logs for tests, byte by byte as the C2SP texts define them, without the code of the service.

ML-DSA-44 signatures are verified by a second library.
"""

import base64
import struct
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from dilithium_py.ml_dsa import ML_DSA_44

from quartet_testing.merkle import hashed_leaf, proven_root

DASH = "\u2014 ".encode()


@dataclass(frozen=True)
class Head:
    """A checkpoint whose signature by one key was verified."""

    origin: str
    size: int
    root: bytes
    text: bytes


@dataclass(frozen=True)
class TextProof:
    """A tlog-proof: the leaf is in `extra`."""

    index: int
    extra: bytes
    hashes: list[bytes]
    checkpoint: bytes


def number(digits: bytes) -> int:
    """ASCII decimal without leading zeroes."""
    assert digits.isdigit()
    assert digits == b"0" or not digits.startswith(b"0")
    return int(digits)


def standard_base64(text: bytes) -> bytes:
    """Standard base64 with its padding."""
    value = base64.b64decode(text, validate=True)
    assert base64.b64encode(value) == text
    return value


def read_note(note: bytes) -> tuple[bytes, list[tuple[bytes, bytes, bytes]]]:
    """The text of a signed note, and name, key id and signature of each line (signed-note, "Format")."""
    note.decode()
    assert all(byte >= 0x20 or byte == 0x0A for byte in note)
    end = note.rindex(b"\n\n")
    text, lines = note[: end + 1], note[end + 2 :]
    assert lines.endswith(b"\n")
    signatures = []
    for line in lines[:-1].split(b"\n"):
        assert line.startswith(DASH)
        name, encoded = line[len(DASH) :].split(b" ")
        assert name
        assert b"+" not in name
        material = standard_base64(encoded)
        signatures.append((name, material[:4], material[4:]))
    return text, signatures


def read_vkey(vkey: str) -> tuple[bytes, bytes, int, bytes]:
    """Name, key id, signature type and public key of a vkey whose key id is that of its key."""
    name, key_id, encoded = vkey.encode().split(b"+", 2)
    material = standard_base64(encoded)
    expected = sha256(name + b"\n" + material).digest()[:4]
    assert key_id == expected.hex().encode()
    return name, expected, material[0], material[1:]


def verify(note: bytes, vkey: str) -> Head:
    """The checkpoint in `note`; fails unless it has a valid signature by the key."""
    name, key_id, kind, public = read_vkey(vkey)
    text, signatures = read_note(note)
    origin, size, root, end = text.split(b"\n")
    assert end == b""
    head = Head(origin.decode(), number(size), standard_base64(root), text)
    found = [signature for by, known, signature in signatures if (by, known) == (name, key_id)]
    assert len(found) == 1, f"{len(found)} signatures by {vkey[:60]}"
    assert _is_valid(kind, public, found[0], name, head), f"the signature by {vkey[:60]} is not valid"
    return head


def _is_valid(kind: int, public: bytes, signature: bytes, name: bytes, head: Head) -> bool:
    if kind == 6:
        timestamp, rest = signature[:8], signature[8:]
        assert len(rest) == 2420
        assert int.from_bytes(timestamp, "big") > 0
        origin = head.origin.encode()
        message = b"subtree/v1\n\x00" + bytes([len(name)]) + name + timestamp + bytes([len(origin)]) + origin
        return bool(ML_DSA_44.verify(public, message + struct.pack(">QQ", 0, head.size) + head.root, rest))
    message = head.text
    if kind == 4:
        timestamp, signature = signature[:8], signature[8:]
        message = b"cosignature/v1\ntime %d\n" % int.from_bytes(timestamp, "big") + message
    else:
        assert kind == 1
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def read_tile(tile: bytes) -> list[bytes]:
    """The hashes of a tile."""
    assert len(tile) % 32 == 0
    assert 32 <= len(tile) <= 8192
    return [tile[start : start + 32] for start in range(0, len(tile), 32)]


def read_bundle(bundle: bytes) -> list[bytes]:
    """The entries of an entry bundle: each behind its length as a big-endian uint16."""
    entries, place = [], 0
    while place < len(bundle):
        length = int.from_bytes(bundle[place : place + 2], "big")
        entries.append(bundle[place + 2 : place + 2 + length])
        place += 2 + length
        assert place <= len(bundle)
    assert 1 <= len(entries) <= 256
    return entries


def read_proof(proof: bytes) -> TextProof:
    """A tlog-proof (tlog-proof, "Format")."""
    head, _, checkpoint = proof.partition(b"\n\n")
    first, extra, index, *hashes = head.split(b"\n")
    assert first == b"c2sp.org/tlog-proof@v1"
    assert extra.startswith(b"extra ")
    assert index.startswith(b"index ")
    return TextProof(
        number(index[6:]), standard_base64(extra[6:]), [standard_base64(one) for one in hashes], checkpoint
    )


def is_included(index: int, leaf: bytes, hashes: list[bytes], head: Head) -> bool:
    """Whether `hashes` prove that `leaf` is at `index` of the tree of `head`."""
    return proven_root(index, head.size, hashed_leaf(leaf), hashes) == head.root


def tile_path(level: int | str, index: int, width: int = 256) -> str:
    """`tile/<L>/<N>[.p/<W>]` (tlog-tiles, "Merkle Tree"); the level of entry bundles is `entries`."""
    groups = [f"{index % 1000:03}"]
    while index >= 1000:
        index //= 1000
        groups.insert(0, f"x{index % 1000:03}")
    return f"tile/{level}/{'/'.join(groups)}" + (f".p/{width}" if width < 256 else "")
