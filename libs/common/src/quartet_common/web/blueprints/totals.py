"""The internal route of totals: metrics compares its gauges of a tenant with what the service has."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta, Struct
from quart import Blueprint, Response
from quart_schema import document_request, document_response, tag_blueprint

from quartet_common.auth.scopes import SERVICE_SCOPE
from quartet_common.config.settings import ServiceConfig
from quartet_common.data.totals import Found, ReadTotals
from quartet_common.messaging import dead_letter_store, recent_events
from quartet_common.runtime.container import AppContainer
from quartet_common.web.bodies import read_json, takes
from quartet_common.web.dependencies import app_container, dependency
from quartet_common.web.guard import caller, requires
from quartet_common.web.responses import json_response
from quartet_common.web.service_request import stop_on_disconnect

MAX_IDS = 20_000
MAX_BYTES = 1024 * 1024
"""Bytes of a body with MAX_IDS ids."""


@dataclass(frozen=True)
class TotalsOf:
    """What a service has for this route."""

    read: ReadTotals = field(repr=False)


class TotalsRequest(Struct, forbid_unknown_fields=True):
    """`applied`: the ids of events that the caller has applied since some time before `since`."""

    since: Annotated[datetime, Meta(tz=True, description="Events that were published before are applied.")]
    applied: Annotated[list[UUID], Meta(max_length=MAX_IDS, description="Ids of events that the answer leaves out.")]


class TotalDocument(Struct):
    """The number of things of a metric."""

    metric: str
    labels: list[str]
    value: int


class TotalsDocument(Struct):
    """Totals, and the recent events that are part of them and not among the applied ones, of one moment."""

    totals: list[TotalDocument]
    events: list[msgspec.Raw]
    recorded: list[UUID]
    complete: bool
    """False if there are too many recent events, or if published events are not kept."""
    dead_letters: int
    """Dead letters of the service that are, or may be, those of the tenant."""


blueprint = Blueprint("totals", __name__)
tag_blueprint(blueprint, ["Services"])


@blueprint.post("/totals")
@requires(SERVICE_SCOPE)
@takes(MAX_BYTES)
@document_request(TotalsRequest)
@document_response(TotalsDocument)
async def read() -> Response:
    """Count what the tenant has, for metrics, with the events that it may not have applied."""
    stop_on_disconnect()
    body, tenant = await read_json(TotalsRequest), caller().tenant
    container = app_container(ServiceConfig)
    async with container.database.snapshot() as connection:
        found = await dependency(TotalsOf).read(connection, tenant, body.since, body.applied)
        events = await recent_events.read_others(connection, tenant, body.since, body.applied)
        letters = await dead_letter_store.count_of(connection, tenant, container.config.service)
    return json_response(msgspec.json.encode(_document(container, found, events, letters)))


def _document(
    container: AppContainer[ServiceConfig], found: Found, events: list[bytes] | None, letters: int
) -> TotalsDocument:
    is_complete = events is not None and found.recorded is not None and container.config.journal_hours > 0
    return TotalsDocument(
        [TotalDocument(one.metric, list(one.labels), one.value) for one in found.totals],
        [msgspec.Raw(event) for event in events or ()],
        list(found.recorded or ()),
        is_complete,
        letters,
    )
