"""Memory: what large requests have used goes back to the system soon, and does not wait for a collection by chance."""

import ctypes
import gc
from collections.abc import Callable

INTERVAL = 5.0
"""Seconds between two looks whether large requests have ended."""
LARGE_REQUEST = 4 * 1024 * 1024
"""Bytes of its tenant's share above which a request is large. A collection stops the event loop (9 ms with 50,000
objects, 39 ms with 200,000), so ordinary lists, which a client may poll, must not cause one.
"""


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
