"""Answers receipts: which of the events that a service has published have no entry."""

import logging

import msgspec
from aio_pika import Message
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from quartet_audit.config import AuditConfig
from quartet_audit.entries import entry_store
from quartet_common.core.errors import ServiceError
from quartet_common.core.schedule import Schedule
from quartet_common.messaging.broker import BROKER_ERRORS, closed_event, set_when_cancelled
from quartet_common.messaging.receipts import declare_queue, decode_ids, encode_ids
from quartet_common.runtime.container import AppContainer

logger = logging.getLogger(__name__)

RECONNECT = 5.0
"""Seconds after a lost connection."""

Container = AppContainer[AuditConfig]


def answering(container: Container) -> Schedule:
    """The schedule by which a worker answers: its action ends only with the connection."""

    async def run() -> None:
        async with container.broker.connection("receipts") as connection:
            channel = await connection.channel()
            closed = closed_event(connection, channel)
            await set_when_cancelled(channel, closed)
            await channel.set_qos(prefetch_count=1)
            queue = await declare_queue(channel)

            async def take(message: AbstractIncomingMessage) -> None:
                await _answer(container, channel, message)

            await queue.consume(take)
            await closed.wait()

    return Schedule("receipts", RECONNECT, run)


async def _answer(container: Container, channel: AbstractChannel, message: AbstractIncomingMessage) -> None:
    """Answer one request. Without PostgreSQL there is no answer: the service asks again."""
    try:
        asked = decode_ids(message.body)
        async with container.database.connection() as connection:
            missing = await entry_store.find_missing(connection, asked)
        if message.reply_to:
            await channel.default_exchange.publish(Message(encode_ids(missing)), message.reply_to, mandatory=False)
        await message.ack()
    except (msgspec.MsgspecError, ValueError) as error:
        logger.error("a request for receipts is malformed", extra={"error": str(error)})
        await message.ack()
    except (ServiceError, *BROKER_ERRORS) as error:
        logger.warning("a request for receipts is not answered", extra={"error": str(error)})
        await _drop(message)


async def _drop(message: AbstractIncomingMessage) -> None:
    try:
        await message.reject()
    except BROKER_ERRORS:
        logger.debug("the connection of receipts is closed")
