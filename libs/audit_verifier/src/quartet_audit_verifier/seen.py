"""Checkpoints that were seen before: each must be a beginning of the log that is verified now."""

from collections.abc import Sequence

from quartet_audit_verifier.encoding import shown
from quartet_audit_verifier.findings import Findings
from quartet_audit_verifier.notes import Checkpoint


class SeenCheckpoints:
    """The seen checkpoints of a log, compared with the roots of a tree while it grows."""

    def __init__(self, checkpoints: Sequence[Checkpoint], first: int) -> None:
        """`checkpoints` in the order of their sizes; `first` is the first entry that is read."""
        self.skipped = [each for each in checkpoints if each.size < first]
        self.compared = 0
        self._left = [each for each in checkpoints if each.size >= first]
        self.next_size = self._left[0].size if self._left else -1
        """The size at which to compare next; -1 if there is none."""
        self._differing: list[tuple[Checkpoint, bytes, bool]] = []

    def compare(self, size: int, computed: bytes, stored: bytes) -> None:
        """Compare the checkpoints of this size with the roots of leaves and tiles."""
        while self._left and self._left[0].size == size:
            checkpoint = self._left.pop(0)
            self.compared += 1
            if checkpoint.root != computed:
                self._differing.append((checkpoint, computed, checkpoint.root == stored))
        self.next_size = self._left[0].size if self._left else -1

    def report(self, current: Checkpoint, findings: Findings, *, is_stored: bool) -> None:
        """Report those that are no beginning of the log of `current`.

        `is_stored`: only the tiles are as they were signed, so a changed entry explains what the tiles do not have.
        """
        for checkpoint, root, fits_tiles in self._differing:
            if checkpoint.size == current.size:
                if checkpoint.root != current.root:
                    findings.add("fork", _fork(checkpoint, current.root))
            elif not (is_stored and fits_tiles):
                findings.add("rewritten", _rewritten(checkpoint, root))
        for checkpoint in self._left:
            findings.add("rolled_back", _rolled_back(checkpoint, current.size))
        if self.skipped and not self.compared and not self._left:
            findings.add("unlinked", _unlinked(self.skipped[-1]))


def _fork(checkpoint: Checkpoint, root: bytes) -> str:
    return (
        f"The log {shown(checkpoint.origin)} shows two histories: a checkpoint of size {checkpoint.size} that was seen "
        f"has the root hash {checkpoint.root.hex()}, and this one of the same size has {root.hex()}."
    )


def _rewritten(checkpoint: Checkpoint, root: bytes) -> str:
    return (
        f"The log {shown(checkpoint.origin)} was rewritten before entry {checkpoint.size}: a checkpoint of this size "
        f"that was seen has the root hash {checkpoint.root.hex()}, and its first {checkpoint.size} entries now give "
        f"{root.hex()}."
    )


def _rolled_back(checkpoint: Checkpoint, size: int) -> str:
    return (
        f"Entries {size} to {checkpoint.size - 1} are missing, or an old checkpoint is shown again: a checkpoint of "
        f"size {checkpoint.size} of {shown(checkpoint.origin)} was seen, and this one has the size {size}."
    )


def _unlinked(checkpoint: Checkpoint) -> str:
    return (
        f"Nothing shows that the entries before this bundle are those of the checkpoint of size {checkpoint.size} "
        "that was seen. Verify a bundle from there on, or all pieces together."
    )
