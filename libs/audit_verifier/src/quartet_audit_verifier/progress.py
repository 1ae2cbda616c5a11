"""A progress bar on a terminal; nothing elsewhere."""

import sys
import time
from typing import Final, TextIO

WIDTH: Final = 30
INTERVAL: Final = 0.2
"""Seconds between two pictures of the bar."""


class Progress:
    """Shows how much of something is done, on standard error if that is a terminal."""

    def __init__(self, total: int | None, stream: TextIO | None = None) -> None:
        """`total` in the units of `show`; None if it is not known."""
        self._total = total
        self._stream = stream or sys.stderr
        self.is_shown = self._stream.isatty()
        self._begun = self._last = time.monotonic()

    def show(self, done: int, entries: int, total: int | None = None) -> None:
        """Draw the bar, if the last picture is old enough; `total` replaces an earlier one."""
        self._total = total or self._total
        now = time.monotonic()
        if self.is_shown and now - self._last >= INTERVAL:
            self._last = now
            self._draw(done, entries, now - self._begun)

    def end(self) -> None:
        """Remove the bar."""
        if self.is_shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def _draw(self, done: int, entries: int, seconds: float) -> None:
        share = min(done / self._total, 1.0) if self._total else 0.0
        filled = int(share * WIDTH)
        rest = f"{seconds / share - seconds:4.0f} s left" if share > 0.01 else ""
        bar = "#" * filled + "-" * (WIDTH - filled)
        self._stream.write(f"\r\x1b[K[{bar}] {share:4.0%}  {entries:,} entries  {rest}")
        self._stream.flush()
