"""RabbitMQ for operators: what waits in the outbox and the queues, and the dead letters: list, redrive."""

from dataclasses import dataclass
from typing import Any

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from quart import Blueprint, request
from quart_schema import document_querystring, tag_blueprint

from quartet_common.auth.principal import Principal
from quartet_common.config.settings import ServiceConfig
from quartet_common.messaging import journal
from quartet_common.messaging.dead_letters import facts, is_of
from quartet_common.messaging.deliveries import ATTEMPT_HEADER, REASON_HEADER
from quartet_common.messaging.redrive import MAX_REDRIVEN
from quartet_common.messaging.redrive import redrive as redrive_letters
from quartet_common.messaging.stats import read_outbox, read_queues
from quartet_common.messaging.topology import QueueNames, revocation_queue
from quartet_common.runtime.container import AppContainer
from quartet_common.web import query_parameters
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
    """How many dead letters to put back, at most 1,000; or the one with `id`."""

    limit: int = MAX_REDRIVEN
    id: str | None = None


@dataclass
class ReplayQuery:
    """The RFC 3339 time from which on published events are published again."""

    since: str


def rabbitmq_blueprint(container: AppContainer[ServiceConfig]) -> Blueprint:
    """`/outbox`, `/queues`, `/dead-letters`, `/dead-letters/redrive`, `/replay`; scope events:manage.

    Events and dead letters are those of the caller's tenant; with the scope platform:admin too, those of all, and what
    belongs to none because it cannot be read.
    """
    blueprint = Blueprint("rabbitmq", __name__)
    tag_blueprint(blueprint, ["Operations"])
    service = container.config.service
    consumers = [QueueNames(name) for name in (service, revocation_queue(service))]
    dead = [names.dead for names in consumers]

    @blueprint.get("/outbox")
    @requires("events:manage")
    async def outbox() -> dict[str, Any]:
        """Count the events in the outbox, with the age of the oldest in seconds."""
        async with container.database.connection() as connection:
            state = await read_outbox(connection)
        return {"depth": state.depth, "lag_seconds": round(state.lag, 3)}

    @blueprint.get("/queues")
    @requires("events:manage")
    async def queues() -> dict[str, Any]:
        """List the service's queues with their numbers of messages and consumers."""
        async with container.broker.connection("operator") as connection:
            found = await read_queues(connection, (name for names in consumers for name in names.all))
        return {
            "queues": [
                {"name": name, "messages": state.messages, "consumers": state.consumers}
                for name, state in found.items()
            ]
        }

    @blueprint.get("/dead-letters")
    @requires("events:manage")
    @document_querystring(ListQuery)
    async def dead_letters() -> dict[str, Any]:
        """List the oldest dead letters (`limit`, at most 100) with the reason of each, without removing them."""
        limit = whole_number("limit", request.args.get("limit", str(20)), 1, MAX_LISTED)
        total, messages = 0, list[AbstractIncomingMessage]()
        async with container.broker.connection("operator") as connection:
            for name, state in (await read_queues(connection, dead)).items():
                total += state.messages
                messages += await _peek(await connection.channel(), name, limit - len(messages), principal())
        return {"total": total, "dead_letters": [_describe(message) for message in messages]}

    @blueprint.post("/dead-letters/redrive")
    @requires("events:manage")
    @document_querystring(RedriveQuery)
    async def redrive() -> dict[str, int]:
        """Put dead letters back into their queues (`limit`, at most 1,000): all, or the one with `id`."""
        limit = whole_number("limit", request.args.get("limit", str(MAX_REDRIVEN)), 1, MAX_REDRIVEN)
        only, who, redriven = request.args.get("id"), principal(), 0

        def is_wanted(message: AbstractIncomingMessage) -> bool:
            return _may_see(who, message) and only in (None, message.message_id)

        async with container.broker.connection("operator") as connection:
            found = await read_queues(connection, dead)
            for names in consumers:
                if names.dead in found:
                    redriven += await redrive_letters(connection, names, is_wanted, limit - redriven)
        return {"redriven": redriven}

    @blueprint.post("/replay")
    @requires("events:manage")
    @document_querystring(ReplayQuery)
    async def replay() -> dict[str, int]:
        """Publish again what was published since a time (`since`), for a RabbitMQ that has lost its data. An event that
        had arrived has no second effect.
        """
        since = query_parameters.time("since", request.args.get("since", ""))
        tenant = None if EVERYTHING in principal().scopes else principal().tenant
        return {"replayed": await journal.replay(container.database, since, tenant)}

    return blueprint


async def _peek(channel: AbstractChannel, name: str, limit: int, who: Principal) -> list[AbstractIncomingMessage]:
    """The first letters that `who` may see. All go back to the front of the queue: many of them, in another order."""
    queue = await channel.get_queue(name)
    last: AbstractIncomingMessage | None = None
    found: list[AbstractIncomingMessage] = []
    while len(found) < limit and (message := await queue.get(fail=False)) is not None:
        last = message
        if _may_see(who, message):
            found.append(message)
    if last is not None:
        await last.nack(multiple=True, requeue=True)
    return found


def _may_see(who: Principal, message: AbstractIncomingMessage) -> bool:
    return EVERYTHING in who.scopes or is_of(message, who.tenant)


def _describe(message: AbstractIncomingMessage) -> dict[str, Any]:
    known = facts(message)
    reason = message.headers.get(REASON_HEADER) or "delivered too often without an acknowledgement"
    return {
        "id": message.message_id,
        "type": message.type,
        "tenant": known.get("tenantid"),
        "subject": known.get("subject"),
        "time": known.get("time"),
        "attempts": message.headers.get(ATTEMPT_HEADER, 0),
        "reason": str(reason),
    }
