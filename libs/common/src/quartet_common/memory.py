"""Memory: what large requests have used goes back to the system soon, and does not wait for a collection by chance."""

import ctypes
import gc
from collections.abc import Callable

INTERVAL = 5.0
"""Seconds between two looks whether large requests have ended."""


class Memory:
    """Gives memory back after large requests. `requests` is how many of them have ended."""

    def __init__(self) -> None:
        self.requests = 0
        self._seen = 0
        self._trim = _malloc_trim()

    async def give_back(self) -> None:
        """Collect what large requests have left in reference cycles (an error holds the frames that it came through,
        and these what was sent), and have malloc return its free pages. Costs some milliseconds.
        """
        if self.requests != self._seen:
            self._seen = self.requests
            gc.collect()
            if self._trim is not None:
                self._trim(0)


def _malloc_trim() -> Callable[[int], object] | None:
    """The function of glibc; None with another C library."""
    found: Callable[[int], object] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return found
