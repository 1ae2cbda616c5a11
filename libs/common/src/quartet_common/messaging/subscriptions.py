"""Subscriptions: which events a service consumes, and the function that gives each its effect."""

import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from quartet_common.data.connections import Connection
from quartet_common.messaging.envelope import Event

Handler = Callable[[Connection, Sequence[Event]], Awaitable[None]]
"""Applies a batch of events, in the order given, on the connection of the transaction that also notes them as seen."""


@dataclass(frozen=True)
class Subscription:
    """Events whose routing key matches `pattern` (`*` one word, `#` any number, as in AMQP topics) go to `handler`."""

    pattern: str
    handler: Handler

    def matches(self, event: Event) -> bool:
        """Whether `event` is meant."""
        return self._matches(event.routing_key)

    @cached_property
    def _matches(self) -> Callable[[str], bool]:
        return matcher([self.pattern])


def matcher(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Says of a routing key whether one of `patterns` matches it; remembers the keys, which are few."""
    # every word ends with a dot, also the last one, so that `#` can stand for none wherever it is
    wild = {"*": r"[^.]*\.", "#": r"(?:[^.]*\.)*"}
    expressions = [
        re.compile("".join(wild.get(word, re.escape(f"{word}.")) for word in pattern.split(".")))
        for pattern in patterns
    ]

    @lru_cache(1024)
    def matches(routing_key: str) -> bool:
        return any(expression.fullmatch(f"{routing_key}.") for expression in expressions)

    return matches


def wanted(subscriptions: Sequence[Subscription], event: Event) -> bool:
    """Whether a subscription asks for `event`; a batch also holds events that others asked for."""
    return any(subscription.matches(event) for subscription in subscriptions)


async def dispatch(connection: Connection, subscriptions: Sequence[Subscription], events: Sequence[Event]) -> None:
    """Give each subscription those of `events` that it asks for, as one batch each."""
    for subscription in subscriptions:
        wanted_events = [event for event in events if subscription.matches(event)]
        if wanted_events:
            await subscription.handler(connection, wanted_events)
