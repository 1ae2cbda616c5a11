"""The states of alerts: what a result of a rule's expression makes of its alerts; no I/O."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal, NamedTuple
from uuid import UUID

import msgspec

from quartet_common.core.identifiers import new_id
from quartet_metrics.alerts.rule_domain import Definition, labels_of, read_duration
from quartet_metrics.prometheus.prometheus_domain import QueryError

MAX_ALERTS = 100
"""Alerts of a rule."""
PENDING: Final = "pending"
FIRING: Final = "firing"
INACTIVE: Final = "inactive"


class Found(NamedTuple):
    """A series of a result, with the labels that its alert has; the value is the engine's text."""

    labels: dict[str, str]
    value: str


@dataclass(frozen=True)
class Alert:
    """A pending alert, or a firing one if `fired_at` is set. `absent_since` is set if its series is not found any more,
    and it keeps firing.
    """

    id: UUID
    labels: dict[str, str]
    value: str
    active_at: datetime
    fired_at: datetime | None = None
    absent_since: datetime | None = None

    @property
    def state(self) -> Literal["pending", "firing"]:
        """PENDING or FIRING."""
        return PENDING if self.fired_at is None else FIRING


@dataclass(frozen=True)
class Outcome:
    """The alerts of a rule after an evaluation; those of them that have begun to fire, and those that are resolved."""

    alerts: list[Alert] = field(default_factory=list)
    fired: list[Alert] = field(default_factory=list)
    resolved: list[Alert] = field(default_factory=list)


def find(definition: Definition, body: bytes) -> list[Found]:
    """The series of an instant query's response. Raises QueryError (422) for what cannot be alerts."""
    data: dict[str, Any] = msgspec.json.decode(body)["data"]
    if data["resultType"] != "vector":
        raise QueryError("expr gives a range of samples. Use a function such as increase() or max_over_time().")
    result = data["result"]
    if len(result) > MAX_ALERTS:
        detail = f"expr gives {len(result)} series; a rule may have {MAX_ALERTS} alerts. Aggregate, or select fewer."
        raise QueryError(detail, "too_many_alerts")
    found = [Found(labels_of(definition, one["metric"]), one["value"][1]) for one in result]
    if len({_key(one.labels) for one in found}) < len(found):
        detail = "expr gives several series with the same labels, apart from their names and labels of the rule."
        raise QueryError(detail, "duplicate_alerts")
    return found


def evaluate(
    definition: Definition, alerts: Iterable[Alert], found: Sequence[Found], now: datetime, filled_at: datetime
) -> Outcome:
    """The alerts after a result at `now`, as Prometheus has them. An alert that has begun after `filled_at`, when all
    series were written to the engine, does not end: a crash of the engine may have lost its series.
    """
    hold = read_duration("for", definition.hold)
    keep = read_duration("keep_firing_for", definition.keep_firing_for)
    absent = {_key(alert.labels): alert for alert in alerts}
    outcome = Outcome()
    for labels, value in found:
        known = absent.pop(_key(labels), None) or Alert(new_id(), labels, value, now)
        alert = replace(known, value=value, absent_since=None)
        if alert.fired_at is None and now - alert.active_at >= hold:
            alert = replace(alert, fired_at=now)
            outcome.fired.append(alert)
        outcome.alerts.append(alert)
    for alert in absent.values():
        if alert.active_at >= filled_at:
            outcome.alerts.append(alert)
        else:
            _miss(alert, keep, now, outcome)
    return outcome


def _miss(alert: Alert, keep: timedelta, now: datetime, outcome: Outcome) -> None:
    """Add an alert to the outcome whose series was not found; a pending one ends without a trace."""
    if alert.fired_at is None:
        return
    since = alert.absent_since or now
    if now - since < keep:
        outcome.alerts.append(replace(alert, absent_since=since))
    else:
        outcome.resolved.append(alert)


def _key(labels: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(labels.items()))
