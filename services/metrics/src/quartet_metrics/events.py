"""The types of all events that the metrics service publishes, with a JSON Schema each in schemas/."""

from quartet_metrics.alerts.alert_events import ALERT_FIRED, ALERT_RESOLVED, RULE_CREATED, RULE_DELETED, RULE_UPDATED

PUBLISHED = (*(RULE_CREATED, RULE_UPDATED, RULE_DELETED), *(ALERT_FIRED, ALERT_RESOLVED))
