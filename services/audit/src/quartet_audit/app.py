"""Wiring: the one place where the parts of the audit service meet."""

from typing import TYPE_CHECKING

from quartet_audit.config import AuditConfig
from quartet_audit.erasure import ERASURE
from quartet_audit.subscriptions import subscriptions
from quartet_common.runtime import tenant_deletion
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.process import Service

if TYPE_CHECKING:
    from quart import Quart


PARAMETERS = {"identifier": "The id of an entry."}
"""Descriptions of the parameters of routes, for the OpenAPI document."""


def create_app(container: AppContainer[AuditConfig]) -> "Quart":
    """The HTTP application. What only HTTP needs is imported here, so that the worker does not carry it."""
    from quartet_audit.entry_routes import audit_blueprint
    from quartet_audit.entry_store import export_entries
    from quartet_audit.entry_usecases import note_export
    from quartet_common.web.app import create_base_app
    from quartet_common.web.blueprints.data_export import data_blueprint
    from quartet_common.web.blueprints.rabbitmq import rabbitmq_blueprint
    from quartet_common.web.guard import caller
    from quartet_common.web.openapi import Reference

    async def before_export() -> None:
        await note_export(container, caller())

    data = data_blueprint(container, {"entry": export_entries}, "audit:export", before_export)
    app = create_base_app(container, title="Quartet audit", reference=Reference(parameters=PARAMETERS))
    app.register_blueprint(audit_blueprint(container), url_prefix="/audit")
    app.register_blueprint(rabbitmq_blueprint(container), url_prefix="/audit/rabbitmq")
    app.register_blueprint(data, url_prefix="/audit/data")
    return app


SERVICE = Service(
    package="quartet_audit",
    config_class=AuditConfig,
    create_app=create_app,
    subscriptions=subscriptions,
    schedules=lambda container: [tenant_deletion.erasing(container, ERASURE)],
)
