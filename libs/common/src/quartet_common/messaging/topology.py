"""The topology: one exchange; for each consumer a queue, delay queues and a queue of dead letters, all of them quorum
queues.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel, AbstractExchange, AbstractQueue

EXCHANGE = "quartet.events"
EVENTS_HEADER = "x-quartet-events"
"""The number of events in a batch."""
RETRY_DELAYS = (1, 5, 30, 120, 600)
"""Seconds before the 1st, 2nd, ... retry of a failed event; after the last it is dead-lettered."""

DELIVERY_LIMIT = 20
"""Deliveries without an answer (a message that ends workers) before RabbitMQ dead-letters a message."""

NO_DELIVERY_LIMIT = 1_000_000_000
"""For queues that are only inspected: RabbitMQ 4 counts each inspection as a delivery and drops messages after 20."""


@dataclass(frozen=True)
class QueueNames:
    """The names of one consumer's queues. `service` is the service's name, or begins with it: a service may have
    several consumers.
    """

    service: str

    @property
    def main(self) -> str:
        """The queue of the consumer."""
        return f"quartet.{self.service}"

    @property
    def dead(self) -> str:
        """The queue of dead letters."""
        return f"quartet.{self.service}.dead"

    def delay(self, seconds: int) -> str:
        """The queue in which a failed event waits `seconds`."""
        return f"quartet.{self.service}.delay.{seconds}"

    @property
    def all(self) -> list[str]:
        """The names of all queues."""
        return [self.main, *(self.delay(seconds) for seconds in RETRY_DELAYS), self.dead]

    @property
    def arguments(self) -> dict[str, dict[str, Any]]:
        """The arguments of each queue by its name, the main queue last."""
        return {
            self.dead: _arguments(delivery_limit=NO_DELIVERY_LIMIT),
            **{self.delay(one): _arguments(dead_letters_to=self.main, ttl=one * 1000) for one in RETRY_DELAYS},
            self.main: _arguments(dead_letters_to=self.dead, delivery_limit=DELIVERY_LIMIT),
        }


async def declare_exchange(channel: AbstractChannel) -> AbstractExchange:
    """The topic exchange that all events go through."""
    return await channel.declare_exchange(EXCHANGE, ExchangeType.TOPIC, durable=True)


async def declare_consumer(channel: AbstractChannel, service: str, patterns: Iterable[str]) -> AbstractQueue:
    """Declare all queues of `service`'s consumer and bind its main queue to `patterns`; return the main queue.

    Old patterns stay bound until an operator unbinds them; the consumer acknowledges events without a subscription.
    """
    names = QueueNames(service)
    exchange = await declare_exchange(channel)
    queues = [await declare_queue(channel, names, name) for name in names.arguments]
    queue = queues[-1]
    for pattern in patterns:
        await queue.bind(exchange, routing_key=pattern)
    return queue


async def declare_queue(channel: AbstractChannel, names: QueueNames, name: str) -> AbstractQueue:
    """Declare the queue `name`, one of `names`, without bindings."""
    return await channel.declare_queue(name, durable=True, arguments=names.arguments[name])


async def declare_all(channel: AbstractChannel, consumers: Mapping[str, Sequence[str]]) -> None:
    """Declare the queues of all `consumers`, by name, with their patterns, as each consumer does for itself.

    `mandatory` is satisfied by any one queue. So before a relay publishes, the queue of every consumer exists, also
    when RabbitMQ has lost its data and a consumer is stopped.
    """
    for name, patterns in consumers.items():
        await declare_consumer(channel, name, patterns)


def _arguments(
    *, dead_letters_to: str | None = None, ttl: int | None = None, delivery_limit: int | None = None
) -> dict[str, Any]:
    arguments: dict[str, Any] = {"x-queue-type": "quorum"}
    if dead_letters_to is not None:
        # at-least-once dead-lettering needs reject-publish: the source keeps a message until the target confirms it
        arguments |= {
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": dead_letters_to,
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        }
    if ttl is not None:
        arguments["x-message-ttl"] = ttl
    if delivery_limit is not None:
        arguments["x-delivery-limit"] = delivery_limit
    return arguments


def revocation_queue(service: str) -> str:
    """The name of the consumer of `service` for revocations, and changes of origins, which do not wait behind other
    events there.
    """
    return f"{service}.revocations"
