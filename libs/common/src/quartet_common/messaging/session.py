"""The session: one connection of a consumer, the messages that have arrived on it, and whether it has ended."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue

from quartet_common.messaging.deliveries import header_number
from quartet_common.messaging.topology import EVENTS_HEADER

logger = logging.getLogger(__name__)

CHECK_TIMEOUT = 5.0


@dataclass
class Session:
    """`queue` is consumed on `channel`; `checks` is a channel for questions, since a wrong answer closes it."""

    channel: AbstractChannel
    checks: AbstractChannel
    queue: AbstractQueue
    closed: asyncio.Event
    arrived: "asyncio.Queue[AbstractIncomingMessage]" = field(default_factory=asyncio.Queue)

    async def take(self, most: int, stopping: asyncio.Event, timeout: float) -> list[AbstractIncomingMessage]:
        """What has arrived, as `taken` gives it; waits for the first message, at most `timeout` seconds.

        Empty when `stopping` is set or the session has ended before.
        """
        first = asyncio.ensure_future(self.arrived.get())
        waits = [asyncio.ensure_future(end.wait()) for end in (stopping, self.closed)]
        try:
            await asyncio.wait([first, *waits], timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            return self.taken(most, [first.result()]) if first.done() else []
        finally:
            for task in (first, *waits):
                task.cancel()

    def taken(self, most: int, begun: Sequence[AbstractIncomingMessage] = ()) -> list[AbstractIncomingMessage]:
        """`begun` and messages that have arrived, in their order, until they hold `most` events or more."""
        messages = list(begun)
        events = sum(header_number(message, EVENTS_HEADER, 1) for message in messages)
        while events < most and not self.arrived.empty():
            messages.append(self.arrived.get_nowait())
            events += header_number(messages[-1], EVENTS_HEADER, 1)
        return messages

    async def check(self) -> None:
        """End the session unless its queue has a consumer.

        Raises ChannelNotFoundEntity where there is no such queue, TimeoutError where RabbitMQ does not say.
        """
        found = await self.checks.declare_queue(self.queue.name, passive=True, timeout=CHECK_TIMEOUT)
        if not found.declaration_result.consumer_count:
            logger.warning("the queue has lost its consumer", extra={"queue": self.queue.name})
            self.closed.set()
