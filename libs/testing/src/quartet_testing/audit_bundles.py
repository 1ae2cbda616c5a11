"""Makes bundles and proofs of the audit log from docs/audit-formats.md alone, for tests of what reads them."""

import base64
import json
import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

Document = dict[str, Any]
PARTS: Final = ("facts", "actor", "resource", "source", "changes")
BEGIN: Final = datetime(2026, 1, 31, 9, tzinfo=UTC)
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
ERASURE: Final = "audit.erasure.requested"


def b64(raw: bytes) -> str:
    """Standard base64."""
    return base64.b64encode(raw).decode()


def mth(hashes: Sequence[bytes]) -> bytes:
    """The Merkle tree hash of leaf hashes, as RFC 6962 section 2.1 defines it."""
    if len(hashes) < 2:
        return hashes[0] if hashes else sha256(b"").digest()
    k = 1
    while k * 2 < len(hashes):
        k *= 2
    return sha256(b"\1" + mth(hashes[:k]) + mth(hashes[k:])).digest()


def inclusion(index: int, hashes: Sequence[bytes]) -> list[bytes]:
    """PATH(m, D[n]) of RFC 6962 section 2.1.1."""
    if len(hashes) == 1:
        return []
    k = 1
    while k * 2 < len(hashes):
        k *= 2
    if index < k:
        return [*inclusion(index, hashes[:k]), mth(hashes[k:])]
    return [*inclusion(index - k, hashes[k:]), mth(hashes[:k])]


def consistency(size: int, hashes: Sequence[bytes], *, is_whole: bool = True) -> list[bytes]:
    """SUBPROOF(m, D[n], b) of RFC 6962 section 2.1.2; as called without `is_whole`, PROOF(m, D[n])."""
    if size == len(hashes):
        return [] if is_whole else [mth(hashes)]
    k = 1
    while k * 2 < len(hashes):
        k *= 2
    if size <= k:
        return [*consistency(size, hashes[:k], is_whole=is_whole), mth(hashes[k:])]
    return [*consistency(size - k, hashes[k:], is_whole=False), mth(hashes[:k])]


def tile(level: int, index: int, hashes: Sequence[bytes], width: int = 256) -> list[bytes]:
    """The hashes of a tile by its formula in tlog-tiles."""
    span = 256**level
    first = index * 256
    return [mth(hashes[(first + i) * span : (first + i + 1) * span]) for i in range(width)]


