"""Receipts: a worker asks the audit service which of the events that RabbitMQ has confirmed have no entry.

worker of each service: events of the journal after `recorded_position` -> a request in `quartet.audit.receipts`
worker of audit: those without an entry -> the answer (direct reply-to) -> none: `recorded_position` moves on

The position stays while an event is missing: a redrive or a replay from the journal ends the failure.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from aio_pika import Message
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage, AbstractQueue

from quartet_common.core.errors import UnavailableError
from quartet_common.data.connections import Connection
from quartet_common.data.database import Database
from quartet_common.messaging.broker import BROKER_ERRORS, Broker
from quartet_common.messaging.logging_failures import MAX_LAG

QUEUE = "quartet.audit.receipts"
REQUEST_TTL = 10
"""Seconds after which RabbitMQ drops a request that no worker has taken."""
REPLIES = "amq.rabbitmq.reply-to"
ANSWER_TIMEOUT = 5.0
"""Seconds to wait for an answer."""
MAX_SILENCE = 20.0
"""Seconds without an answer after which audit counts as stalled."""
SLICE = 10_000
"""Events of one request: 16 bytes each."""
MAX_SLICES = 20
"""Requests of one check."""

Ids = Mapping[str, Iterable[UUID]]
"""Ids of events by tenant."""

# rows that were published at the same time belong together: the position is a time
READ_SLICE = """
SELECT tenant_id, event_id, published_at FROM published_events
WHERE published_at > (SELECT recorded_until FROM recorded_position)
    AND published_at < now() - make_interval(secs => $1)
    AND tenant_id NOT IN (SELECT tenant_id FROM deleted_tenants)
ORDER BY published_at FETCH FIRST ($2) ROWS WITH TIES"""
MOVE = "UPDATE recorded_position SET recorded_until = greatest(recorded_until, $1)"


class Slice(NamedTuple):
    """Events of the journal: their ids by tenant, their number, and when the last one was published."""

    ids: dict[str, list[UUID]]
    number: int
    until: datetime


def encode_ids(ids: Ids) -> bytes:
    """MessagePack: a map of tenants to their ids, 16 bytes each."""
    return msgspec.msgpack.encode({tenant: b"".join(one.bytes for one in own) for tenant, own in ids.items()})


def decode_ids(body: bytes) -> dict[str, list[UUID]]:
    """What `encode_ids` made. Raises msgspec.MsgspecError or ValueError."""
    found = msgspec.msgpack.decode(body, type=dict[str, bytes])
    return {
        tenant: [UUID(bytes=own[start : start + 16]) for start in range(0, len(own), 16)]
        for tenant, own in found.items()
    }


async def declare_queue(channel: AbstractChannel) -> AbstractQueue:
    """The queue of requests, from which audit's workers take them."""
    arguments: dict[str, Any] = {"x-queue-type": "quorum", "x-message-ttl": REQUEST_TTL * 1000}
    return await channel.declare_queue(QUEUE, durable=True, arguments=arguments)


class Receipts:
    """Asks for the events of one service. `check` is a check of `LoggingFailures`."""

    def __init__(self, broker: Broker, database: Callable[[], Database]) -> None:
        self._broker = broker
        self._database = database
        self._silent_since: float | None = None

    async def check(self) -> str | None:
        """The problem if events have no entry, or audit does not answer. Raises UnavailableError without a server."""
        for _ in range(MAX_SLICES):
            part = await self._read()
            if part is None:
                return None
            missing = await self._ask(part)
            if missing is None:
                return self._silence(part)
            self._silent_since = None
            if missing:
                return _describe(missing, part)
            async with self._database().transaction() as connection:
                await connection.execute(MOVE, part.until)
        return None

    async def _read(self) -> Slice | None:
        async with self._database().connection() as connection:
            return await read_slice(connection)

    async def _ask(self, part: Slice) -> dict[str, list[UUID]] | None:
        """Those of `part` without an entry; None without an answer. Raises UnavailableError without RabbitMQ."""
        try:
            async with self._broker.connection("receipts") as connection:
                answer = await _call(connection, encode_ids(part.ids))
        except BROKER_ERRORS as error:
            raise UnavailableError("rabbitmq") from error
        return None if answer is None else decode_ids(answer)

    def _silence(self, part: Slice) -> str | None:
        """The problem once audit has been silent for MAX_SILENCE. Until then raises UnavailableError: it is unknown."""
        now = time.monotonic()
        self._silent_since = now if self._silent_since is None else self._silent_since
        if now - self._silent_since < MAX_SILENCE:
            raise UnavailableError("audit", problem="does not say which events it has recorded")
        return f"the worker of audit does not say whether it has recorded {part.number} events: it is down, or stalled"


async def read_slice(connection: Connection) -> Slice | None:
    """The next events of the journal that are due to be recorded, or None."""
    rows = await connection.fetch(READ_SLICE, MAX_LAG, SLICE)
    if not rows:
        return None
    ids: dict[str, list[UUID]] = {}
    for row in rows:
        ids.setdefault(row["tenant_id"], []).append(row["event_id"])
    return Slice(ids, len(rows), rows[-1]["published_at"])


async def _call(connection: AbstractConnection, body: bytes) -> bytes | None:
    """The answer to a request; None without one, also while the queue does not exist. Raises one of BROKER_ERRORS."""
    channel = await connection.channel()
    answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def take(message: AbstractIncomingMessage) -> None:
        if not answered.done():
            answered.set_result(message.body)

    replies = await channel.get_queue(REPLIES, ensure=False)
    await replies.consume(take, no_ack=True)
    message = Message(body, reply_to=REPLIES)
    await channel.default_exchange.publish(message, QUEUE, mandatory=False, timeout=ANSWER_TIMEOUT)
    await asyncio.wait([answered], timeout=ANSWER_TIMEOUT)
    return answered.result() if answered.done() else None


def _describe(missing: Ids, part: Slice) -> str:
    number = sum(len(list(own)) for own in missing.values())
    tenant, own = next(iter(missing.items()))
    return (
        f"{number} of {part.number} events that RabbitMQ confirmed more than {MAX_LAG:.0f} s ago have no entry; "
        f"one is {next(iter(own))} of the tenant {tenant}"
    )
