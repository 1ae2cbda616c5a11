"""RabbitMQ for operators: what waits in the outbox and the queues, and the dead letters: list, redrive."""

from dataclasses import dataclass
from typing import Any

from aio_pika import Message
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage
from aio_pika.exceptions import ChannelNotFoundEntity
from quart import Blueprint, request
from quart_schema import document_querystring, tag_blueprint

from quartet_common import parameters
from quartet_common.auth.guard import principal, requires
from quartet_common.auth.principal import Principal
from quartet_common.auth.revocations import lane
from quartet_common.config import ServiceConfig
from quartet_common.container import AppContainer
from quartet_common.messaging import journal
from quartet_common.messaging.dead_letters import facts, tenants_of
from quartet_common.messaging.deliveries import ATTEMPT_HEADER, REASON_HEADER, copy_of
from quartet_common.messaging.stats import read_outbox
from quartet_common.messaging.topology import EVENTS_HEADER, QueueNames
from quartet_common.parameters import whole_number

MAX_LISTED = 100
MAX_REDRIVEN = 1000
PATIENCE = 5.0
"""Seconds that RabbitMQ may take to confirm a message that is put back; with an alarm it takes none."""
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
    consumers = [QueueNames(name) for name in (service, lane(service))]

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
        found = []
        async with container.broker.connection("operator") as connection:
            for name in (name for names in consumers for name in names.all):
                counts = await _count(connection, name)
                if counts is not None:
                    found.append({"name": name, "messages": counts[0], "consumers": counts[1]})
        return {"queues": found}

    @blueprint.get("/dead-letters")
    @requires("events:manage")
    @document_querystring(ListQuery)
    async def dead_letters() -> dict[str, Any]:
        """List the oldest dead letters (`limit`, at most 100) with the reason of each, without removing them."""
        limit = whole_number("limit", request.args.get("limit", str(20)), 1, MAX_LISTED)
        total, messages = 0, list[AbstractIncomingMessage]()
        async with container.broker.connection("operator") as connection:
            for names in consumers:
                counts = await _count(connection, names.dead)
                if counts:
                    total += counts[0]
                    left = limit - len(messages)
                    messages += await _peek(await connection.channel(), names.dead, left, principal())
        return {"total": total, "dead_letters": [_describe(message) for message in messages]}

    @blueprint.post("/dead-letters/redrive")
    @requires("events:manage")
    @document_querystring(RedriveQuery)
    async def redrive() -> dict[str, int]:
        """Put dead letters back into their queues (`limit`, at most 1,000): all, or the one with `id`."""
        limit = whole_number("limit", request.args.get("limit", str(MAX_REDRIVEN)), 1, MAX_REDRIVEN)
        only, redriven = request.args.get("id"), 0
        async with container.broker.connection("operator") as connection:
            for names in consumers:
                if await _count(connection, names.dead):
                    channel = await connection.channel(on_return_raises=True)
                    redriven += await _redrive(channel, names, limit - redriven, only, principal())
        return {"redriven": redriven}

    @blueprint.post("/replay")
    @requires("events:manage")
    @document_querystring(ReplayQuery)
    async def replay() -> dict[str, int]:
        """Publish again what was published since a time (`since`), for a RabbitMQ that has lost its data. An event that
        had arrived has no second effect.
        """
        since = parameters.time("since", request.args.get("since", ""))
        tenant = None if EVERYTHING in principal().scopes else principal().tenant
        return {"replayed": await journal.replay(container.database, since, tenant)}

    return blueprint


async def _count(connection: AbstractConnection, name: str) -> tuple[int, int] | None:
    """Messages and consumers of a queue, or None. Asked on a channel of its own, since a miss closes the channel."""
    channel = await connection.channel()
    try:
        queue = await channel.declare_queue(name, passive=True)
    except ChannelNotFoundEntity:
        return None
    result = queue.declaration_result
    await channel.close()
    return result.message_count or 0, result.consumer_count or 0


async def _peek(channel: AbstractChannel, name: str, limit: int, who: Principal) -> list[AbstractIncomingMessage]:
    queue = await channel.get_queue(name)
    looked_at: list[AbstractIncomingMessage] = []
    found: list[AbstractIncomingMessage] = []
    while len(found) < limit and len(looked_at) < MAX_REDRIVEN:
        message = await queue.get(fail=False)
        if message is None:
            break
        looked_at.append(message)
        if _may_see(who, message):
            found.append(message)
    for message in reversed(looked_at):
        await message.nack(requeue=True)
    return found


async def _redrive(channel: AbstractChannel, names: QueueNames, limit: int, only: str | None, who: Principal) -> int:
    """All are taken before the first is put back: one that dies again at once would else be taken again, and again."""
    queue = await channel.get_queue(names.dead)
    wanted: list[AbstractIncomingMessage] = []
    passed: list[AbstractIncomingMessage] = []
    while len(wanted) < limit and len(passed) < MAX_REDRIVEN and (message := await queue.get(fail=False)) is not None:
        is_wanted = _may_see(who, message) and only in (None, message.message_id)
        (wanted if is_wanted else passed).append(message)
    for message in wanted:
        await channel.default_exchange.publish(_fresh(message), names.main, mandatory=True, timeout=PATIENCE)
        await message.ack()
    for message in reversed(passed):
        await message.nack(requeue=True)
    return len(wanted)


def _fresh(message: AbstractIncomingMessage) -> Message:
    """A copy that has not failed yet; the trace goes on."""
    copy = copy_of(message)
    copy.headers = {
        key: value for key, value in copy.headers.items() if key == EVENTS_HEADER or not key.startswith("x-")
    }
    return copy


def _may_see(who: Principal, message: AbstractIncomingMessage) -> bool:
    return EVERYTHING in who.scopes or set(tenants_of(message)) == {who.tenant}


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