def partial_tiles(size: int, hashes: Sequence[bytes]) -> list[list[bytes]]:
    """The partial tiles of the tree of `size` leaves, from level 0 up."""
    levels = []
    level = 0
    while size >> 8 * level:
        count = size >> 8 * level
        levels.append(tile(level, count // 256, hashes, count % 256))
        level += 1
    return levels


@dataclass(frozen=True)
class Signer:
    """A key with a name. `kind` is the signature type: 0x01 and 0x04 are Ed25519, 0x06 is ML-DSA-44."""

    name: str
    kind: int
    seed: bytes

    @property
    def public(self) -> bytes:
        """The public key."""
        return self._key().public_key().public_bytes_raw()

    @property
    def key_id(self) -> bytes:
        """The key id of signed-note and tlog-cosignature."""
        return sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.public).digest()[:4]

    @property
    def vkey(self) -> str:
        """The verifier key."""
        return f"{self.name}+{self.key_id.hex()}+{b64(bytes([self.kind]) + self.public)}"

    def line(self, text: str, time: int = 1_770_000_000) -> str:
        """The signature line of a checkpoint."""
        signature = self._key().sign(self.message(text, time))
        stamp = b"" if self.kind == 1 else struct.pack(">Q", time)
        return f"— {self.name} {b64(self.key_id + stamp + signature)}\n"

    def message(self, text: str, time: int) -> bytes:
        """The signed message."""
        if self.kind == 1:
            return text.encode()
        if self.kind == 4:
            return f"cosignature/v1\ntime {time}\n{text}".encode()
        origin, size, root = text.split("\n")[:3]
        name, log = self.name.encode(), origin.encode()
        head = b"subtree/v1\n\0" + bytes([len(name)]) + name + struct.pack(">Q", time) + bytes([len(log)]) + log
        return head + struct.pack(">QQ", 0, int(size)) + base64.b64decode(root)

    def _key(self) -> Ed25519PrivateKey | MLDSA44PrivateKey:
        if self.kind == 6:
            return MLDSA44PrivateKey.from_seed_bytes(self.seed)
        return Ed25519PrivateKey.from_private_bytes(self.seed)


def encode_leaf(sequence: int, time: datetime, event_id: UUID, action: str, commitments: Sequence[bytes]) -> bytes:
    """A leaf."""
    micros = (time - EPOCH) // timedelta(microseconds=1)
    name = action.encode()
    head = bytes([1]) + sequence.to_bytes(8) + micros.to_bytes(8, signed=True) + event_id.bytes
    return head + len(name).to_bytes(2) + name + b"".join(commitments)


def commit(part: Document | None) -> bytes:
    """The commitment of a part of a bundle; of none 32 zero bytes."""
    if part is None:
        return bytes(32)
    return sha256(base64.b64decode(part["salt"]) + base64.b64decode(part["bytes"])).digest()


@dataclass
class Entry:
    """An entry as the service stores it."""

    sequence: int
    time: datetime
    id: UUID
    action: str
    parts: dict[str, Document]
    leaf: bytes = b""

    def seal(self) -> None:
        """Make the leaf of the parts as they are."""
        commitments = [commit(self.parts.get(part)) for part in PARTS]
        self.leaf = encode_leaf(self.sequence, self.time, self.id, self.action, commitments)

    def document(self) -> Document:
        """Its line of a bundle."""
        return {"sequence": self.sequence, "leaf": b64(self.leaf), "parts": dict(self.parts)}


@dataclass
class Log:
    """A tenant's log with its deployment log, as an operator has them who holds all keys."""

    tenant: str = "acme"
    host: str = "quartet.example"
    seed: int = 1
    entries: list[Entry] = field(default_factory=list)
    deployment: list[bytes] = field(default_factory=list)
    """Leaves of the deployment log."""
    witnesses: list[Signer] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)  # noqa: S311  # nosec B311  # salts of tests are to be the same each time
        self.origin = f"{self.host}/audit/log/{self.tenant}"
        self.deployment_origin = f"{self.host}/audit/log"
        self.signer = Signer(self.origin, 1, bytes([self.seed]) * 32)
        self.deployment_signers = [
            Signer(self.deployment_origin, 1, bytes([self.seed + 100]) * 32),
            Signer(self.deployment_origin, 6, bytes([self.seed + 101]) * 32),
        ]

    def append(
        self, count: int = 1, action: str = "users.user.updated", resource: tuple[str, str] = ("users", "u1")
    ) -> "Log":
        """Append entries with all parts, each third one without a source."""
        for _ in range(count):
            sequence = len(self.entries)
            entry = Entry(
                sequence, BEGIN + timedelta(seconds=sequence), UUID(bytes=self.random.randbytes(16)), action, {}
            )
            entry.parts = {name: self.part(content) for name, content in self._contents(entry, resource).items()}
            entry.seal()
            self.entries.append(entry)
        return self

    def part(self, content: Document | bytes) -> Document:
        """A part with a new salt."""
        raw = content if isinstance(content, bytes) else json.dumps(content, separators=(",", ":")).encode()
        return {"bytes": b64(raw), "salt": b64(self.random.randbytes(32))}

    def erase(self, sequences: Sequence[int], part: str = "actor") -> Document:
        """Erase a part of some entries, append the entry that records it, and return what is shown instead."""
        identifier = str(UUID(bytes=self.random.randbytes(16)))
        time = self.append(1, ERASURE, ("erasures", identifier)).entries[-1].time
        record = {"erased": {"time": time.isoformat().replace("+00:00", "Z"), "request": identifier}}
        for sequence in sequences:
            self.entries[sequence].parts[part] = dict(record)
        return record

    def hashes(self) -> list[bytes]:
        """The leaf hashes."""
        return [sha256(b"\0" + entry.leaf).digest() for entry in self.entries]

    def note(self, size: int | None = None, signer: Signer | None = None) -> str:
        """The signed checkpoint of the first `size` entries."""
        hashes = self.hashes()[:size]
        text = f"{self.origin}\n{len(hashes)}\n{b64(mth(hashes))}\n"
        return f"{text}\n{(signer or self.signer).line(text)}"

    def deploy(self, note: str) -> Document:
        """Append a tenant's checkpoint to the deployment log; returns the member `deployment` of a bundle."""
        text = note[: note.rindex("\n\n") + 1]
        salt, index = self.random.randbytes(32), len(self.deployment)
        leaf = b"\1" + index.to_bytes(8) + (10**15).to_bytes(8) + sha256(salt + text.encode()).digest()
        self.deployment.append(leaf)
        hashes = [sha256(b"\0" + each).digest() for each in self.deployment]
        return {
            "leaf_index": index, "leaf": b64(leaf), "salt": b64(salt), "tree_size": len(hashes),
            "root_hash": b64(mth(hashes)), "hashes": [b64(each) for each in inclusion(index, hashes)],
            "checkpoint": self.deployment_note(),
        }  # fmt: skip

    def deployment_note(self) -> str:
        """The signed and cosigned checkpoint of the deployment log."""
        hashes = [sha256(b"\0" + each).digest() for each in self.deployment]
        text = f"{self.deployment_origin}\n{len(hashes)}\n{b64(mth(hashes))}\n"
        return f"{text}\n" + "".join(each.line(text) for each in (*self.deployment_signers, *self.witnesses))

    def consistency(self, size: int) -> Document:
        """The proof that the deployment log continues that of `size` leaves."""
        hashes = [sha256(b"\0" + each).digest() for each in self.deployment]
        return {"from": size, "hashes": [b64(each) for each in consistency(size, hashes)]}

    def documents(self, begin: int = 0, size: int | None = None, *, deployment: int | None = None) -> list[Document]:
        """The lines of a bundle of the entries from `begin` to before `size`; with a proof that the deployment log
        continues that of `deployment` leaves.
        """
        hashes = self.hashes()[:size]
        end = len(hashes)
        header = {
            "format": "quartet-audit-bundle/v1", "tenant": self.tenant, "origin": self.origin, "from": begin,
            "size": end, "keys": keys_json([self.signer]), "deployment_keys": keys_json(self.deployment_signers),
        }  # fmt: skip
        if begin:
            header["partial_tiles"] = [b64(b"".join(level)) for level in partial_tiles(begin, hashes)]
        lines: list[Document] = [header]
        for entry in self.entries[begin:end]:
            lines.append(entry.document())
            lines += full_tiles(entry.sequence + 1, hashes)
        note = self.note(end)
        proof = self.deploy(note)
        if deployment is not None:
            proof["consistency"] = self.consistency(deployment)
        return [*lines, {"checkpoint": note, "deployment": proof}]

    def proof(self, index: int, size: int | None = None) -> Document:
        """The JSON of a proof."""
        hashes, entry = self.hashes()[:size], self.entries[index]
        note = self.note(size)
        return {
            "leaf_index": index, "leaf": b64(entry.leaf), "leaf_hash": b64(hashes[index]), "tree_size": len(hashes),
            "root_hash": b64(mth(hashes)), "hashes": [b64(each) for each in inclusion(index, hashes)],
            "checkpoint": note, "parts": dict(entry.parts), "deployment": self.deploy(note),
        }  # fmt: skip

    def text_proof(self, index: int) -> str:
        """The text of a proof (tlog-proof)."""
        path = "".join(f"{b64(each)}\n" for each in inclusion(index, self.hashes()))
        return f"c2sp.org/tlog-proof@v1\nextra {b64(self.entries[index].leaf)}\nindex {index}\n{path}\n{self.note()}"

    def _contents(self, entry: Entry, resource: tuple[str, str]) -> dict[str, Document]:
        number = entry.sequence
        time = entry.time.isoformat().replace("+00:00", "Z")
        contents: dict[str, Document] = {
            "facts": {
                "id": str(entry.id), "sequence": number, "time": time, "recorded_time": time, "tenant": self.tenant,
                "action": entry.action, "type": f"quartet.{entry.action}.v1", "actor": "okta",
                "resource": dict(zip(("type", "id"), resource, strict=True)), "outcome": "success",
                "trace_id": f"{number:032x}",
            },
            "actor": {"actor_name": f"Person {number}", "actor_type": "user"},
            "resource": {"resource_name": f"user{number}@example.com"},
            "source": {"source_address": "192.0.2.7", "user_agent": "example/1.0"},
            "changes": {"data": {"attribute": "title", "after": f"title {number}"}},
        }  # fmt: skip
        if number % 3 == 2:
            del contents["source"]
        return contents


def keys_json(signers: Sequence[Signer]) -> list[Document]:
    """The list of keys in a header."""
    return [{"vkey": each.vkey, "from": "2026-01-01T00:00:00Z", "until": None} for each in signers]


def full_tiles(size: int, hashes: Sequence[bytes]) -> list[Document]:
    """The lines of the tiles that are full with `size` leaves and not before."""
    lines = []
    level = 0
    while size % 256 ** (level + 1) == 0:
        index = size // 256 ** (level + 1) - 1
        lines.append({"tile": [level, index], "hashes": b64(b"".join(tile(level, index, hashes)))})
        level += 1
    return lines


def encode(documents: Sequence[Document]) -> bytes:
    """The bytes of a bundle."""
    return b"".join(json.dumps(each, ensure_ascii=False, separators=(",", ":")).encode() + b"\n" for each in documents)


def edit_part(document: Document, name: str, change: Callable[[bytes], bytes], what: str = "bytes") -> None:
    """Change the bytes or the salt of a part in a line of a bundle, as somebody would who can write to the table."""
    part = document["parts"][name]
    document["parts"][name] = {**part, what: b64(change(base64.b64decode(part[what])))}
