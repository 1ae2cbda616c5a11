"""The repair: queues that RabbitMQ lists but cannot serve are reported and, if the operator allows it, made anew.

RabbitMQ stores the list of queues and the log of each quorum queue separately. If it is killed within a second of a
queue's declaration, the log may be lost while the queue is still listed: it has no process, or one that never finds a
leader. RabbitMQ then closes the connections of its consumers (541) and confirms no message to it, after each restart
again.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from math import inf
from types import MappingProxyType
from typing import NamedTuple

from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage, AbstractQueue
from aio_pika.exceptions import ChannelNotFoundEntity
from aiormq.exceptions import ChannelLockedResource, ConnectionInternalError

from quartet_common.core.errors import UnavailableError
from quartet_common.messaging.broker import BROKER_ERRORS, Broker, as_lost_connection
from quartet_common.messaging.session import ANSWER_TIMEOUT
from quartet_common.messaging.topology import QueueNames, declare_consumer, declare_queue

logger = logging.getLogger(__name__)

LOCK = "quartet.repair"
"""An exclusive queue: only the connection that has declared it repairs."""
DELETE_TIMEOUT = 30.0
"""Seconds: RabbitMQ waits 5 s for a leader before it deletes a queue without one."""


class State(Enum):
    """RabbitMQ's answer to a consumer of a queue."""

    FINE = "is served"
    REFUSED = "is refused"
    """With an error: no process of the queue runs."""
    SILENT = "is not answered"
    """The queue has no leader, or recovers a long log."""


LIMITS: Mapping[State, float] = MappingProxyType({State.REFUSED: 15.0})
"""Seconds in a state, without a break, before a queue may be deleted. A silent queue never is: one that recovers a long
log answers nothing either.
"""
CHECK_AGAIN = 0.5
"""Seconds after which an empty queue without consumers is checked again: RabbitMQ also says so of a busy one."""


class Failure(NamedTuple):
    """The state of a queue, and since when, in seconds of the event loop's clock."""

    state: State
    since: float


class QueueRepair:
    """Checks the queues of `consumers`, by name with their patterns; deletes none unless `may_delete`."""

    def __init__(
        self,
        broker: Broker,
        consumers: Mapping[str, Sequence[str]],
        *,
        may_delete: bool = False,
        limits: Mapping[State, float] = LIMITS,
    ) -> None:
        self._broker = broker
        self._consumers = consumers
        self._may_delete = may_delete
        self._limits = limits
        self._owners = {queue: name for name in consumers for queue in QueueNames(name).all}
        self._failing: dict[str, Failure] = {}
        self._looked_at: int | None = 0

    @property
    def problem(self) -> str | None:
        """The queues that RabbitMQ cannot serve, for operators; None without any."""
        return f"cannot serve {', '.join(sorted(self._failing))}" if self._failing else None

    async def run_once(self, failures: int) -> None:
        """Check all queues if the number of `failures` of RabbitMQ has changed since the last check, and failing ones
        again until they are served. Raises UnavailableError: then the state is unknown.
        """
        if not self._failing and failures == self._looked_at:
            return
        try:
            with as_lost_connection():
                for name, state in (await self._look(self._failing or self._owners)).items():
                    await self._take(name, state)
        except (UnavailableError, *BROKER_ERRORS) as error:
            self._failing.clear()
            self._looked_at = None
            raise UnavailableError("rabbitmq") from error
        self._looked_at = failures

    async def _look(self, names: Iterable[str]) -> dict[str, State]:
        found: dict[str, State] = {}
        while left := [name for name in names if name not in found]:
            async with self._broker.connection("repair") as connection:
                for name in left:
                    found[name] = await state_of(connection, name)
                    if found[name] is not State.FINE:
                        break  # RabbitMQ has closed the connection, or is busy with its channel
        return found

    async def _take(self, name: str, state: State) -> None:
        """Note the state of a queue; repair it if it has lasted too long."""
        now, failure = asyncio.get_running_loop().time(), self._failing.get(name)
        if state is State.FINE:
            self._failing.pop(name, None)
        elif failure is None or failure.state is not state:
            logger.warning("RabbitMQ cannot serve a queue", extra={"queue": name, "state": f"a consumer {state.value}"})
            self._failing[name] = Failure(state, now)
        elif self._may_delete and now - failure.since >= self._limits.get(state, inf):
            await self._repair(name, state)

    async def _repair(self, name: str, state: State) -> None:
        async with self._broker.connection("repair") as connection:
            channel = await connection.channel()
            try:
                await channel.declare_queue(LOCK, exclusive=True, timeout=ANSWER_TIMEOUT)
            except ChannelLockedResource:
                return  # another worker repairs it
            # under the lock: another worker may have repaired it since
            if (await self._look([name]))[name] is not state:
                return
            consumer = self._owners[name]
            between = await recreate_queue(channel, consumer, name, self._consumers[consumer])
        del self._failing[name]
        logger.error(
            "RabbitMQ could not serve a queue, which was deleted and declared again: its messages are lost. "
            "Publish them again with `./quartet events replay`",
            extra={"queue": name, "state": f"a consumer {state.value}", "lost_in_between": between},
        )


async def state_of(connection: AbstractConnection, name: str) -> State:
    """RabbitMQ's answer to a consumer of the queue. A queue with messages or consumers is served; the others get a
    temporary consumer. A missing queue is left to the relays, which declare it.

    Raises one of BROKER_ERRORS if RabbitMQ closes the connection or does not answer.
    """
    channel = await connection.channel()
    try:
        queue = await channel.declare_queue(name, passive=True, timeout=ANSWER_TIMEOUT)
    except ChannelNotFoundEntity as error:
        return State.FINE if "no queue" in str(error) else State.REFUSED
    if not (_is_in_use(queue) or await _is_in_use_later(channel, name)):
        try:
            await channel.set_qos(prefetch_count=1)
            tag = await queue.consume(_put_back, timeout=ANSWER_TIMEOUT)
            await queue.cancel(tag, timeout=ANSWER_TIMEOUT)  # RabbitMQ answers when the queue has taken the consumer
        except TimeoutError:
            return State.SILENT
        except ConnectionInternalError:
            return State.REFUSED
    await channel.close()
    return State.FINE


def _is_in_use(queue: AbstractQueue) -> bool:
    return bool(queue.declaration_result.message_count or queue.declaration_result.consumer_count)


async def _is_in_use_later(channel: AbstractChannel, name: str) -> bool:
    await asyncio.sleep(CHECK_AGAIN)
    return _is_in_use(await channel.declare_queue(name, passive=True, timeout=ANSWER_TIMEOUT))


async def _put_back(message: AbstractIncomingMessage) -> None:
    await message.nack(requeue=True)


async def recreate_queue(channel: AbstractChannel, consumer: str, name: str, patterns: Iterable[str]) -> int:
    """Delete the queue `name` of `consumer` and declare it again, twice; return the messages published in between.

    If a queue has no process, RabbitMQ 3.10 does not forget the place of its log: a queue declared next works, and is
    broken again after the next restart. Deleting one that works forgets it.
    """
    await channel.queue_delete(name, timeout=DELETE_TIMEOUT)
    await declare_queue(channel, QueueNames(consumer), name)
    deleted = await channel.queue_delete(name, timeout=DELETE_TIMEOUT)
    await declare_consumer(channel, consumer, patterns)
    return deleted.message_count or 0
