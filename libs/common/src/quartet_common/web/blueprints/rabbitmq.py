"""RabbitMQ for operators: outbox, queues, and replay."""

from dataclasses import asdict, dataclass
from typing import Any

from quart import Blueprint, request
from quart_schema import document_querystring, tag_blueprint

from quartet_common.config.settings import ServiceConfig
from quartet_common.messaging import journal
from quartet_common.messaging.dead_letters import DeadLetters
from quartet_common.messaging.stats import read_outbox, read_queues
from quartet_common.messaging.topology import QueueNames, revocation_queue
from quartet_common.runtime.container import AppContainer
from quartet_common.web import query_parameters
from quartet_common.web.blueprints.dead_letters import visible_tenant
from quartet_common.web.dependencies import app_container
from quartet_common.web.guard import requires


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


def _consumers() -> list[str]:
    service = _container().config.service
    return [service, revocation_queue(service)]
