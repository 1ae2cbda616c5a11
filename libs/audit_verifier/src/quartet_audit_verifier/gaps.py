"""Gaps: ranges of entries that did not come in their place, in bounded memory."""

from typing import Final

MAX_RANGES: Final = 10_000


class Gaps:
    """Ranges of missing entries in ascending order, as (first, end)."""

    def __init__(self) -> None:
        self.ranges: list[tuple[int, int]] = []

    def add(self, begin: int, end: int) -> None:
        """Add a range after all others. Where there are too many, the last one grows over what is between."""
        if self.ranges and (self.ranges[-1][1] == begin or len(self.ranges) >= MAX_RANGES):
            begin = self.ranges.pop()[0]
        self.ranges.append((begin, end))

    def take(self, sequence: int) -> bool:
        """Remove an entry that came late; False if it was not missing."""
        for position, (begin, end) in enumerate(self.ranges):
            if begin <= sequence < end:
                left = [(begin, sequence), (sequence + 1, end)]
                self.ranges[position : position + 1] = [each for each in left if each[0] < each[1]]
                return True
        return False
