"""The HTTP application of the metrics service. `app.py` names this module; a worker does not import it."""

from quart import Quart

from quartet_common.runtime.archives import Archives
from quartet_common.runtime.container import AppContainer
from quartet_common.web.app import create_base_app
from quartet_common.web.blueprints import data_export, dead_letters, rabbitmq
from quartet_common.web.blueprints.data_archive import provide_archives
from quartet_common.web.dependencies import provide
from quartet_common.web.openapi import Reference
from quartet_metrics.active_users import active_user_store
from quartet_metrics.alerts import alert_routes, rule_store
from quartet_metrics.archives import ARCHIVED
from quartet_metrics.config import MetricsConfig
from quartet_metrics.engine import engine_routes
from quartet_metrics.imports import import_routes
from quartet_metrics.ingest import ingest_routes
from quartet_metrics.ingest.ingest_usecases import Ingest
from quartet_metrics.prometheus import prometheus_routes
from quartet_metrics.prometheus.prometheus_usecases import PrometheusQueries
from quartet_metrics.queries import query_routes, query_store
from quartet_metrics.reconciliation import reconciliation_routes
from quartet_metrics.reconciliation.reconciliation_usecases import Reconciler

REFERENCE = Reference(
    examples={
        **prometheus_routes.REFERENCE.examples,
        **ingest_routes.EXAMPLES,
        **alert_routes.EXAMPLES,
        **rabbitmq.examples("metrics"),
    },
    parameters={**prometheus_routes.REFERENCE.parameters, **alert_routes.PARAMETERS},
)


def create_app(container: AppContainer[MetricsConfig]) -> Quart:
    """The application with all its routes."""
    ingest = Ingest(container)
    app = create_base_app(
        container,
        title="Quartet metrics",
        render_error=lambda *asked: prometheus_routes.render_error(*asked) or ingest_routes.render_error(*asked),
        dialects=(prometheus_routes.DIALECT, ingest_routes.DIALECT),
        reference=REFERENCE,
        background=[ingest],
    )
    exporters: dict[str, data_export.Exporter] = {
        "series": query_store.export_series,
        "sample": query_store.export_samples,
        "active_user": active_user_store.export_active_users,
        "alert_rule": rule_store.export_rules,
    }
    exports = data_export.Exports.of(container, exporters)
    provide(app, data_export.Exports, exports)
    provide_archives(app, Archives(container, ARCHIVED), exports)
    app.register_blueprint(query_routes.blueprint)
    app.register_blueprint(prometheus_routes.blueprint)
    app.register_blueprint(engine_routes.blueprint)
    app.register_blueprint(alert_routes.blueprint)
    app.register_blueprint(reconciliation_routes.blueprint)
    provide(app, Reconciler, Reconciler(container))
    app.register_blueprint(ingest_routes.blueprint)
    provide(app, Ingest, ingest)
    provide(app, PrometheusQueries, PrometheusQueries(container))
    app.register_blueprint(rabbitmq.blueprint, url_prefix="/metrics/rabbitmq")
    app.register_blueprint(dead_letters.blueprint, url_prefix="/metrics/rabbitmq")
    app.register_blueprint(data_export.blueprint, url_prefix="/metrics/data")
    app.register_blueprint(import_routes.blueprint)
    return app
