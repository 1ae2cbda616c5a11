"""Redrive: sends selected dead letters back into the queue of their consumer, at a limited rate.

dead_letters (selected) -> publish, confirm -> DELETE, progress, COMMIT. A worker that ends before the commit sends them
again: the inbox of the consumer skips the second.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from uuid import UUID

import orjson
from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractChannel

from quartet_common.core.caller import Caller
from quartet_common.core.errors import ContendedError, UnavailableError
from quartet_common.core.fair_share import CapacityExceededError
from quartet_common.core.identifiers import SYSTEM_TENANT, new_id
from quartet_common.data.connections import Connection
from quartet_common.data.database import Database
from quartet_common.data.database_errors import UNAVAILABLE
from quartet_common.messaging import dead_letter_store, outbox, redrive_store
from quartet_common.messaging.broker import BROKER_ERRORS, Broker
from quartet_common.messaging.dead_letter_events import redrive_created, redrive_finished
from quartet_common.messaging.deliveries import REDRIVE_HEADER, RETURNS_HEADER
from quartet_common.messaging.redrive_store import Redrive, Waiting
from quartet_common.messaging.topology import QueueNames

logger = logging.getLogger(__name__)

INTERVAL = 0.5
"""Seconds between two runs."""
AT_ONCE = 500
"""Messages that are sent in one transaction."""
MAX_RATE = 500
"""Messages per second."""
CONFIRM_TIMEOUT = 5.0
"""Seconds that RabbitMQ may take to confirm a message; during an alarm it confirms none."""
MAX_RETURNS = 3
"""Each redrive gives six attempts within 13 minutes; events that still fail are left to an operator."""


def _names(classes: Iterable[type[BaseException]]) -> Iterator[str]:
    for one in classes:
        yield one.__name__
        yield from _names(one.__subclasses__())


SERVER_FAILURES = frozenset(_names((UnavailableError, CapacityExceededError, ContendedError, *UNAVAILABLE)))
"""Errors that are not an event's fault, by the names with which reasons begin."""


class RedriveSender:
    """Sends the dead letters that redrives have selected. Any number of workers may run one; a redrive is sent by one
    worker at a time.
    """

    def __init__(
        self, service: str, broker: Broker, database: Callable[[], Database], clock: Callable[[], datetime]
    ) -> None:
        self._service = service
        self._broker = broker
        self._database = database
        self._clock = clock

    async def run(self) -> None:
        """Advance each redrive by what its rate allows. Raises UnavailableError without PostgreSQL or RabbitMQ."""
        async with self._database().connection() as connection:
            running = await redrive_store.find_running(connection)
        if not running:
            return
        async with self._broker.connection("redrive") as rabbitmq:
            channel = await rabbitmq.channel(on_return_raises=True)
            for redrive_id in running:
                await self._advance(channel, redrive_id)

    async def select_failures(self) -> int:
        """Redrive the dead letters that a failed server caused, each at most MAX_RETURNS times; return how many.

        A consumer keeps events unacknowledged while a server is down. So these dead letters are of earlier versions, or
        of events whose statements timed out while the server counted as up.
        """
        redrive_id, caller = new_id(), Caller.service(SYSTEM_TENANT, f"quartet-{self._service}")
        async with self._database().transaction() as connection:
            selected = await dead_letter_store.select_failures(
                connection, sorted(SERVER_FAILURES), MAX_RETURNS, redrive_id
            )
            if selected:
                await redrive_store.insert(connection, caller.tenant, redrive_id, caller.actor, MAX_RATE, selected)
                event = redrive_created(self._service, redrive_id, selected, MAX_RATE)
                await outbox.add(connection, caller, [event], now=self._clock(), service=self._service)
        if selected:
            logger.warning("dead letters of a server's failure are redriven", extra={"dead_letters": selected})
        return selected

    async def _advance(self, channel: AbstractChannel, redrive_id: UUID) -> None:
        async with self._database().transaction() as connection:
            locked = await redrive_store.lock(connection, redrive_id)
            if locked is None:
                return
            tenant, allowed = locked
            letters = await redrive_store.read_next(connection, redrive_id, min(allowed, AT_ONCE))
            await _send(channel, redrive_id, letters)
            if letters or allowed:
                await redrive_store.advance(connection, redrive_id, letters)
                await self._publish_end(connection, await redrive_store.read_redrive(connection, tenant, redrive_id))

    async def _publish_end(self, connection: Connection, redrive: Redrive | None) -> None:
        """Publish that a redrive has ended, if it has."""
        if redrive is not None and redrive.finished_at is not None:
            caller = Caller.service(redrive.tenant, f"quartet-{self._service}")
            event = redrive_finished(self._service, redrive)
            await outbox.add(connection, caller, [event], now=self._clock(), service=self._service)


async def _send(channel: AbstractChannel, redrive_id: UUID, letters: Sequence[Waiting]) -> None:
    """Raises UnavailableError, in the transaction of PostgreSQL: that would take an error of RabbitMQ for its own."""
    try:
        for letter in letters:
            queue, message = QueueNames(letter.consumer).main, _message(letter, redrive_id)
            await channel.default_exchange.publish(message, queue, mandatory=True, timeout=CONFIRM_TIMEOUT)
    except BROKER_ERRORS as error:
        raise UnavailableError("rabbitmq") from error


def _message(letter: Waiting, redrive_id: UUID) -> Message:
    """The message without its attempts; its trace goes on."""
    headers = {**orjson.loads(letter.headers), RETURNS_HEADER: letter.returns + 1, REDRIVE_HEADER: str(redrive_id)}
    return Message(
        letter.body,
        content_type=letter.content_type,
        delivery_mode=DeliveryMode.PERSISTENT,
        message_id=letter.message_id,
        type=letter.type,
        headers=headers,
    )
