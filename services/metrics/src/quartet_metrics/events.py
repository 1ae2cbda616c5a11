"""The types of all events that the metrics service publishes, with a JSON Schema each in schemas/."""

from quartet_metrics.alerts.alert_events import ALERT_FIRED, ALERT_RESOLVED, RULE_CREATED, RULE_DELETED, RULE_UPDATED
from quartet_metrics.reconciliation.reconciliation_events import DRIFT_DETECTED, DRIFT_REPAIRED

PUBLISHED = (
    *(RULE_CREATED, RULE_UPDATED, RULE_DELETED, ALERT_FIRED, ALERT_RESOLVED),
    *(DRIFT_DETECTED, DRIFT_REPAIRED),
)
