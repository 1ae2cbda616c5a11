"""Wiring: the one place where the parts of the metrics service meet."""

from quart import Quart

from quartet_common.runtime import tenant_deletion
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.process import Service
from quartet_metrics.config import MetricsConfig
from quartet_metrics.subscriptions import subscriptions


def create_app(container: AppContainer[MetricsConfig]) -> Quart:
    """The HTTP application. What only HTTP needs is imported here, so that the worker does not carry it."""
    from quartet_common.web.app import create_base_app
    from quartet_common.web.blueprints.data_export import Exporter, data_blueprint
    from quartet_common.web.blueprints.rabbitmq import rabbitmq_blueprint
    from quartet_metrics.metric_routes import metrics_blueprint
    from quartet_metrics.metric_store import export_counts

    app = create_base_app(container, title="Quartet metrics")
    app.register_blueprint(metrics_blueprint(container), url_prefix="/metrics")
    app.register_blueprint(rabbitmq_blueprint(container), url_prefix="/metrics/rabbitmq")
    exporters: dict[str, Exporter] = {"event_count": export_counts}
    app.register_blueprint(data_blueprint(container, exporters, "tenant:admin"), url_prefix="/metrics/data")
    return app


SERVICE = Service(
    package="quartet_metrics",
    config_class=MetricsConfig,
    create_app=create_app,
    subscriptions=subscriptions,
    schedules=lambda container: [tenant_deletion.erasing(container)],
)
