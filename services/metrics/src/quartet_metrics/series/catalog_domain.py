"""The catalogue of metrics: name, type, unit, labels and meaning of each; no I/O."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from quartet_common.messaging.envelope import DENIED


class Kind(StrEnum):
    """How a metric follows from events."""

    COUNTER = "counter"
    """A sum of amounts that only grows."""
    GAUGE = "gauge"
    """A sum of amounts that may be negative: its value is the sum until then."""
    DAILY = "daily"
    """A gauge with one value for each day."""


@dataclass(frozen=True)
class Metric:
    """A metric of the directory: names follow the conventions of Prometheus, `labels` have the order of stored ones."""

    name: str
    kind: Kind
    unit: str
    labels: tuple[str, ...]
    meaning: str

    @property
    def type(self) -> str:
        """`counter` or `gauge`."""
        return str(Kind.COUNTER if self.kind is Kind.COUNTER else Kind.GAUGE)


@dataclass(frozen=True)
class Alias:
    """Another name of a metric, with a label value that its samples have."""

    metric: Metric
    filter: tuple[str, str] | None = None


EVENTS = Metric(
    "quartet_events_total",
    Kind.COUNTER,
    "events",
    ("type", "outcome"),
    "Events of the tenant, by the times at which they occurred. Types of applications count together as app.",
)
DENIED_REQUESTS = Metric(
    "quartet_denied_requests_total",
    Kind.COUNTER,
    "requests",
    ("service", "status"),
    "Requests that got 401, 403 or 429. Those without a valid token count in the tenant quartet.",
)
LOGINS = Metric(
    "quartet_logins_total",
    Kind.COUNTER,
    "logins",
    ("result",),
    "Logins: success, failure, or locked_out (429 after failed ones, in the tenant quartet: the caller is not known).",
)
TOKENS = Metric(
    "quartet_tokens_issued_total",
    Kind.COUNTER,
    "tokens",
    ("grant",),
    "Access tokens of logins (password), and of the installation's own client for this tenant (client_credentials).",
)
SCIM_CHANGES = Metric(
    "quartet_scim_changes_total",
    Kind.COUNTER,
    "changes",
    ("client", "resource", "operation"),
    "Users and groups created, updated and deleted, and members added and removed, by API client or SCIM token; the "
    "changes of persons as client user, of Quartet itself as service.",
)
USERS = Metric("quartet_users", Kind.GAUGE, "users", ("state",), "Users that exist: active or suspended.")
GROUPS = Metric("quartet_groups", Kind.GAUGE, "groups", (), "Groups that exist.")
MEMBERSHIPS = Metric(
    "quartet_memberships", Kind.GAUGE, "memberships", ("type",), "Direct members of groups: user or group."
)
SESSIONS = Metric("quartet_sessions", Kind.GAUGE, "sessions", (), "Sessions of persons that have not ended.")
CLIENTS = Metric("quartet_api_clients", Kind.GAUGE, "clients", (), "API clients that exist.")
ENTRIES = Metric("quartet_audit_entries", Kind.GAUGE, "entries", (), "Entries of the audit log that have not expired.")
DRIFT = Metric(
    "quartet_metrics_drift",
    Kind.GAUGE,
    "things",
    ("metric", "label"),
    "By how much too many things a gauge has counted, by the last comparison with users, groups and audit.",
)
REFUSED_POINTS = Metric(
    "quartet_refused_points_total",
    Kind.COUNTER,
    "points",
    ("reason",),
    "Points of applications that were refused, by reason; the response to the sender says more.",
)
_ACTIVE = "Different users who were active in the {} UTC that end with the day."
DAILY_USERS = Metric(
    "quartet_daily_active_users", Kind.DAILY, "users", (), "Different users who were active on the day (UTC)."
)
WEEKLY_USERS = Metric("quartet_weekly_active_users", Kind.DAILY, "users", (), _ACTIVE.format("7 days"))
MONTHLY_USERS = Metric("quartet_monthly_active_users", Kind.DAILY, "users", (), _ACTIVE.format("30 days"))

METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        metric.name: metric
        for metric in (
            EVENTS,
            DENIED_REQUESTS,
            LOGINS,
            TOKENS,
            SCIM_CHANGES,
            USERS,
            GROUPS,
            MEMBERSHIPS,
            SESSIONS,
            CLIENTS,
            ENTRIES,
            DRIFT,
            REFUSED_POINTS,
            DAILY_USERS,
            WEEKLY_USERS,
            MONTHLY_USERS,
        )
    }
)
ALIASES: Mapping[str, Alias] = MappingProxyType(
    {
        "events": Alias(EVENTS),
        "refusals": Alias(EVENTS, ("outcome", DENIED)),
        **{name: Alias(metric) for name, metric in METRICS.items()},
    }
)
"""What `/metrics/query` takes as a metric: the names of the previous release too."""
