"""The metrics service: its HTTP application, its subscriptions and its schedules."""

from quartet_common.runtime import tenant_deletion
from quartet_common.runtime.process import Service, create_app_of
from quartet_common.runtime.tenant_deletion import Erasure
from quartet_metrics.alerts.alert_evaluation_usecases import evaluating
from quartet_metrics.config import MetricsConfig
from quartet_metrics.engine.engine_usecases import writing
from quartet_metrics.ingest.delta_usecases import pruning_deltas
from quartet_metrics.metadata.metadata_usecases import pruning_metadata
from quartet_metrics.reconciliation.reconciliation_usecases import reconciling
from quartet_metrics.retention.retention_usecases import moving_event_counts, pruning
from quartet_metrics.subscriptions import subscriptions

SERVICE = Service(
    package="quartet_metrics",
    config_class=MetricsConfig,
    create_app=create_app_of("quartet_metrics.api"),
    subscriptions=subscriptions,
    schedules=lambda container: [
        tenant_deletion.erasing(container, Erasure(staying={"engine_erased"})),
        writing(container),
        evaluating(container),
        pruning(container),
        moving_event_counts(container),
        reconciling(container),
        pruning_deltas(container),
        pruning_metadata(container),
    ],
)
