"""The order of the checkpoints in the pieces of a bundle: in both logs each continues the one before it."""

from dataclasses import dataclass
from typing import Any, Final

from quartet_audit_verifier.encoding import HASH_BYTES, FormatError, decode_base64, member, natural, shown
from quartet_audit_verifier.findings import Findings
from quartet_audit_verifier.merkle import is_consistent
from quartet_audit_verifier.notes import Checkpoint, parse_checkpoint

MAX_HASHES: Final = 127
"""Hashes of a consistency proof: two for each level of a tree at most."""


@dataclass(frozen=True)
class Consistency:
    """That the tree of a checkpoint continues the tree of `size` leaves."""

    size: int
    hashes: list[bytes]

    def shows(self, old: Checkpoint, new: Checkpoint) -> bool:
        """Whether it proves that `new` continues `old`."""
        return self.size == old.size and is_consistent((old.size, old.root), (new.size, new.root), self.hashes)


@dataclass(frozen=True)
class _End:
    """The checkpoint that a piece ends with, the leaf of the deployment log with it, and the checkpoint of that log."""

    own: Checkpoint
    index: int
    deployment: Checkpoint


class DeploymentOrder:
    """Compares the checkpoints at the end of each piece with those of the piece before it."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._last: _End | None = None
        self.compared = 0
        """Ends of pieces that were compared with the one before."""

    def add(self, own: Checkpoint, proof: object) -> None:
        """Take the end of a piece; what cannot be read of it has been reported by `check_deployment`."""
        try:
            if not isinstance(proof, dict):
                return
            end = _End(own, natural(proof, "leaf_index"), parse_checkpoint(member(proof, "checkpoint", str)))
            consistency = parse_consistency(proof)
        except FormatError:
            return
        if self._last is not None:
            self._compare_own(self._last, end)
            self._compare_deployment(self._last.deployment, end.deployment, consistency)
            self.compared += 1
        self._last = end

    def _compare_own(self, last: _End, end: _End) -> None:
        """The leaves of the deployment log are in the order of the checkpoints of the tenant."""
        if end.own.size < last.own.size:
            text = f"The checkpoint of size {end.own.size} comes after that of size {last.own.size}."
            self._findings.add("rolled_back", text)
        elif (end.own.text == last.own.text) != (end.index == last.index) or end.index < last.index:
            text = f"The deployment log has the checkpoint of size {end.own.size} at leaf {end.index}, and that of "
            self._findings.add("out_of_order", f"{text}size {last.own.size} before it at leaf {last.index}.")

    def _compare_deployment(self, old: Checkpoint, new: Checkpoint, consistency: Consistency | None) -> None:
        name = f"The deployment log {shown(new.origin)}"
        if new.origin != old.origin:
            self._findings.add("wrong_log", f"{name} is that of a piece, and {shown(old.origin)} of the one before it.")
        elif new.size < old.size:
            text = f"{name} has the size {new.size} in a piece, and {old.size} in the one before it."
            self._findings.add("rolled_back", text)
        elif new.size == old.size:
            if new.root != old.root:
                text = f"{name} shows two histories: of size {new.size} it has the root hashes {old.root.hex()} and "
                self._findings.add("fork", f"{text}{new.root.hex()} in two pieces.")
        elif consistency is None or consistency.size != old.size:
            text = f"{name}: nothing shows that its checkpoint of size {new.size} continues that of size {old.size} "
            self._findings.add("unlinked", f"{text}in the piece before. Get it again with &deployment={old.size}.")
        elif not consistency.shows(old, new):
            text = f"{name} was rewritten: its checkpoint of size {new.size} does not continue that of size {old.size} "
            self._findings.add("rewritten", f"{text}in the piece before.")


def parse_consistency(proof: dict[str, Any]) -> Consistency | None:
    """The member `consistency` of a proof of the deployment log, if it is there. Raises FormatError."""
    if "consistency" not in proof:
        return None
    found: dict[str, Any] = member(proof, "consistency", dict)
    hashes: list[object] = member(found, "hashes", list)
    if len(hashes) > MAX_HASHES:
        raise FormatError(f"its consistency proof has {len(hashes)} hashes")
    raw = [decode_base64(each, "a hash of the consistency proof", HASH_BYTES) for each in hashes]
    return Consistency(natural(found, "from"), raw)
