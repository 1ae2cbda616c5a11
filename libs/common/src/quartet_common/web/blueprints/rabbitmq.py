"""RabbitMQ for operators: outbox, queues, and dead letters with redrive."""

from dataclasses import asdict, dataclass
from typing import Any

from aio_pika.abc import AbstractIncomingMessage
from quart import Blueprint, request
from quart_schema import document_querystring, tag_blueprint

from quartet_common.config.settings import ServiceConfig
from quartet_common.messaging import journal
from quartet_common.messaging.dead_letters import is_of, list_dead_letters
from quartet_common.messaging.redrive import MAX_REDRIVEN, redrive_all
from quartet_common.messaging.stats import read_outbox, read_queues
from quartet_common.messaging.topology import QueueNames, revocation_queue
from quartet_common.runtime.container import AppContainer
from quartet_common.web import query_parameters
from quartet_common.web.dependencies import app_container
from quartet_common.web.guard import principal, requires
from quartet_common.web.query_parameters import whole_number

MAX_LISTED = 100
EVERYTHING = "platform:admin"
"""The scope that lets an operator see the dead letters of all tenants."""


@dataclass
class ListQuery:
    """How many dead letters to list, at most 100."""

    limit: int = 20


@dataclass
class RedriveQuery:
    """How many dead letters to redrive, at most 1,000; or the one with `id`."""

    limit: int = MAX_REDRIVEN
    id: str | None = None


@dataclass
class ReplayQuery:
    """Events published since this RFC 3339 time are published again."""

    since: str


blueprint = Blueprint("rabbitmq", __name__)
"""For the scope events:manage. Events and dead letters are those of the caller's tenant; with the scope platform:admin
too, those of all, and what belongs to none because it cannot be read.
"""
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
    """List the service's queues with their numbers of messages and consumers."""
    async with _container().broker.connection("operator") as connection:
        found = await read_queues(connection, (name for names in _consumers() for name in names.all))
    return {"queues": [{"name": name, **asdict(state)} for name, state in found.items()]}


@blueprint.get("/dead-letters")
@requires("events:manage")
@document_querystring(ListQuery)
async def dead_letters() -> dict[str, Any]:
    """List the oldest dead letters (`limit`, at most 100) with the reason of each, without removing them."""
    limit = whole_number("limit", request.args.get("limit", str(20)), 1, MAX_LISTED)
    async with _container().broker.connection("operator") as connection:
        total, found = await list_dead_letters(connection, _consumers(), limit, _may_see)
    return {"total": total, "dead_letters": found}


@blueprint.post("/dead-letters/redrive")
@requires("events:manage")
@document_querystring(RedriveQuery)
async def redrive() -> dict[str, int]:
    """Put dead letters back into their queues (`limit`, at most 1,000): all, or the one with `id`."""
    limit = whole_number("limit", request.args.get("limit", str(MAX_REDRIVEN)), 1, MAX_REDRIVEN)
    only = request.args.get("id")

    def is_wanted(message: AbstractIncomingMessage) -> bool:
        return _may_see(message) and only in (None, message.message_id)

    async with _container().broker.connection("operator") as connection:
        return {"redriven": await redrive_all(connection, _consumers(), is_wanted, limit)}


@blueprint.post("/replay")
@requires("events:manage")
@document_querystring(ReplayQuery)
async def replay() -> dict[str, int]:
    """Publish again what was published since a time (`since`), for a RabbitMQ that has lost its data. An event that
    had arrived has no second effect.
    """
    since = query_parameters.time("since", request.args.get("since", ""))
    tenant = None if EVERYTHING in principal().scopes else principal().tenant
    return {"replayed": await journal.replay(_container().database, since, tenant)}


def _container() -> AppContainer[ServiceConfig]:
    return app_container(ServiceConfig)


def _consumers() -> list[QueueNames]:
    service = _container().config.service
    return [QueueNames(name) for name in (service, revocation_queue(service))]


def _may_see(message: AbstractIncomingMessage) -> bool:
    who = principal()
    return EVERYTHING in who.scopes or is_of(message, who.tenant)
