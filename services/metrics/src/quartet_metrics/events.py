"""The types of all events that the metrics service publishes, with a JSON Schema each in schemas/."""

from quartet_metrics.reconciliation.reconciliation_events import DRIFT_DETECTED, DRIFT_REPAIRED

PUBLISHED = (DRIFT_DETECTED, DRIFT_REPAIRED)
