"""Totals of a tenant: what a service has, as metrics compares it with its gauges."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from quartet_common.data.connections import Connection


class Total(NamedTuple):
    """How many things of a metric there are, such as active users; `labels` has the order of the metric's."""

    metric: str
    labels: Sequence[str]
    value: int


@dataclass(frozen=True)
class Found:
    """The totals of a tenant. `recorded`: the ids of recent events of any service that are part of them; None: there
    are too many.
    """

    totals: Sequence[Total]
    recorded: Sequence[UUID] | None = ()


ReadTotals = Callable[[Connection, str, datetime, Sequence[UUID]], Awaitable[Found]]
"""Reads the totals of a tenant in a snapshot, given a time and the ids of the events that the caller has applied since
some time before: of events after the time, the caller may not have applied all.
"""
