"""The logs to which this process has appended lately: the subscription notes them, and the signer looks at them."""

import time
from collections.abc import Iterable

KEPT = 30.0
"""Seconds for which a log is looked at: longer than a transaction that appends may take. Later it is found in turn."""


class GrownLogs:
    """Which logs this process has appended to, also in transactions that have not ended yet."""

    def __init__(self) -> None:
        self._noted: dict[str, float] = {}

    def add(self, logs: Iterable[str]) -> None:
        """Note that `logs` grow."""
        now = time.monotonic()
        for log in logs:
            self._noted.pop(log, None)  # so that the oldest are first
            self._noted[log] = now

    def recent(self) -> list[str]:
        """The logs that were noted in the last KEPT seconds."""
        end = time.monotonic() - KEPT
        for log, noted in list(self._noted.items()):
            if noted > end:
                break
            del self._noted[log]
        return list(self._noted)
