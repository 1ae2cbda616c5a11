"""The publisher: sends messages to one exchange and waits for the confirm of each, also while RabbitMQ blocks it."""

import asyncio

from aio_pika import Message
from aio_pika.abc import AbstractConnection, AbstractExchange

from quartet_common.messaging.broker import as_lost_connection

CONFIRM_TIMEOUT = 30.0
"""Seconds that RabbitMQ may take to confirm a message, without the time of alarms."""
INTERVAL = 0.5
"""Seconds between two checks whether RabbitMQ has blocked the connection."""


class Publisher:
    """Publishes persistent messages that must be routed (`mandatory`).

    With a memory or disk alarm RabbitMQ blocks a publishing connection (connection.blocked) and reads nothing from it
    until the alarm is over. Messages are confirmed then, so that sending one again would only duplicate it.
    """

    def __init__(self, connection: AbstractConnection, exchange: AbstractExchange) -> None:
        self._connection = connection
        self._exchange = exchange
        self.is_blocked = False

    async def publish(self, message: Message, key: str) -> None:
        """Raises one of BROKER_ERRORS: DeliveryError if RabbitMQ refuses it, TimeoutError without a confirm."""
        publishing = asyncio.ensure_future(self._exchange.publish(message, key, mandatory=True))
        left = CONFIRM_TIMEOUT
        try:
            while not (await asyncio.wait([publishing], timeout=INTERVAL))[0]:
                self.is_blocked = await _is_blocked(self._connection)
                left -= 0 if self.is_blocked else INTERVAL
                if left <= 0:
                    raise TimeoutError(f"RabbitMQ has not confirmed a message within {CONFIRM_TIMEOUT:.0f} s")
            with as_lost_connection():
                await publishing
        finally:
            self.is_blocked = False
            publishing.cancel()


async def _is_blocked(connection: AbstractConnection) -> bool:
    if connection.transport is None:
        return False
    try:
        async with asyncio.timeout(0):
            await connection.transport.connection.ready()  # returns at once unless the connection is blocked
    except TimeoutError:
        return True
    return False
