"""RabbitMQ for operators: outbox, queues, consumers, and replay."""

from dataclasses import asdict, dataclass
from typing import Any

import msgspec
from quart import Blueprint, Response, request
from quart_schema import document_querystring, document_request, document_response, tag_blueprint

from quartet_common.config.settings import ServiceConfig
from quartet_common.core.errors import NotFoundError
from quartet_common.messaging import consumer_pauses, journal
from quartet_common.messaging.dead_letters import DeadLetters
from quartet_common.messaging.stats import read_outbox, read_queues
from quartet_common.messaging.topology import QueueNames, revocation_queue
from quartet_common.runtime import consumer_usecases
from quartet_common.runtime.container import AppContainer
from quartet_common.web import query_parameters
from quartet_common.web.blueprints import consumer_models, dead_letter_models
from quartet_common.web.blueprints.consumer_models import ConsumerDocument, ConsumerListDocument, NewPause
from quartet_common.web.blueprints.dead_letters import visible_tenant
from quartet_common.web.bodies import read_json
from quartet_common.web.dependencies import app_container
from quartet_common.web.guard import caller, requires
from quartet_common.web.openapi import ProblemDocument
from quartet_common.web.responses import json_response


@dataclass
class ReplayQuery:
    """Events published since this RFC 3339 time are published again."""

    since: str


blueprint = Blueprint("rabbitmq", __name__)
"""For the scope events:manage. Events are those of the caller's tenant; with platform:admin too, those of all."""
tag_blueprint(blueprint, ["Operations"])


@blueprint.get("/outbox")
@requires("events:manage")
async def outbox() -> dict[str, Any]:
    """Count the events in the outbox, with the age of the oldest in seconds."""
    async with _container().database.connection() as connection:
        state = await read_outbox(connection)
    return {"depth": state.depth, "lag_seconds": round(state.lag, 3)}


@blueprint.get("/queues")
@requires("events:manage")
async def queues() -> dict[str, Any]:
    """List the service's queues with their numbers of messages and consumers. Those of dead letters include the stored
    ones.
    """
    async with _container().broker.connection("operator") as connection:
        found = await read_queues(connection, (name for name in _consumers() for name in QueueNames(name).all))
    found = await DeadLetters(_consumers()).count(_container().database, found)
    return {"queues": [{"name": name, **asdict(state)} for name, state in found.items()]}


@blueprint.get("/consumers")
@requires("events:manage")
@document_response(ConsumerListDocument)
async def consumers() -> Response:
    """List the consumers of the service, with the pause of each."""
    async with _container().database.connection() as connection:
        pauses = {pause.consumer: pause for pause in await consumer_pauses.read_pauses(connection)}
    return _json(ConsumerListDocument([ConsumerDocument.of(name, pauses.get(name)) for name in _consumers()]))


@blueprint.post("/consumers/<consumer>/pause")
@requires("platform:admin")
@document_request(NewPause)
@document_response(ProblemDocument, 404)
async def pause(consumer: str) -> Response:
    """Stop a consumer in all workers of the service, within seconds, until it is resumed. Its events wait."""
    body = await read_json(NewPause)
    await consumer_usecases.pause(_container(), caller(), _known(consumer), body.reason)
    return Response(b"", 204)


@blueprint.post("/consumers/<consumer>/resume")
@requires("platform:admin")
@document_response(ProblemDocument, 404)
async def resume(consumer: str) -> Response:
    """Let a paused consumer take messages again."""
    await consumer_usecases.resume(_container(), caller(), _known(consumer))
    return Response(b"", 204)


@blueprint.post("/replay")
@requires("events:manage")
@document_querystring(ReplayQuery)
async def replay() -> dict[str, int]:
    """Publish again what was published since a time (`since`), for a RabbitMQ that has lost its data. An event that
    had arrived has no second effect.
    """
    since = query_parameters.time("since", request.args.get("since", ""))
    return {"replayed": await journal.replay(_container().database, since, visible_tenant())}


def _container() -> AppContainer[ServiceConfig]:
    return app_container(ServiceConfig)


def _known(consumer: str) -> str:
    """Raises NotFoundError (404) for a consumer that the service does not have."""
    if consumer not in _consumers():
        raise NotFoundError(f"The service has no such consumer. Use one of: {', '.join(_consumers())}.")
    return consumer


def _json(document: msgspec.Struct) -> Response:
    return json_response(msgspec.json.encode(document))


def _consumers() -> list[str]:
    service = _container().config.service
    return [service, revocation_queue(service)]


def examples(service: str) -> dict[str, Any]:
    """Examples of the request bodies below /rabbitmq, by method and path."""
    return {**consumer_models.examples(service), **dead_letter_models.examples(service)}
