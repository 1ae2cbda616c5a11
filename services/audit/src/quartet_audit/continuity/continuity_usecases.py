"""Checks of the audit service itself: logs without gaps, a queue that moves, checkpoints that are signed in time."""

import time
from collections.abc import Mapping, Sequence
from datetime import datetime

from quartet_audit.config import AuditConfig
from quartet_audit.continuity import continuity_store
from quartet_audit.continuity.continuity_store import Gap, Range
from quartet_audit.trees.tree_store import DEPLOYMENT_LOG
from quartet_common.messaging.logging_failures import UNKNOWN, Check
from quartet_common.messaging.stats import QueueStats
from quartet_common.messaging.topology import QueueNames
from quartet_common.runtime.container import AppContainer

MAX_STANDSTILL = 20.0
"""Seconds for which messages may wait while no log grows."""
MAX_UNSIGNED = 20.0
"""Seconds that an entry may wait for its checkpoint; usually less than one."""
MAX_COUNTED = 100_000
"""Sequences that one run counts of the new ones, and of all in turn: a million within 50 s."""
MAX_GAPS = 100
"""Gaps that are counted again in each run."""
SHOWN = 5
"""Gaps that a problem names."""
SEQUENCE = "sequence"

Container = AppContainer[AuditConfig]


def logging_checks(container: Container, queues: QueueStats) -> Mapping[str, Check]:
    """The checks of logging that only audit has, by kind."""
    return {
        SEQUENCE: SequenceCheck(container).check,
        "queue": QueueCheck(container, queues).check,
        "checkpoints": checkpoint_check(container),
    }


class SequenceCheck:
    """Whether each log has a leaf and an entry for each sequence below its size."""

    def __init__(self, container: Container) -> None:
        self._container = container
        self._counted: dict[str, int] = {}
        """Sequences of each log when it was counted last; those beyond are new."""
        self._next = "", 0
        """Log and sequence with which the turn through all logs goes on."""
        self._turn_began: datetime | None = None
        self._clean_from: datetime | None = None
        """When the last complete turn began that found no gap."""
        self._gaps: Sequence[Gap] = ()

    async def check(self) -> str | None:
        """The problem; None if there is none; UNKNOWN if a failure lasts, perhaps found by another worker, and not all
        logs have been counted since it began. Raises UnavailableError without PostgreSQL.
        """
        async with self._container.database.snapshot() as connection:
            now, began = await continuity_store.read_begin(connection, SEQUENCE)
            extents = await continuity_store.read_extents(connection)
            self._turn_began = self._turn_began or now
            turn, is_complete = self._in_turn(extents)
            known = [
                Range(gap.log, gap.first, gap.after) for gap in self._gaps if gap.first in extents.get(gap.log, ())
            ]
            ranges = list(dict.fromkeys([*known, *self._new(extents), *turn]))
            gaps = await continuity_store.find_gaps(connection, ranges) if ranges else []
        self._gaps = list({(gap.log, gap.table, gap.first): gap for gap in gaps}.values())[:MAX_GAPS]
        if gaps:
            self._turn_began = self._clean_from = None
        elif is_complete:
            self._clean_from, self._turn_began = self._turn_began, None
        if gaps:
            return _describe(self._gaps)
        is_clean = began is None or (self._clean_from is not None and self._clean_from > began)
        return None if is_clean else UNKNOWN

    def _new(self, extents: Mapping[str, range]) -> list[Range]:
        """The ranges that were appended since the last run, at most MAX_COUNTED in all."""
        new, room = [], MAX_COUNTED
        for log, extent in extents.items():
            first = max(extent.start, self._counted.get(log, extent.stop - 1))
            after = min(extent.stop, first + room)
            if after > first:
                new.append(Range(log, first, after))
                room -= after - first
            self._counted[log] = max(after, first)
        return new

    def _in_turn(self, extents: Mapping[str, range]) -> tuple[list[Range], bool]:
        """The next ranges of all logs, MAX_COUNTED in all, and whether they end the turn."""
        turn, room = [], MAX_COUNTED
        start, offset = self._next
        for log, extent in extents.items():
            first = max(extent.start, offset if log == start else 0)
            after = min(extent.stop, first + room)
            if log >= start and after > first:
                turn.append(Range(log, first, after))
                room -= after - first
            if not room:
                self._next = log, after
                return turn, False
        self._next = "", 0
        return turn, True


class QueueCheck:
    """Whether entries are appended while messages wait in audit's queue."""

    def __init__(self, container: Container, queues: QueueStats) -> None:
        self._container = container
        self._queues = queues
        self._last = 0, 0
        self._moved_at = time.monotonic()

    async def check(self) -> str | None:
        """The problem, or None; UNKNOWN without RabbitMQ. Raises UnavailableError without PostgreSQL."""
        async with self._container.database.connection() as connection:
            extents = await continuity_store.read_extents(connection)
        queue = self._queues.state.get(QueueNames("audit").main)
        if queue is None:
            return UNKNOWN
        entries = sum(extent.stop for log, extent in extents.items() if log != DEPLOYMENT_LOG)
        now = time.monotonic()
        # duplicates, as those of a replay, leave the queue without an entry
        if not queue.messages or queue.messages < self._last[1] or entries != self._last[0]:
            self._moved_at = now
        self._last = entries, queue.messages
        standstill = now - self._moved_at
        if standstill < MAX_STANDSTILL:
            return None
        return f"{queue.messages} messages wait, and no log has grown for {standstill:.0f} s"


def checkpoint_check(container: Container) -> Check:
    """Whether each entry gets a checkpoint in time."""

    async def check() -> str | None:
        async with container.database.snapshot() as connection:
            shrunk = await continuity_store.read_shrunk(connection)
            oldest = await continuity_store.read_unsigned(connection)
        if shrunk is not None:
            return f"{_log(shrunk.log)} has {shrunk.size} leaves, and its last checkpoint {shrunk.signed}"
        if oldest is None or oldest.age < MAX_UNSIGNED:
            return None
        return f"an entry of the tenant {oldest.log} has no checkpoint after {oldest.age:.0f} s"

    return check


def _describe(gaps: Sequence[Gap]) -> str:
    named = [f"{_log(gap.log)} lacks {gap.number} {gap.table} from sequence {gap.first} on" for gap in gaps[:SHOWN]]
    return "; ".join([*named, *([f"{len(gaps) - SHOWN} more gaps"] if len(gaps) > SHOWN else [])])


def _log(log: str) -> str:
    return f"the log of the tenant {log}" if log else "the deployment log"
