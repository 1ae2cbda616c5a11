"""Events of comparisons: a gauge differs from what exists, or was corrected."""

from quartet_common.messaging.outbox import DomainEvent
from quartet_metrics.reconciliation.reconciliation_domain import Compared, Gauge

DRIFT_DETECTED = "metrics.drift.detected.v1"
DRIFT_REPAIRED = "metrics.drift.repaired.v1"


def drift_detected(gauge: Gauge, compared: Compared, revision: int) -> DomainEvent:
    """A gauge differs, by another amount than at the comparison before; `revision` numbers the comparisons."""
    return _event(DRIFT_DETECTED, gauge, compared, revision)


def drift_repaired(gauge: Gauge, compared: Compared, revision: int) -> DomainEvent:
    """The drift of a gauge was taken off it."""
    return _event(DRIFT_REPAIRED, gauge, compared, revision)


def _event(kind: str, gauge: Gauge, compared: Compared, revision: int) -> DomainEvent:
    data = {
        "metric": gauge.metric,
        "labels": gauge.named_labels,
        "counted": compared.counted,
        "exists": compared.exists,
        "drift": compared.drift,
    }
    return DomainEvent(kind, "-".join(("drifts/" + gauge.metric, *gauge.labels)), revision, data)
