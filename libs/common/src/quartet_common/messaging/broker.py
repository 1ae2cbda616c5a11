"""The broker: opens connections to RabbitMQ."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import AMQPConnectionError, AMQPError
from yarl import URL

from quartet_common.config.certificates import client_context
from quartet_common.config.server_urls import Host, read_broker_url
from quartet_common.config.settings import ServiceConfig
from quartet_common.core.errors import UnavailableError
from quartet_common.core.hosts import connect_to_first

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT = 5
HEARTBEAT = 10
PATIENCE = 1.0
"""Seconds without an answer of one host after which the next one is tried as well."""

BROKER_ERRORS = (AMQPError, OSError, TimeoutError, asyncio.TimeoutError, RuntimeError, asyncio.InvalidStateError)
"""Errors of aio-pika when the connection fails or ends during a call."""


class Broker:
    """Opens connections to RabbitMQ; holds none, so that an api is ready without RabbitMQ."""

    def __init__(self, config: ServiceConfig) -> None:
        self._config = config

    async def connect(self, name: str) -> AbstractConnection:
        """Open a connection with this `name` in RabbitMQ, to the first host of the URL that answers. Raises one of
        BROKER_ERRORS.
        """
        servers = read_broker_url(self._config.broker_url)
        context = client_context(self._config) if servers.scheme == "amqps" else None

        async def to(host: Host) -> AbstractConnection:
            url = URL(servers.at(host)).with_password(self._config.broker_password.get_secret_value())
            return await aio_pika.connect(
                url.update_query(heartbeat=str(HEARTBEAT)),
                ssl_context=context,
                timeout=CONNECT_TIMEOUT,
                client_properties={"connection_name": f"quartet-{self._config.service}-{name}"},
            )

        return await connect_to_first(servers.hosts, to, AbstractConnection.close, PATIENCE)

    @asynccontextmanager
    async def connection(self, name: str) -> AsyncIterator[AbstractConnection]:
        """A connection for one request of an operator, closed at the end.

        Raises UnavailableError (503) if RabbitMQ cannot be reached, ends the connection, or does not answer a call in
        time.
        """
        try:
            connection = await self.connect(name)
        except BROKER_ERRORS as error:
            raise UnavailableError("rabbitmq") from error
        try:
            async with connection:
                yield connection
        except (AMQPConnectionError, ConnectionError) as error:
            raise UnavailableError("rabbitmq") from error
        except TimeoutError as error:
            raise UnavailableError("rabbitmq", problem="does not answer, or has an alarm") from error


@contextmanager
def as_lost_connection() -> Iterator[None]:
    """Convert a cancellation by aiormq to ConnectionError. When RabbitMQ misses its heartbeats, aiormq cancels pending
    calls, and the waiting task would end as if it had been cancelled.
    """
    try:
        yield
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise ConnectionError("RabbitMQ missed its heartbeats: the connection is closed") from error


def closed_event(connection: AbstractConnection, channel: AbstractChannel) -> asyncio.Event:
    """An asyncio event that is set when the connection or the channel has closed, on either side."""
    closed = asyncio.Event()
    connection.close_callbacks.add(lambda *_: closed.set())
    channel.close_callbacks.add(lambda *_: closed.set())
    return closed


async def set_when_cancelled(channel: AbstractChannel, closed: asyncio.Event) -> None:
    """Set `closed` when RabbitMQ cancels a consumer of `channel` (basic.cancel): its queue was deleted, or the queue's
    leader has moved.
    """

    def cancelled(frame: object) -> None:
        logger.warning("RabbitMQ has cancelled a consumer", extra={"frame": str(frame)})
        closed.set()

    (await channel.get_underlay_channel()).on_consumer_cancel_callbacks.add(cancelled)
