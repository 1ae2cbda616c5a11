"""The HTTP application of the audit service. `app.py` names this module; a worker does not import it."""

from functools import partial

from quart import Quart, current_app, request
from quart.typing import ResponseTypes

from quartet_audit.applications import application_event_routes
from quartet_audit.archives.archive_usecases import archives_of
from quartet_audit.checkpoints.signing_key_usecases import SigningKeys, require_keys
from quartet_audit.config import AuditConfig
from quartet_audit.continuity.total_store import read_totals
from quartet_audit.entries import entry_routes, entry_store, histogram_routes
from quartet_audit.entries.read_log import ReadLog
from quartet_audit.erasures import erasure_routes
from quartet_audit.exports import export_routes, log_export_routes
from quartet_audit.proofs import log_routes, proof_routes, signing_key_routes
from quartet_audit.proofs.log_parameters import TileConverter
from quartet_audit.retention import legal_hold_routes, retention_routes
from quartet_audit.streams import live_routes, stream_routes, stream_store
from quartet_audit.streams.stream_usecases import Streams
from quartet_common.auth.sealing import WrongMasterKeyError
from quartet_common.runtime.container import AppContainer
from quartet_common.web.app import create_base_app
from quartet_common.web.blueprints import dead_letters, rabbitmq, totals
from quartet_common.web.blueprints.data_archive import provide_archives
from quartet_common.web.blueprints.data_export import Exports
from quartet_common.web.dependencies import provide
from quartet_common.web.guard import caller, scopes_of
from quartet_common.web.openapi import Reference

PARAMETERS = {
    "identifier": "The id of an entry.",
    "erasure_id": "The id of an erasure.",
    "stream_id": "The id of a stream.",
    "tenant": "A tenant: in /audit/log the caller's, others are not found.",
    "path": "Level (0 to 63, or entries), index and width of a tile: 0/x001/234, entries/000.p/17 (C2SP tlog-tiles).",
    "from": "The size of the older tree.",
    "to": "The size of the newer tree.",
    "wait": "The seconds to wait for the entry and its checkpoint, 0 to 10.",
}
EXAMPLES = {
    "POST /audit/totals": {
        "since": "2026-01-31T09:00:00Z",
        "applied": ["2819c223-7f76-453a-919d-413861904646"],
    },
    "POST /audit/erasures": {"user": "2819c223-7f76-453a-919d-413861904646"},
    "POST /audit/streams": {
        "name": "SIEM",
        "destination": {"type": "webhook", "url": "https://siem.example.com/quartet"},
        "filters": {"action": "users.user.*"},
        "from": "2026-01-31T09:00:00Z",
    },
    "PATCH /audit/streams/{stream_id}": {"filters": {"action": "users.*", "outcome": "denied"}},
    "POST /audit/streams/{stream_id}/replay": {"from": 1200},
    "PUT /audit/retention": {"days": 365},
    "PUT /audit/legal-hold": {"reason": "Case 2026-0815, requested by the legal department"},
    "POST /audit/events": {
        "specversion": "1.0",
        "id": "4711",
        "source": "https://shop.example.com/orders",
        "type": "com.example.order.cancelled",
        "subject": "orders/2026-0815",
        "time": "2026-01-31T09:00:00Z",
        "data": {"reason": "out of stock", "by": "bjensen@example.com"},
    },
}
APPLICATION_EVENT = {
    "title": "app.{type}.v1",
    "description": "An application recorded an event of this type by POST /audit/events. Its attributes are as sent.",
    "type": "object",
    "required": ["specversion", "id", "source", "type"],
    "properties": {
        "specversion": {"description": "The version of CloudEvents.", "const": "1.0"},
        "id": {"description": "The application's own id.", "type": "string"},
        "source": {"description": "A URI or a path of the application.", "type": "string"},
        "type": {"description": "The type, which the type of the event has in it.", "type": "string"},
        "subject": {"description": "What the event is about.", "type": "string"},
        "time": {"description": "When it happened.", "type": "string", "format": "date-time"},
        "datacontenttype": {"description": "The media type of data.", "type": "string"},
        "dataschema": {"description": "The URI of the schema of data.", "type": "string"},
        "data": {"description": "Any JSON."},
        "data_base64": {"description": "Binary data, in base64, instead of data.", "type": "string"},
        "extensions": {"description": "The extension attributes, by name.", "type": "object"},
    },
}
"""The JSON Schema of what `ApplicationEvent.published` makes, for the AsyncAPI document."""
READING = "audit:read"
"""The scope of the routes whose requests are counted as reads of a log."""
REFERENCE = Reference({**EXAMPLES, **rabbitmq.examples("audit")}, PARAMETERS)
"""Additions to the OpenAPI document."""


