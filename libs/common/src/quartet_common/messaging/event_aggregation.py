"""Event aggregation: facts that clients can cause without limit are counted, and published once per window."""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

import asyncpg

from quartet_common.core.caller import Caller
from quartet_common.core.clock import Clock
from quartet_common.core.errors import ServiceError
from quartet_common.core.schedule import Schedule, run_schedule
from quartet_common.data.database import Database
from quartet_common.messaging import outbox
from quartet_common.messaging.outbox import DomainEvent
from quartet_serving.tasks import end_tasks

logger = logging.getLogger(__name__)

MAX_KEYS = 50
"""Kinds that one partition counts separately in a window; all others are counted together."""
OTHERS = "(others)"

K = TypeVar("K", bound=Hashable)
D = TypeVar("D")


@dataclass
class Tally(Generic[D]):
    """How often a kind occurred within a window, when first and last, and an example: the first one."""

    count: int
    first: datetime
    last: datetime
    example: D

    @property
    def facts(self) -> dict[str, object]:
        """The numbers in the data of the event."""
        return {"count": self.count, "first": self.first.isoformat(), "last": self.last.isoformat()}


class EventAggregator(ABC, Generic[K, D]):
    """Counts by kind (`K`), with an example (`D`) of each, and writes each kind to the outbox once per `window` s."""

    name: str
    """What is counted, in the plural, for the logs."""

    def __init__(self, service: str, database: Callable[[], Database], clock: Clock, window: float) -> None:
        self._service = service
        self._database = database
        self._clock = clock
        self._window = window
        self._tallies: dict[K, Tally[D]] = {}
        self._partitions: Counter[Hashable] = Counter()
        self._task: asyncio.Task[None] | None = None

    @abstractmethod
    def overflow_key(self, kind: K) -> K:
        """The kind that `kind` is counted as when its partition is full."""

    @abstractmethod
    def event_of(self, kind: K, tally: Tally[D]) -> tuple[Caller, DomainEvent]:
        """The event of `tally`, and its caller."""

    def partition(self, kind: K) -> Hashable:  # noqa: ARG002  # overrides use it
        """The partition of `kind`, whose capacity its kinds share; one for all by default."""
        return None

    def capacity(self, partition: Hashable) -> int:  # noqa: ARG002  # overrides use it
        """How many kinds a partition counts separately."""
        return MAX_KEYS

    def start(self) -> None:
        """Begin to write events, once per window."""
        schedule = Schedule(self.name, self._window, self.flush)
        self._task = asyncio.get_running_loop().create_task(run_schedule(schedule))

    async def stop(self) -> None:
        """Write the counts and end."""
        if self._task is not None:
            await end_tasks([self._task])
        await self.flush()
        if self._tallies:
            logger.error("%s could not be recorded", self.name, extra={"kinds": len(self._tallies)})

    def add(self, kind: K, example: D) -> None:
        """Count one."""
        now = self._clock()
        self._merge(kind, Tally(1, now, now, example))

    async def flush(self) -> None:
        """Write the events of the window that ends now; those that cannot be written are added to the next window."""
        tallies, self._tallies, self._partitions = self._tallies, {}, Counter()
        try:
            for kind in list(tallies):
                caller, event = self.event_of(kind, tallies[kind])
                if not await self._write(caller, [event]):
                    break
                del tallies[kind]
        finally:
            for kind, tally in tallies.items():
                self._merge(kind, tally)

    def _merge(self, kind: K, tally: Tally[D]) -> None:
        if kind not in self._tallies:
            partition = self.partition(kind)
            if self._partitions[partition] >= self.capacity(partition):
                kind = self.overflow_key(kind)
        current = self._tallies.get(kind)
        if current is None:
            self._tallies[kind] = tally
            self._partitions[self.partition(kind)] += 1
            return
        current.count += tally.count
        current.first, current.last = min(current.first, tally.first), max(current.last, tally.last)

    async def _write(self, caller: Caller, events: Sequence[DomainEvent]) -> bool:
        """Whether `events` are done: they are in the outbox, or PostgreSQL can never store their data."""
        try:
            async with self._database().transaction() as connection:
                await outbox.add(connection, caller, events, now=self._clock(), service=self._service)
        except (ServiceError, asyncpg.PostgresError) as error:
            lost = [event.data for event in events]
            logger.error("%s could not be recorded", self.name, extra={"events": lost, "error": repr(error)[:300]})
            return isinstance(error, asyncpg.DataError)
        return True
