"""The session: one connection of a consumer, the messages that have arrived on it, and whether it has ended."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue

from quartet_common.messaging.deliveries import header_number
from quartet_common.messaging.topology import EVENTS_HEADER
from quartet_serving.tasks import run_until

logger = logging.getLogger(__name__)

ANSWER_TIMEOUT = 5.0
"""Seconds that RabbitMQ may take to answer."""


@dataclass
class Session:
    """`queue` is consumed on `channel`; `checks` is a separate channel, since an error closes it."""

    channel: AbstractChannel
    checks: AbstractChannel
    queue: AbstractQueue
    closed: asyncio.Event
    arrived: "asyncio.Queue[AbstractIncomingMessage]" = field(default_factory=asyncio.Queue)
    _tag: str | None = None

    async def consume(self) -> None:
        """Start the delivery of messages."""
        self._tag = await self.queue.consume(self.arrived.put)

    async def cancel(self) -> None:
        """Stop the delivery of messages; idempotent. Raises TimeoutError if RabbitMQ does not answer."""
        tag, self._tag = self._tag, None
        if tag is not None and not self.closed.is_set():
            await self.queue.cancel(tag, timeout=ANSWER_TIMEOUT)

    async def take(self, most: int, ends: Sequence[asyncio.Event], timeout: float) -> list[AbstractIncomingMessage]:
        """The messages that have arrived, in their order, until they hold `most` events or more.

        Waits at most `timeout` seconds for the first one. Empty if one of `ends` is set before.
        """
        first = await run_until(self.arrived.get(), ends, timeout)
        if first is None:
            return []
        messages = [first]
        events = header_number(first, EVENTS_HEADER, 1)
        while events < most and not self.arrived.empty():
            messages.append(self.arrived.get_nowait())
            events += header_number(messages[-1], EVENTS_HEADER, 1)
        return messages

    async def check(self) -> None:
        """End the session unless its queue has a consumer.

        Raises ChannelNotFoundEntity if the queue does not exist, TimeoutError if RabbitMQ does not answer.
        """
        found = await self.checks.declare_queue(self.queue.name, passive=True, timeout=ANSWER_TIMEOUT)
        if not found.declaration_result.consumer_count:
            logger.warning("the queue has lost its consumer", extra={"queue": self.queue.name})
            self.closed.set()
