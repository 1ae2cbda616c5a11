"""Dead letters: what is known of one, and how those of deleted tenants are dropped."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import orjson
from aio_pika.abc import AbstractConnection, AbstractIncomingMessage
from aio_pika.exceptions import ChannelNotFoundEntity

from quartet_common.errors import UnavailableError
from quartet_common.messaging.broker import BROKER_ERRORS, Broker
from quartet_common.messaging.topology import QueueNames


async def drop(broker: Broker, consumers: Iterable[QueueNames], tenants: Collection[str]) -> Mapping[str, int]:
    """Drop the dead letters of `tenants`; how many there were of each. Raises UnavailableError without RabbitMQ.

    Those of others are held unanswered meanwhile, and go back where they were when the channel is closed: nothing is
    copied, so nothing can be lost or doubled, whatever ends this.
    """
    found: Counter[str] = Counter()
    try:
        async with broker.connection("dead-letters") as connection:
            for names in consumers:
                found += await _drop(connection, names.dead, tenants)
    except BROKER_ERRORS as error:
        raise UnavailableError("rabbitmq") from error
    return found


async def _drop(connection: AbstractConnection, name: str, tenants: Collection[str]) -> Counter[str]:
    found: Counter[str] = Counter()
    channel = await connection.channel()
    try:
        queue = await channel.declare_queue(name, passive=True)
        while (message := await queue.get(fail=False)) is not None:
            tenant = facts(message).get("tenantid")
            if isinstance(tenant, str) and tenant in tenants:
                await message.ack()
                found[tenant] += 1
    except ChannelNotFoundEntity:  # a consumer without queues
        return found
    await channel.close()
    return found


def facts(message: AbstractIncomingMessage) -> dict[str, Any]:
    """The envelope in a dead letter, as far as it is one."""
    try:
        event = orjson.loads(message.body)
    except orjson.JSONDecodeError:
        event = None
    return event if isinstance(event, dict) else {}
