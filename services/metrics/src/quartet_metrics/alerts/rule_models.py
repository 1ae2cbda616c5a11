"""Shapes of alert rules and alerts over HTTP."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

from msgspec import Struct

from quartet_metrics.alerts.alert_domain import FIRING, INACTIVE, PENDING, Alert, Found
from quartet_metrics.alerts.rule_domain import Definition, Rule, annotations_of

RULE_EXAMPLE = {
    "name": "ManyLoginFailures",
    "expr": 'sum(increase(quartet_logins_total{result="failure"}[10m])) > 20',
    "for": "5m",
    "severity": "warning",
    "labels": {"team": "identity"},
    "annotations": {"summary": "{{ $value }} logins failed in 10 minutes"},
}
"""A body of requests, for the reference."""


class RuleState(Struct, frozen=True):
    """A rule and the state of its alerts: firing if one of them is. `evaluated_time` is the time of the last
    evaluation, and `problem` why there is no present result.
    """

    id: UUID
    rule: Definition
    state: Literal["inactive", "pending", "firing"]
    alerts: int
    created_time: datetime
    changed_time: datetime
    evaluated_time: datetime | None
    problem: str | None

    @classmethod
    def of(cls, rule: Rule, alerts: Sequence[Alert], now: datetime) -> "RuleState":
        """The state of `rule`, which has these alerts."""
        states = {alert.state for alert in alerts}
        return cls(
            id=rule.id,
            rule=rule.definition,
            state=FIRING if FIRING in states else PENDING if states else INACTIVE,
            alerts=len(alerts),
            created_time=rule.created_at,
            changed_time=rule.changed_at,
            evaluated_time=rule.evaluated_at,
            problem=rule.problem_at(now),
        )


class RuleList(Struct, frozen=True):
    """All rules of the tenant, the oldest first."""

    rules: list[RuleState]


class AlertState(Struct, frozen=True):
    """A pending or firing alert. It is pending since `active_time`, and firing since `fired_time`."""

    id: UUID
    rule: UUID
    name: str
    severity: str
    state: Literal["pending", "firing"]
    labels: dict[str, str]
    annotations: dict[str, str]
    value: str
    active_time: datetime
    fired_time: datetime | None

    @classmethod
    def of(cls, rule: Rule, alert: Alert) -> "AlertState":
        """The state of an alert of `rule`."""
        return cls(
            id=alert.id,
            rule=rule.id,
            name=rule.definition.name,
            severity=rule.definition.severity,
            state=alert.state,
            labels=alert.labels,
            annotations=annotations_of(rule.definition, alert.labels, alert.value),
            value=alert.value,
            active_time=alert.active_at,
            fired_time=alert.fired_at,
        )


class AlertList(Struct, frozen=True):
    """All pending and firing alerts of the tenant, by rule."""

    alerts: list[AlertState]


class TriedAlert(Struct, frozen=True):
    """An alert that a rule would have."""

    labels: dict[str, str]
    annotations: dict[str, str]
    value: str


class Trial(Struct, frozen=True):
    """What a rule finds now: each alert would be pending, and fire after the rule's `for`."""

    alerts: list[TriedAlert]

    @classmethod
    def of(cls, definition: Definition, found: Sequence[Found]) -> "Trial":
        """What `definition` has found."""
        return cls([TriedAlert(labels, annotations_of(definition, labels, value), value) for labels, value in found])
