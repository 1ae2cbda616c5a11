"""Events of alert rules and of alerts."""

from datetime import datetime
from typing import Any

from quartet_common.messaging.outbox import DomainEvent
from quartet_metrics.alerts.alert_domain import Alert
from quartet_metrics.alerts.rule_domain import Rule, annotations_of

RULE_CREATED = "metrics.alert_rule.created.v1"
RULE_UPDATED = "metrics.alert_rule.updated.v1"
RULE_DELETED = "metrics.alert_rule.deleted.v1"
ALERT_FIRED = "metrics.alert.fired.v1"
ALERT_RESOLVED = "metrics.alert.resolved.v1"

CONDITION, REPLACED, DELETED = "condition", "rule replaced", "rule deleted"
"""Why an alert was resolved."""


def rule_created(rule: Rule) -> DomainEvent:
    """A rule was created."""
    return _rule_event(RULE_CREATED, rule)


def rule_updated(rule: Rule) -> DomainEvent:
    """A rule was replaced."""
    return _rule_event(RULE_UPDATED, rule)


def rule_deleted(rule: Rule) -> DomainEvent:
    """A rule was deleted."""
    return _rule_event(RULE_DELETED, rule)


def alert_fired(rule: Rule, alert: Alert) -> DomainEvent:
    """An alert fires: the first event of its subject."""
    return DomainEvent(ALERT_FIRED, f"alerts/{alert.id}", 1, _alert_data(rule, alert))


def alert_resolved(rule: Rule, alert: Alert, now: datetime, reason: str) -> DomainEvent:
    """A firing alert has ended: the second and last event of its subject."""
    data = {**_alert_data(rule, alert), "resolvedAt": now.isoformat(), "reason": reason}
    return DomainEvent(ALERT_RESOLVED, f"alerts/{alert.id}", 2, data)


def _rule_event(type_: str, rule: Rule) -> DomainEvent:
    definition = rule.definition
    data: dict[str, Any] = {
        "name": definition.name,
        "expr": definition.expr,
        "severity": definition.severity,
        "for": definition.hold,
        "keepFiringFor": definition.keep_firing_for,
        "labels": definition.labels,
        "annotations": definition.annotations,
    }
    return DomainEvent(type_, f"alert-rules/{rule.id}", rule.version, data)


def _alert_data(rule: Rule, alert: Alert) -> dict[str, Any]:
    if alert.fired_at is None:
        raise AssertionError("a pending alert has no events")
    return {
        "rule": str(rule.id),
        "name": rule.definition.name,
        "severity": rule.definition.severity,
        "labels": alert.labels,
        "annotations": annotations_of(rule.definition, alert.labels, alert.value),
        "value": alert.value,
        "activeAt": alert.active_at.isoformat(),
        "firedAt": alert.fired_at.isoformat(),
    }
