"""Findings: what a verification found wrong, each with a kind, a place and a sentence."""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Final, Literal, get_args

Kind = Literal[
    "malformed",
    "truncated",
    "changed",
    "missing_part",
    "unexpected_part",
    "disagreement",
    "erasure",
    "retention",
    "missing",
    "out_of_order",
    "leaf",
    "tile",
    "root",
    "wrong_log",
    "signature",
    "deployment",
    "quorum",
    "rewritten",
    "rolled_back",
    "fork",
    "unlinked",
    "served",
]
KINDS: Final = get_args(Kind)
LIMIT: Final = 100
"""Findings that are listed; all are counted."""


@dataclass(frozen=True)
class Finding:
    """One finding; `sequence` and `part` name the place, if it is an entry."""

    kind: Kind
    message: str
    sequence: int | None = None
    part: str | None = None


class Findings:
    """The first findings, and the number of all of them by kind."""

    def __init__(self) -> None:
        self.listed: list[Finding] = []
        self.counts: Counter[Kind] = Counter()

    def __bool__(self) -> bool:
        return bool(self.counts)

    def add(self, kind: Kind, message: str, sequence: int | None = None, part: str | None = None) -> None:
        """Count a finding, and list it unless there are many."""
        self.counts[kind] += 1
        if len(self.listed) < LIMIT:
            self.listed.append(Finding(kind, message, sequence, part))

    def has(self, *kinds: Kind) -> bool:
        """Whether there is one of these kinds."""
        return any(kind in self.counts for kind in kinds)

    def as_json(self) -> dict[str, object]:
        """`counts` by kind, and the listed ones as `findings`."""
        return {"counts": dict(self.counts), "findings": [asdict(finding) for finding in self.listed]}