def create_app(container: AppContainer[AuditConfig]) -> Quart:
    """The application with all its routes."""
    dialects = [application_event_routes.CLOUD_EVENTS]
    reads = ReadLog("audit", lambda: container.database, container.clock, container.config.read_window)
    app = create_base_app(
        container,
        title="Quartet audit",
        dialects=dialects,
        reference=REFERENCE,
        background=[reads],
        events=[APPLICATION_EVENT],
    )
    app.after_request(partial(_count_read, reads))
    provide(app, log_export_routes.LogExports, log_export_routes.LogExports.of(container))
    provide(app, proof_routes.ProofWaits, proof_routes.ProofWaits.of(container))
    exports = Exports.of(container, {"entry": entry_store.export_entries, "stream": stream_store.export_streams})
    provide(app, Exports, exports)
    provide_archives(app, archives_of(container), exports)
    provide(app, totals.TotalsOf, totals.TotalsOf(read_totals))
    provide(app, live_routes.Tails, live_routes.Tails.of(container))
    provide(app, Streams, Streams.of(container.config))
    keys = SigningKeys(container.config.master_key.get_secret_value())
    provide(app, SigningKeys, keys)
    app.before_serving(partial(_require_keys, container, keys))
    app.url_map.converters["tile"] = TileConverter
    app.register_blueprint(entry_routes.blueprint)
    app.register_blueprint(live_routes.blueprint)
    app.register_blueprint(stream_routes.blueprint)
    app.register_blueprint(histogram_routes.blueprint)
    app.register_blueprint(proof_routes.blueprint)
    app.register_blueprint(log_routes.blueprint)
    app.register_blueprint(signing_key_routes.blueprint)
    app.register_blueprint(application_event_routes.blueprint)
    app.register_blueprint(rabbitmq.blueprint, url_prefix="/audit/rabbitmq")
    app.register_blueprint(dead_letters.blueprint, url_prefix="/audit/rabbitmq")
    app.register_blueprint(totals.blueprint, url_prefix="/audit")
    app.register_blueprint(export_routes.blueprint)
    app.register_blueprint(log_export_routes.blueprint)
    app.register_blueprint(erasure_routes.blueprint)
    app.register_blueprint(retention_routes.blueprint)
    app.register_blueprint(legal_hold_routes.blueprint)
    return app


async def _require_keys(container: AppContainer[AuditConfig], keys: SigningKeys) -> None:
    """Make or read the signing keys before the first request, so that a wrong master key ends the start."""
    try:
        await require_keys(container, keys)
    except WrongMasterKeyError as error:
        raise SystemExit(str(error)) from error


async def _count_read(reads: ReadLog, response: ResponseTypes) -> ResponseTypes:
    """Count the running request if it has read a log; runs after each request."""
    rule, view = request.url_rule, current_app.view_functions.get(request.endpoint or "")
    is_read = request.method == "GET" and view is not None and READING in scopes_of(view)
    if is_read and rule is not None and response.status_code < 400:
        reads.count(caller(), rule.rule)
    return response
