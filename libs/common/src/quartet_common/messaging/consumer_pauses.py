"""Pauses of consumers: an operator stops a consumer in all workers of the service, until it is resumed.

paused in PostgreSQL -> each worker reads it each second -> its consumer ends its session, and begins one when resumed
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

from quartet_common.data.connections import Connection
from quartet_common.data.database import Database
from quartet_common.messaging.consumer import Consumer
from quartet_common.messaging.topology import QueueNames

INTERVAL = 1.0
"""Seconds between two reads."""
READ = "SELECT consumer, reason, changed_by, changed_at FROM consumer_pauses WHERE is_paused ORDER BY consumer"
CHANGE = """
INSERT INTO consumer_pauses AS known (consumer, is_paused, reason, changed_by) VALUES ($1, $2, $3, $4)
ON CONFLICT (consumer) DO UPDATE SET is_paused = excluded.is_paused, reason = excluded.reason,
    changed_by = excluded.changed_by, changed_at = now(), version = known.version + 1
WHERE known.is_paused <> excluded.is_paused RETURNING version"""


@dataclass(frozen=True)
class Pause:
    """A pause that lasts."""

    consumer: str
    reason: str
    paused_by: str
    paused_at: datetime

    def __str__(self) -> str:
        return f"paused by {self.paused_by} since {self.paused_at:%Y-%m-%dT%H:%M:%SZ}: {self.reason}"


async def read_pauses(connection: Connection) -> list[Pause]:
    """The pauses that last."""
    return [Pause(*row) for row in await connection.fetch(READ)]


async def change(connection: Connection, consumer: str, reason: str, actor: str, *, is_paused: bool) -> int | None:
    """Pause or resume a consumer and return the number of its changes; None if it is so already."""
    version: int | None = await connection.fetchval(CHANGE, consumer, is_paused, reason, actor)
    return version


class PauseWatch:
    """Pauses and resumes the consumers of a worker. None takes anything before the first read."""

    def __init__(self, database: Callable[[], Database], consumers: Sequence[Consumer]) -> None:
        self._database = database
        self._consumers = consumers
        self._pauses: Mapping[str, Pause] = {}
        for consumer in consumers:
            consumer.pause()
        metrics.get_meter(__name__).create_observable_gauge(
            "quartet.consumer.paused", [self._observe], description="1 while an operator has paused the consumer"
        )

    @property
    def current(self) -> dict[str, str]:
        """The pauses that last, in words, by the queue of the consumer."""
        return {QueueNames(name).main: str(pause) for name, pause in self._pauses.items()}

    async def run(self) -> None:
        """Read the pauses, and apply them. Raises UnavailableError without PostgreSQL: all goes on as before."""
        async with self._database().connection() as connection:
            self._pauses = {pause.consumer: pause for pause in await read_pauses(connection)}
        for consumer in self._consumers:
            if consumer.name in self._pauses:
                consumer.pause()
            else:
                consumer.resume()

    def _observe(self, _: CallbackOptions) -> Iterable[Observation]:
        return [
            Observation(int(one.name in self._pauses), {"queue": QueueNames(one.name).main}) for one in self._consumers
        ]
