"""Subscriptions: which events a service consumes, and the function that gives each its effect."""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from quartet_common.database import Connection
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
        return self._expression.fullmatch(f"{event.routing_key}.") is not None

    @cached_property
    def _expression(self) -> re.Pattern[str]:
        # every word ends with a dot, also the last one, so that `#` can stand for none wherever it is
        wild = {"*": r"[^.]*\.", "#": r"(?:[^.]*\.)*"}
        return re.compile("".join(wild.get(word, re.escape(f"{word}.")) for word in self.pattern.split(".")))


async def dispatch(connection: Connection, subscriptions: Sequence[Subscription], events: Sequence[Event]) -> None:
    """Give each subscription those of `events` that it asks for, as one batch each."""
    for subscription in subscriptions:
        wanted = [event for event in events if subscription.matches(event)]
        if wanted:
            await subscription.handler(connection, wanted)
