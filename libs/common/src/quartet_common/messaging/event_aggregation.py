"""Summaries: what anybody could cause any number of times is counted, and told once per window as bounded events."""

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
"""Different kinds that one window tells apart, of those that share a room; the rest are counted together."""
ANONYMOUS = "anonymous"
"""The actor of what nobody has a name for."""
OTHERS = "(others)"

K = TypeVar("K", bound=Hashable)
D = TypeVar("D")


@dataclass
class Tally(Generic[D]):
    """How often something of one kind happened within a window, when first and last, and what the first was like."""

    count: int
    first: datetime
    last: datetime
    example: D

    @property
    def facts(self) -> dict[str, object]:
        """The numbers as events tell them."""
        return {"count": self.count, "first": self.first.isoformat(), "last": self.last.isoformat()}


class Summaries(ABC, Generic[K, D]):
    """Counts by kind (`K`), with an example (`D`) of each, and writes each kind to the outbox once per `window` s."""

    name: str
    """What is counted, in the plural, for the logs."""

    def __init__(self, service: str, database: Callable[[], Database], clock: Clock, window: float) -> None:
        self._service = service
        self._database = database
        self._clock = clock
        self._window = window
        self._tallies: dict[K, Tally[D]] = {}
        self._rooms: Counter[Hashable] = Counter()
        self._task: asyncio.Task[None] | None = None

    @abstractmethod
    def rest(self, kind: K) -> K:
        """What `kind` is counted as when there are too many."""

    @abstractmethod
    def told(self, kind: K, tally: Tally[D]) -> tuple[Caller, DomainEvent]:
        """The event that tells of `tally`, and on whose behalf it is written."""

    def room(self, kind: K) -> Hashable:  # noqa: ARG002  # whoever overrides it looks
        """Kinds of one room share its places; there is one room for all unless there are more."""
        return None

    def places(self, room: Hashable) -> int:  # noqa: ARG002  # whoever overrides it looks
        """How many kinds a room tells apart."""
        return MAX_KEYS

    def start(self) -> None:
        """Begin to write summaries, one each window."""
        turn = Schedule(self.name, self._window, self.flush)
        self._task = asyncio.get_running_loop().create_task(run_schedule(turn))

    async def stop(self) -> None:
        """Write what is counted and end."""
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
        """Write the summaries of the window that ends now; the next one tells what cannot be written."""
        tallies, self._tallies, self._rooms = self._tallies, {}, Counter()
        try:
            for kind in list(tallies):
                caller, event = self.told(kind, tallies[kind])
                if not await self._write(caller, [event]):
                    break
                del tallies[kind]
        finally:
            for kind, tally in tallies.items():
                self._merge(kind, tally)

    def _merge(self, kind: K, tally: Tally[D]) -> None:
        if kind not in self._tallies:
            room = self.room(kind)
            if self._rooms[room] >= self.places(room):
                kind = self.rest(kind)
        known = self._tallies.get(kind)
        if known is None:
            self._tallies[kind] = tally
            self._rooms[self.room(kind)] += 1
            return
        known.count += tally.count
        known.first, known.last = min(known.first, tally.first), max(known.last, tally.last)

    async def _write(self, caller: Caller, events: Sequence[DomainEvent]) -> bool:
        """Whether `events` need not be written again: they are in the outbox, or nothing could store what is in them.

        What they tell of has happened, whatever becomes of them.
        """
        try:
            async with self._database().transaction() as connection:
                await outbox.add(connection, caller, events, now=self._clock(), service=self._service)
        except (ServiceError, asyncpg.PostgresError) as error:
            lost = [event.data for event in events]
            logger.error("%s could not be recorded", self.name, extra={"events": lost, "error": repr(error)[:300]})
            return isinstance(error, asyncpg.DataError)
        return True
