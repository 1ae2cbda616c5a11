"""The rules for series: which amounts an event adds to which series; no I/O."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from types import MappingProxyType
from typing import NamedTuple

from quartet_common.core.caller import CLIENT
from quartet_common.messaging.envelope import Event
from quartet_common.messaging.event_types import APPLICATION
from quartet_metrics.series.catalog_domain import (
    CLIENTS,
    DENIED_REQUESTS,
    ENTRIES,
    EVENTS,
    GROUPS,
    LOGINS,
    MEMBERSHIPS,
    SCIM_CHANGES,
    SESSIONS,
    TOKENS,
    USERS,
    Metric,
)

SEPARATOR = "\x1f"
"""Between the labels of a series where they are one text."""


class SeriesKey(NamedTuple):
    """A series of a tenant; `labels` are values in the order of the metric's labels."""

    tenant: str
    metric: str
    labels: tuple[str, ...]


class Place(NamedTuple):
    """Where an amount counts: a series and the minute or day that begins at `start`."""

    key: SeriesKey
    start: datetime


Amounts = Mapping[Place, int]
Change = tuple[Metric, tuple[str, ...], int]
"""An amount for the series of a metric with these labels."""


@lru_cache(10_000)
def series_id(metric: str, labels: tuple[str, ...]) -> int:
    """The key of a series in its tenant: the first eight bytes of a digest, as `series_id` in PostgreSQL."""
    text = SEPARATOR.join((metric, *labels))
    return int.from_bytes(sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big", signed=True)


def tally(events: Iterable[Event]) -> Counter[Place]:
    """What `events` add to their series in each minute of their own times."""
    counts: defaultdict[tuple[str, str, tuple[str, ...], datetime], int] = defaultdict(int)  # faster than with Place
    for event in events:
        tenant, minute = event.tenantid, event.time.astimezone(UTC).replace(second=0, microsecond=0)
        for metric, labels, amount in changes_of(event):
            counts[tenant, metric.name, labels, minute] += amount
    return Counter(
        {
            Place(SeriesKey(tenant, metric, labels), minute): amount
            for (tenant, metric, labels, minute), amount in counts.items()
        }
    )


def changes_of(event: Event) -> Iterator[Change]:
    """What one event adds. Amounts are sums of what events say, so their order does not matter."""
    action = _action(event)
    yield EVENTS, (action, event.outcome), 1
    yield ENTRIES, (), 1
    yield from facts_of(event)
    service, _, fact = action.partition(".")
    if service in SCIM_RULES and fact in SCIM_RULES[service]:
        resource, operation, members = SCIM_RULES[service][fact]
        client = event.actorid if event.actortype == CLIENT else event.actortype or "unknown"
        yield SCIM_CHANGES, (client, resource, operation), _length(event, members) if members else 1


def facts_of(event: Event) -> Iterator[Change]:
    """What one event adds by the fact that it reports, besides the number of events and of changes over SCIM."""
    action = _action(event)
    rule = RULES.get(action) or RULES.get(action.partition(".")[2])
    if rule is not None:
        yield from rule(event)


def _action(event: Event) -> str:
    """The action, which is the same for all events of applications."""
    return APPLICATION if event.routing_key.startswith(f"{APPLICATION}.") else event.action


def _user_created(event: Event) -> Iterator[Change]:
    yield USERS, (_state(event),), 1


def _user_updated(event: Event) -> Iterator[Change]:
    """A change of `active` was one from its opposite."""
    if "active" in event.data.get("changed", ()):
        yield USERS, (_state(event),), 1
        yield USERS, (_state(event, was=True),), -1


def _user_deleted(event: Event) -> Iterator[Change]:
    yield USERS, (_state(event),), -1


def _state(event: Event, *, was: bool = False) -> str:
    return "active" if bool(event.data.get("active", True)) != was else "suspended"


def _login_succeeded(_: Event) -> Iterator[Change]:
    yield LOGINS, ("success",), 1
    yield TOKENS, ("password",), 1
    yield SESSIONS, (), 1


def _login_failed(event: Event) -> Iterator[Change]:
    yield LOGINS, ("failure",), _number(event, "count")


def _token_issued(_: Event) -> Iterator[Change]:
    yield TOKENS, ("client_credentials",), 1


def _request_refused(event: Event) -> Iterator[Change]:
    service = event.routing_key.partition(".")[0]
    yield DENIED_REQUESTS, (service, str(event.data.get("status", "unknown"))), _number(event, "count")


def _request_limited(event: Event) -> Iterator[Change]:
    yield from _request_refused(event)
    if event.data.get("limit") == "login":
        yield LOGINS, ("locked_out",), _number(event, "count")


def _always(metric: Metric, amount: int) -> Callable[[Event], Iterator[Change]]:
    return lambda _: iter([(metric, (), amount)])


def _members(kind: str, member: str, sign: int) -> Callable[[Event], Iterator[Change]]:
    return lambda event: iter([(MEMBERSHIPS, (kind,), sign * _length(event, member))])


def _retention_applied(event: Event) -> Iterator[Change]:
    yield ENTRIES, (), -_number(event, "entries")


def _number(event: Event, name: str) -> int:
    """A number of the data; 1 if there is none, as in the event of a single denied request."""
    value = event.data.get(name, 1)
    return value if isinstance(value, int) else 1


def _length(event: Event, name: str) -> int:
    value = event.data.get(name)
    return len(value) if isinstance(value, list) else 0


RULES: Mapping[str, Callable[[Event], Iterator[Change]]] = MappingProxyType(
    {
        "users.user.created": _user_created,
        "users.user.updated": _user_updated,
        "users.user.deleted": _user_deleted,
        "groups.group.created": _always(GROUPS, 1),
        "groups.group.deleted": _always(GROUPS, -1),
        "groups.membership.added": _members("user", "members", 1),
        "groups.membership.removed": _members("user", "members", -1),
        "groups.nesting.added": _members("group", "groups", 1),
        "groups.nesting.removed": _members("group", "groups", -1),
        "users.client.created": _always(CLIENTS, 1),
        "users.client.deleted": _always(CLIENTS, -1),
        "users.login.succeeded": _login_succeeded,
        "users.login.failed": _login_failed,
        "users.session.ended": _always(SESSIONS, -1),
        "users.token.issued": _token_issued,
        "audit.retention.applied": _retention_applied,
        "request.refused": _request_refused,
        "request.limited": _request_limited,
    }
)
"""What events add besides their own number, by action, or by action without its service."""
SCIM_RULES: Mapping[str, Mapping[str, tuple[str, str, str]]] = MappingProxyType(
    {
        "users": {f"user.{fact}d": ("User", fact, "") for fact in ("create", "update", "delete")},
        "groups": {
            **{f"group.{fact}d": ("Group", fact, "") for fact in ("create", "update", "delete")},
            "membership.added": ("member", "add", "members"),
            "membership.removed": ("member", "remove", "members"),
            "nesting.added": ("member", "add", "groups"),
            "nesting.removed": ("member", "remove", "groups"),
        },
    }
)
"""Resource, operation, and the member of the data whose elements count, by service and fact."""
