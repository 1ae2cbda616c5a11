"""Dead letters: listing, and dropping those of deleted tenants."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import orjson
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage
from aio_pika.exceptions import ChannelNotFoundEntity

from quartet_common.core.errors import UnavailableError
from quartet_common.messaging.broker import BROKER_ERRORS, Broker
from quartet_common.messaging.deliveries import ATTEMPT_HEADER, REASON_HEADER, copy_of, is_batch
from quartet_common.messaging.envelope import MalformedEventError, elements
from quartet_common.messaging.redrive import CONFIRM_TIMEOUT
from quartet_common.messaging.stats import read_queues
from quartet_common.messaging.topology import QueueNames


async def list_dead_letters(
    connection: AbstractConnection,
    consumers: Sequence[QueueNames],
    limit: int,
    is_visible: Callable[[AbstractIncomingMessage], bool],
) -> tuple[int, list[dict[str, Any]]]:
    """The number of dead letters of `consumers`, and descriptions of the first `limit` that are visible."""
    total, messages = 0, list[AbstractIncomingMessage]()
    for name, state in (await read_queues(connection, [names.dead for names in consumers])).items():
        total += state.messages
        messages += await _peek(await connection.channel(), name, limit - len(messages), is_visible)
    return total, [_describe(message) for message in messages]


async def _peek(
    channel: AbstractChannel, name: str, limit: int, is_visible: Callable[[AbstractIncomingMessage], bool]
) -> list[AbstractIncomingMessage]:
    """The first visible dead letters. All return to the front of the queue; if they are many, in another order."""
    queue = await channel.get_queue(name)
    last: AbstractIncomingMessage | None = None
    found: list[AbstractIncomingMessage] = []
    while len(found) < limit and (message := await queue.get(fail=False)) is not None:
        last = message
        if is_visible(message):
            found.append(message)
    if last is not None:
        await last.nack(multiple=True, requeue=True)
    return found


def _describe(message: AbstractIncomingMessage) -> dict[str, Any]:
    event = facts(message)
    reason = message.headers.get(REASON_HEADER) or "delivered too often without an acknowledgement"
    return {
        "id": message.message_id,
        "type": message.type,
        "tenant": event.get("tenantid"),
        "subject": event.get("subject"),
        "time": event.get("time"),
        "attempts": message.headers.get(ATTEMPT_HEADER, 0),
        "reason": str(reason),
    }


async def drop(broker: Broker, consumers: Iterable[QueueNames], tenants: Collection[str]) -> Mapping[str, int]:
    """Drop the dead letters of `tenants`; return how many there were of each. Raises UnavailableError without RabbitMQ.

    Those of others stay unacknowledged meanwhile, and go back into their queue when the channel is closed, so that none
    is lost or duplicated. Only events of others in a batch are copied, before the batch is dropped. If the process ends
    between the two, they are duplicates, which the inbox skips.
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
            dropped = Counter(tenant for tenant in tenants_of(message) if tenant in tenants)
            if dropped:
                for body in _others(message, tenants):
                    copy = copy_of(message, body)
                    await channel.default_exchange.publish(copy, name, mandatory=True, timeout=CONFIRM_TIMEOUT)
                await message.ack()
            found += dropped
    except ChannelNotFoundEntity:  # a consumer without queues
        return found
    await channel.close()
    return found


def _others(message: AbstractIncomingMessage, tenants: Collection[str]) -> list[bytes]:
    """The events of other tenants in a batch, as messages of their own."""
    if not is_batch(message):
        return []
    return [body for body in elements(message.body) if _tenant_of(body) not in tenants]


def facts(message: AbstractIncomingMessage) -> dict[str, Any]:
    """The envelope of a dead letter as far as it is readable; empty for a batch, which has several."""
    return _read(message.body)


def tenants_of(message: AbstractIncomingMessage) -> list[str]:
    """The tenant of each event in a dead letter; empty for unreadable ones.

    A dead letter is one event, unless RabbitMQ dead-lettered a batch (delivery limit).
    """
    try:
        bodies = elements(message.body) if is_batch(message) else [message.body]
    except MalformedEventError:
        return []
    return [_tenant_of(body) for body in bodies]


def is_of(message: AbstractIncomingMessage, tenant: str) -> bool:
    """Whether all events in a dead letter are of `tenant`."""
    return set(tenants_of(message)) == {tenant}


def _tenant_of(body: bytes) -> str:
    """The tenant of an event; empty if it has no readable one."""
    tenant = _read(body).get("tenantid")
    return tenant if isinstance(tenant, str) else ""


def _read(body: bytes) -> dict[str, Any]:
    try:
        event = orjson.loads(body)
    except orjson.JSONDecodeError:
        event = None
    return event if isinstance(event, dict) else {}
