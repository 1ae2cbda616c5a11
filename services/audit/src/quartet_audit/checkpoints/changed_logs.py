"""Finds the logs that differ from their last checkpoints, at the cost of those that may, whatever the number of logs.

A worker looks at all logs when it starts, and then in each run at those to which it has appended, those that were not
signed up to their end, and LOGS others in turn: what a worker has appended that died before it signed is found so.
"""

from collections.abc import Iterable

from quartet_audit.checkpoints import checkpoint_store
from quartet_audit.checkpoints.checkpoint_store import ChangedLog
from quartet_audit.checkpoints.grown_logs import GrownLogs
from quartet_common.data.connections import Connection

LOGS = 500
"""Logs that a run looks at in turn: a thousand a second."""


class ChangedLogs:
    """Where a worker has come to in the logs, and which of them it has to look at again."""

    def __init__(self, grown: GrownLogs) -> None:
        self._grown = grown
        self._is_begun = False
        self._last = ""
        self._following: list[str] = []
        self._again: frozenset[str] = frozenset()

    async def read(self, connection: Connection, most: int) -> list[ChangedLog]:
        """The logs that differ, at most so many; call `done` once they are signed."""
        if not self._is_begun:
            return await checkpoint_store.read_changed(connection, most)
        self._following = await checkpoint_store.find_next(connection, self._last, LOGS)
        if len(self._following) < LOGS and self._last:
            self._following += await checkpoint_store.find_next(connection, "", LOGS - len(self._following))
        wanted = {*self._grown.recent(), *self._again, *self._following}
        return await checkpoint_store.read_changed(connection, most, wanted)

    def done(self, *, has_all: bool, again: Iterable[str]) -> None:
        """What was read has been signed, except for the logs `again`; `has_all`: there were not more of them."""
        self._again = frozenset(again)
        if has_all:
            self._is_begun = True
            self._last = self._following[-1] if self._following else ""
