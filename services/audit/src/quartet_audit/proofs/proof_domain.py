"""Proofs: that an entry is in its tenant's log, and the checkpoint of that log in the deployment log."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from quartet_audit.checkpoints.checkpoint_domain import Checkpoint
from quartet_audit.leaves.leaf_domain import Part
from quartet_audit.note_domain import SignedNote, encode_base64
from quartet_audit.trees.tree_domain import leaf_hash

FIRST_LINE = "c2sp.org/tlog-proof@v1"


@dataclass(frozen=True)
class Inclusion:
    """That `leaf` is at `index` of the tree of the checkpoint in `note`; `hashes` begin with the leaf's sibling."""

    index: int
    leaf: bytes
    hashes: Sequence[bytes]
    note: str

    def document(self) -> dict[str, Any]:
        """The members that prove it, as in docs/audit-formats.md, "Proof"."""
        checkpoint = Checkpoint.decode(SignedNote.decode(self.note).text)
        return {
            "leaf_index": self.index,
            "leaf": encode_base64(self.leaf),
            "tree_size": checkpoint.size,
            "root_hash": encode_base64(checkpoint.root),
            "hashes": [encode_base64(one) for one in self.hashes],
            "checkpoint": self.note,
        }

    def text(self) -> str:
        """The proof as text, with the leaf in `extra` (C2SP tlog-proof, "Format")."""
        lines = [
            FIRST_LINE,
            f"extra {encode_base64(self.leaf)}",
            f"index {self.index}",
            *(encode_base64(one) for one in self.hashes),
        ]
        return "".join(f"{line}\n" for line in (*lines, "")) + self.note


class Consistency(NamedTuple):
    """That the tree of a checkpoint continues the tree of `size` leaves."""

    size: int
    hashes: Sequence[bytes]

    def document(self) -> dict[str, Any]:
        """The member `consistency` of docs/audit-formats.md, "Bundle"."""
        return {"from": self.size, "hashes": [encode_base64(one) for one in self.hashes]}


@dataclass(frozen=True)
class Proof:
    """The proof of an entry; `salt` is that of the leaf of the deployment log."""

    entry: Inclusion
    parts: Mapping[str, Part]
    erased: Mapping[str, Mapping[str, Any]]
    deployment: Inclusion
    salt: bytes

    def document(self) -> dict[str, Any]:
        """The JSON of docs/audit-formats.md, "Proof"."""
        parts: dict[str, Any] = {name: encode_part(part) for name, part in self.parts.items()}
        parts.update({name: {"erased": dict(erased)} for name, erased in self.erased.items()})
        return {
            **self.entry.document(),
            "leaf_hash": encode_base64(leaf_hash(self.entry.leaf)),
            "parts": parts,
            "deployment": {**self.deployment.document(), "salt": encode_base64(self.salt)},
        }


def encode_part(part: Part) -> dict[str, str]:
    """The stored bytes and the salt of a part."""
    return {"bytes": encode_base64(part.content), "salt": encode_base64(part.salt)}
