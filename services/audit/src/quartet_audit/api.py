"""The HTTP application of the audit service. `app.py` names this module; a worker does not import it."""

from quart import Quart

from quartet_audit import entry_routes, entry_store, export_routes
from quartet_audit.config import AuditConfig
from quartet_common.runtime.container import AppContainer
from quartet_common.web.app import create_base_app
from quartet_common.web.blueprints import rabbitmq
from quartet_common.web.blueprints.data_export import Exports
from quartet_common.web.dependencies import provide
from quartet_common.web.openapi import Reference

PARAMETERS = {"identifier": "The id of an entry."}
"""Descriptions of the parameters of routes, for the OpenAPI document."""


def create_app(container: AppContainer[AuditConfig]) -> Quart:
    """The application with all its routes."""
    app = create_base_app(container, title="Quartet audit", reference=Reference(parameters=PARAMETERS))
    provide(app, Exports, Exports.of(container, {"entry": entry_store.export_entries}))
    app.register_blueprint(entry_routes.blueprint)
    app.register_blueprint(rabbitmq.blueprint, url_prefix="/audit/rabbitmq")
    app.register_blueprint(export_routes.blueprint)
    return app
