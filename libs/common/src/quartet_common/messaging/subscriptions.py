"""Subscriptions: the events that a service consumes, and their handlers."""

import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from quartet_common.data.connections import Connection
from quartet_common.messaging.envelope import Event

Handler = Callable[[Connection, Sequence[Event]], Awaitable[None]]
"""Applies a batch of events in order, on the connection of the transaction that also writes the inbox."""


@dataclass(frozen=True)
class Subscription:
    """Events whose routing key matches `pattern` (`*` one word, `#` any number, as in AMQP topics) go to `handler`."""

    pattern: str
    handler: Handler

    def matches(self, event: Event) -> bool:
        """Whether `event` goes to the handler."""
        return self._matches(event.routing_key)

    @cached_property
    def _matches(self) -> Callable[[str], bool]:
        return matcher([self.pattern])


def matcher(patterns: Iterable[str]) -> Callable[[str], bool]:
    """A function that says whether one of `patterns` matches a routing key; it caches the keys, which are few."""
    # every word ends with a dot, also the last one, so that `#` can match none at any place
    wild = {"*": r"[^.]*\.", "#": r"(?:[^.]*\.)*"}
    expressions = [
        re.compile("".join(wild.get(word, re.escape(f"{word}.")) for word in pattern.split(".")))
        for pattern in patterns
    ]

    @lru_cache(1024)
    def matches(routing_key: str) -> bool:
        return any(expression.fullmatch(f"{routing_key}.") for expression in expressions)

    return matches


def by_tenant(events: Sequence[Event]) -> list[tuple[str, list[Event]]]:
    """The events of each tenant, sorted by tenant: handlers that lock rows in this order cannot block each other."""
    found: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        found[event.tenantid].append(event)
    return sorted(found.items())


def wanted(subscriptions: Sequence[Subscription], event: Event) -> bool:
    """Whether a subscription matches `event`; a batch also has events for other consumers."""
    return any(subscription.matches(event) for subscription in subscriptions)


async def dispatch(connection: Connection, subscriptions: Sequence[Subscription], events: Sequence[Event]) -> None:
    """Call each handler with the matching events, as one batch."""
    for subscription in subscriptions:
        wanted_events = [event for event in events if subscription.matches(event)]
        if wanted_events:
            await subscription.handler(connection, wanted_events)
