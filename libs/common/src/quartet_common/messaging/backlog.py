"""The backlog: the messages that wait at the consumers; while it is large, the relay keeps events in the outbox.

A queue is first in, first out: many events of one tenant delay those of all others behind them. In the outbox the relay
can take turns between tenants.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from aio_pika.abc import AbstractChannel, AbstractConnection

from quartet_common.messaging.subscriptions import matcher
from quartet_common.messaging.topology import QueueNames

MAX_QUEUED = 6
"""Messages in a queue above which it is a backlog; each holds up to 200 events."""
STALL_TIMEOUT = 2.0
"""Seconds without progress after which a queue is ignored: its consumer is stuck, and must not hold up the others."""
CHECK_TIMEOUT = 5.0


@dataclass
class _Queue:
    name: str
    takes: Callable[[str], bool]
    depth: int = 0
    """Messages at the last check, and those that this relay has published since."""
    moved_at: float = 0.0


class Backlog:
    """Checks the queues of `consumers`, by name, with their patterns, on a channel of its own."""

    def __init__(self, connection: AbstractConnection, consumers: Mapping[str, Sequence[str]]) -> None:
        self._connection = connection
        self._channel: AbstractChannel | None = None
        self._queues = [_Queue(QueueNames(name).main, matcher(patterns)) for name, patterns in consumers.items()]
        self._looked_at = float("-inf")
        self._is_large = False

    def published(self, keys: Sequence[str]) -> None:
        """Count a confirmed message with these routing keys: a queue may grow although its consumer works."""
        for queue in self._queues:
            queue.depth += any(map(queue.takes, keys))

    async def is_large(self, max_age: float) -> bool:
        """Whether a working consumer has more than MAX_QUEUED messages waiting, by a check at most `max_age` s old.

        Raises one of BROKER_ERRORS: ChannelNotFoundEntity for a queue that does not exist, TimeoutError.
        """
        now = asyncio.get_running_loop().time()
        if now - self._looked_at >= max_age:
            if self._channel is None:
                self._channel = await self._connection.channel()
            self._is_large = False
            for queue in self._queues:
                self._is_large |= await self._look(self._channel, queue, now)
            self._looked_at = asyncio.get_running_loop().time()
        return self._is_large

    async def _look(self, channel: AbstractChannel, queue: _Queue, now: float) -> bool:
        found = (await channel.declare_queue(queue.name, passive=True, timeout=CHECK_TIMEOUT)).declaration_result
        depth = found.message_count or 0
        # messages from relays of other services are not counted: while they add more than is taken, it looks stuck
        if depth < queue.depth or depth <= MAX_QUEUED:
            queue.moved_at = now
        queue.depth = depth
        return bool(found.consumer_count) and depth > MAX_QUEUED and now - queue.moved_at < STALL_TIMEOUT
