"""The rules of comparisons: which gauges are compared with which service, and what they should be; no I/O."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import NamedTuple

from quartet_common.messaging.envelope import Event
from quartet_metrics.series.catalog_domain import CLIENTS, ENTRIES, GROUPS, MEMBERSHIPS, METRICS, SESSIONS, USERS
from quartet_metrics.series.series_domain import facts_of

WINDOW = timedelta(seconds=60)
"""Events that were published longer ago have been applied, once the queues are empty."""
MARGIN = timedelta(seconds=60)
"""How far the clocks of two databases may differ."""

NIGHT = timedelta(hours=6)
"""In which all tenants are compared."""


class Gauge(NamedTuple):
    """A series that is compared: a metric, and label values in the order of the metric's labels."""

    metric: str
    labels: tuple[str, ...]

    @property
    def label(self) -> str:
        """The label values as one text; empty without labels."""
        return ",".join(self.labels)

    @property
    def named_labels(self) -> dict[str, str]:
        """The labels by their names."""
        return dict(zip(METRICS[self.metric].labels, self.labels, strict=True))


COMPARED: Mapping[str, tuple[Gauge, ...]] = MappingProxyType(
    {
        "users": (
            Gauge(USERS.name, ("active",)),
            Gauge(USERS.name, ("suspended",)),
            Gauge(SESSIONS.name, ()),
            Gauge(CLIENTS.name, ()),
        ),
        "groups": (
            Gauge(GROUPS.name, ()),
            Gauge(MEMBERSHIPS.name, ("user",)),
            Gauge(MEMBERSHIPS.name, ("group",)),
        ),
        "audit": (Gauge(ENTRIES.name, ()),),
    }
)
"""The gauges by the service that has what they count."""
GAUGES = tuple(gauge for gauges in COMPARED.values() for gauge in gauges)


class Compared(NamedTuple):
    """What metrics has `counted`, and what it should have counted by then: what `exists` in the other service, without
    the changes whose events had not been applied.
    """

    counted: int
    exists: int

    @property
    def drift(self) -> int:
        """By how much too many are counted."""
        return self.counted - self.exists


Comparison = Mapping[Gauge, Compared]


class Tenant(NamedTuple):
    """When a tenant was compared last, and how many of its gauges differ."""

    tenant: str
    compared_at: datetime | None
    drifts: int


def expected(totals: Mapping[Gauge, int], pending: Iterable[Event], entries: int) -> dict[Gauge, int]:
    """What the gauges should be: `totals` without the facts of `pending` events, and without so many new `entries`."""
    changes: Counter[Gauge] = Counter({Gauge(ENTRIES.name, ()): entries})
    for event in pending:
        for metric, labels, amount in facts_of(event):
            changes[Gauge(metric.name, labels)] += amount
    return {gauge: value - changes[gauge] for gauge, value in totals.items()}


def of_dead_letters(number: int) -> str:
    """Why a tenant with so many dead letters at a consumer cannot be compared."""
    return f"has {number} dead letters that are of this tenant or unreadable: redrive or discard them first"


def steady(comparisons: Iterable[Comparison]) -> Comparison:
    """The last of several comparisons, without gauges whose drift was not the same in all of them."""
    all_of_them = list(comparisons)
    return {
        gauge: compared
        for gauge, compared in all_of_them[-1].items()
        if len({one[gauge].drift if gauge in one else None for one in all_of_them}) == 1
    }


def night_at(now: datetime, hour: int) -> datetime | None:
    """When the running night of comparisons began: at `hour` (UTC), for NIGHT; None at other times."""
    today = now.astimezone(UTC).replace(hour=hour, minute=0, second=0, microsecond=0)
    began = today if today <= now else today - timedelta(days=1)
    return began if now < began + NIGHT else None
