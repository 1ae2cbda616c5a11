"""Asks RabbitMQ whether a consumer has got all events that were published before."""

import asyncio

from aio_pika.abc import AbstractConnection

from quartet_common.core.errors import UnavailableError
from quartet_common.messaging.broker import BROKER_ERRORS, Broker
from quartet_common.messaging.stats import QueueState, read_queues
from quartet_common.messaging.topology import QueueNames

PATIENCE = 5.0
"""Seconds to wait for an empty queue."""
PAUSE = 0.2
LOOKS = 2
"""Looks at an empty queue in a row: RabbitMQ also says so of a busy one."""


async def find_waiting(broker: Broker, consumer: str) -> str | None:
    """What keeps `consumer` from having got all events that were published some seconds ago; None if nothing does.

    Raises UnavailableError without RabbitMQ.
    """
    try:
        async with broker.connection("reconciliation") as connection:
            return await _wait_for(connection, QueueNames(consumer))
    except BROKER_ERRORS as error:
        raise UnavailableError("rabbitmq") from error


async def _wait_for(connection: AbstractConnection, names: QueueNames) -> str | None:
    loop = asyncio.get_running_loop()
    until, empty = loop.time() + PATIENCE, 0
    while True:
        states = await read_queues(connection, names.all)
        held = sum(state.messages for name, state in states.items() if name != names.main)
        if held:
            return f"{held} failed messages of {names.service} are retried, or not stored as dead letters yet"
        main = states.get(names.main, QueueState(0, 0))
        empty = empty + 1 if main.consumers and not main.messages else 0
        if empty == LOOKS:
            return None
        if loop.time() >= until:
            what = f"{main.messages} messages wait" if main.consumers else "no worker runs"
            return f"{names.service} has not got all events: {what} at its queue"
        await asyncio.sleep(PAUSE)
