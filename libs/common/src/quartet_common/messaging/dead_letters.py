"""Dead letters: a worker takes them from their queue and stores them in PostgreSQL, where they can be searched.

queue of dead letters -> get -> INSERT, COMMIT -> ack. A worker that ends before the ack takes them again: the second
INSERT finds the first. A batch becomes one dead letter for each of its events.
"""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import asyncpg
import orjson
from aio_pika import Message
from aio_pika.abc import AbstractConnection, AbstractIncomingMessage, AbstractQueue

from quartet_common.core.identifiers import TENANT_ID, new_id, parse_id
from quartet_common.data.database import Database
from quartet_common.messaging import dead_letter_store, redrive_store
from quartet_common.messaging.dead_letter_store import UNREADABLE, NewDeadLetter
from quartet_common.messaging.deliveries import (
    ATTEMPT_HEADER,
    REASON_HEADER,
    REDRIVE_HEADER,
    RETURNS_HEADER,
    copy_of,
    header_number,
    is_batch,
)
from quartet_common.messaging.envelope import MalformedEventError, elements
from quartet_common.messaging.stats import QueueState
from quartet_common.messaging.topology import QueueNames

logger = logging.getLogger(__name__)

AT_ONCE, AT_ONCE_BYTES = 200, 8 * 1024 * 1024
"""Messages and bytes that are stored in one transaction."""
MAX_TAKEN = 10_000
"""Messages that are taken from a queue in one run."""
MAX_TEXT = 1000
MAX_FAILURE = 200
"""Characters of a text, and of the beginning of a reason."""
MAX_NUMBER = 2**31 - 1
ENDED_WORKERS = "delivered too often without an acknowledgement"
"""The reason of what RabbitMQ has dead-lettered."""

Taken = list[tuple[AbstractIncomingMessage, list[tuple[NewDeadLetter, UUID | None]]]]


class DeadLetters:
    """Takes the dead letters of `consumers` from their queues."""

    def __init__(self, consumers: Sequence[str]) -> None:
        self._consumers = [QueueNames(name) for name in consumers]

    async def take(self, connection: AbstractConnection, database: Database, queues: Mapping[str, QueueState]) -> int:
        """Store what waits in the queues of dead letters, and return how many messages it was. One that PostgreSQL
        refuses stays in its queue, and holds up no other one.

        Raises one of BROKER_ERRORS, and UnavailableError without PostgreSQL.
        """
        waiting = [names for names in self._consumers if names.dead in queues and queues[names.dead].messages]
        return sum([await self._take_all(connection, database, names) for names in waiting])

    async def count(self, database: Database, queues: Mapping[str, QueueState]) -> dict[str, QueueState]:
        """`queues`, in which the messages of a queue of dead letters include the stored ones."""
        async with database.connection() as connection:
            stored = await dead_letter_store.count_by_consumer(connection)
        counted = dict(queues)
        for names in self._consumers:
            state = queues.get(names.dead, QueueState(0, 0))
            counted[names.dead] = QueueState(state.messages + stored.get(names.service, 0), state.consumers)
        return counted

    async def _take_all(self, connection: AbstractConnection, database: Database, names: QueueNames) -> int:
        channel = await connection.channel()
        queue = await channel.get_queue(names.dead)
        taken = 0
        while taken < MAX_TAKEN and (messages := await _get(queue)):
            taken += len(messages)
            found: Taken = [(message, letters_of(message, names.service)) for message in messages]
            for message in await _store_all(database, found):
                await message.ack()
        await channel.close()  # what was refused returns to its queue
        return taken


async def _get(queue: AbstractQueue) -> list[AbstractIncomingMessage]:
    """The next messages of a queue."""
    found: list[AbstractIncomingMessage] = []
    size = 0
    while len(found) < AT_ONCE and size < AT_ONCE_BYTES and (message := await queue.get(fail=False)) is not None:
        found.append(message)
        size += len(message.body)
    return found


async def _store_all(database: Database, found: Taken) -> list[AbstractIncomingMessage]:
    """Store the dead letters of messages, those that PostgreSQL refuses alone; return the messages that are stored."""
    try:
        await _store(database, found)
    except asyncpg.DataError as error:
        if len(found) == 1:
            facts = {"message_id": found[0][0].message_id, "error": str(error)}
            logger.error("a dead letter cannot be stored and stays in its queue", extra=facts)
            return []
        return [message for one in found for message in await _store_all(database, [one])]
    return [message for message, _ in found]


async def _store(database: Database, found: Taken) -> None:
    letters = [letter for _, each in found for letter in each]
    if not letters:
        return
    async with database.transaction() as connection:
        new = await dead_letter_store.insert(connection, [letter for letter, _ in letters])
        again = [redrive for letter, redrive in letters if redrive is not None and letter.id in new]
        if again:
            await redrive_store.count_failed(connection, again)
    logger.warning("dead letters were stored", extra={"dead_letters": len(new)})


def letters_of(message: AbstractIncomingMessage, consumer: str) -> list[tuple[NewDeadLetter, UUID | None]]:
    """The dead letters in a message: one, or those of a batch that RabbitMQ has dead-lettered; with the redrive that
    has sent each.
    """
    try:
        bodies = elements(message.body) if is_batch(message) else [None]
    except MalformedEventError:
        bodies = [None]
    redrive = parse_id(str(message.headers.get(REDRIVE_HEADER)))
    return [(_letter(copy_of(message, body), message, consumer), redrive) for body in bodies]


def _letter(copy: Message, message: AbstractIncomingMessage, consumer: str) -> NewDeadLetter:
    event = _facts(copy.body)
    tenant = event.get("tenantid")
    reason = _text(message.headers.get(REASON_HEADER) or ENDED_WORKERS) or ENDED_WORKERS
    headers = {key: value for key, value in copy.headers.items() if not key.startswith("x-") and isinstance(value, str)}
    return NewDeadLetter(
        tenant if isinstance(tenant, str) and TENANT_ID.fullmatch(tenant) else UNREADABLE,
        new_id(),
        consumer,
        hashlib.sha256(b"%b\0%b" % ((copy.message_id or "").encode(errors="replace"), copy.body)).digest(),
        _text(copy.message_id),
        _text(copy.type or event.get("type")),
        _text(event.get("subject")),
        _text(event.get("time")),
        reason,
        reason.partition(":")[0][:MAX_FAILURE],
        min(header_number(message, ATTEMPT_HEADER), MAX_NUMBER),
        min(header_number(message, RETURNS_HEADER), MAX_NUMBER),
        _text(copy.content_type),
        orjson.dumps(headers).decode(),
        copy.body,
    )


def _text(value: Any) -> str | None:
    """A text that PostgreSQL takes; None for what is none."""
    if not isinstance(value, str):
        return None
    return value[:MAX_TEXT].replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode() or None


def _facts(body: bytes) -> dict[str, Any]:
    """The envelope of a dead letter as far as it is readable."""
    try:
        event = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return event if isinstance(event, dict) else {}
