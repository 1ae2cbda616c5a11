"""Memory: returns the memory of large requests to the system soon, without waiting for a garbage collection."""

import ctypes
import gc
from collections.abc import Callable

INTERVAL = 5.0
"""Seconds between two checks for finished large requests."""
LARGE_REQUEST = 4 * 1024 * 1024
"""Bytes of its tenant's share above which a request is large. A collection stops the event loop (9 ms with 50,000
objects, 39 ms with 200,000), so ordinary lists, which a client may poll, must not cause one.
"""


class Memory:
    """Returns memory after large requests. `requests` is the number of those that have ended."""

    def __init__(self) -> None:
        self.requests = 0
        self._seen = 0
        self._trim = _malloc_trim()

    async def release(self) -> None:
        """Collect the reference cycles of large requests (an error refers to frames, and these to the request), and
        make malloc return free pages. Takes some milliseconds.
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
