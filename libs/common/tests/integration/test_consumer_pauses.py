"""A paused consumer takes nothing in any worker, also after a restart; nothing is lost, repeated or failed."""

import json
from importlib.resources import files
from typing import Any

from aio_pika import Message
from jsonschema import Draft202012Validator

from quartet_common.core.caller import Caller
from quartet_common.messaging.consumer_pauses import PauseWatch
from quartet_common.messaging.envelope import encode
from quartet_common.messaging.stats import read_queues
from quartet_common.runtime.consumer_usecases import pause, resume
from quartet_testing.conditions import eventually
from quartet_testing.messaging import (
    NAMES,
    Channel,
    Container,
    MakeEvent,
    Recording,
    consumer_of,
    messages_in,
    running,
)
from quartet_testing.services import new_tenant

OPERATOR = Caller("quartet", "operator", actor_name="ops")


async def put(channel: Channel, event: MakeEvent, number: int) -> None:
    """Put events into the queue."""
    for _ in range(number):
        await channel.default_exchange.publish(Message(encode(event(new_tenant()))), NAMES.main)


async def test_a_paused_consumer_takes_nothing_in_any_worker_and_goes_on_where_it_was(
    container: Container, channel: Channel, event: MakeEvent, totals: Any
) -> None:
    handlers = [Recording() for _ in range(3)]
    consumers = [consumer_of(container, handler, totals) for handler in handlers]
    watches = [PauseWatch(lambda: container.database, [consumer]) for consumer in consumers]

    async def consuming(number: int) -> bool:
        for watch in watches:
            await watch.run()
        async with container.broker.connection("test") as connection:
            return (await read_queues(connection, [NAMES.main]))[NAMES.main].consumers == number

    async with running(*consumers):
        assert not any(consumer.connected for consumer in consumers)  # before the first read
        await eventually(lambda: consuming(3), "all of them to consume")
        await put(channel, event, 20)
        await totals.reach(20)
        await pause(container, OPERATOR, "common", "its handler is being repaired")
        await eventually(lambda: consuming(0), "none of them to consume")
        await put(channel, event, 20)
        assert await messages_in(channel, NAMES.main) == 20
        assert all(watch.current[NAMES.main].startswith("paused by ops since 2") for watch in watches)
        assert all(watch.current[NAMES.main].endswith("Z: its handler is being repaired") for watch in watches)
        await resume(container, OPERATOR, "common")
        await eventually(lambda: consuming(3), "all of them to consume again")
        await totals.reach(40)
        assert [watch.current for watch in watches] == [{}] * 3
    assert totals.results == {"handled": 40}


async def test_a_pause_outlasts_a_restart_of_the_worker_and_a_paused_consumer_can_be_stopped(
    container: Container, channel: Channel, event: MakeEvent, totals: Any
) -> None:
    await pause(container, OPERATOR, "common", "a test")
    await put(channel, event, 1)
    for _ in range(2):
        consumer = consumer_of(container, Recording(), totals)
        watch = PauseWatch(lambda: container.database, [consumer])
        async with running(consumer):
            await watch.run()
            assert consumer.is_paused
    assert await messages_in(channel, NAMES.main) == 1
    assert totals.results == {}


async def test_each_change_is_one_event_that_names_the_operator(container: Container, channel: Channel) -> None:
    for _ in range(2):
        await pause(container, OPERATOR, "common", "a test")
    for _ in range(2):
        await resume(container, OPERATOR, "common")
    await pause(container, OPERATOR, "common", "again")
    async with container.database.connection() as connection:
        rows = await connection.fetch("SELECT event FROM outbox ORDER BY id")
    events = [json.loads(row["event"]) for row in rows]
    assert [(one["type"], one["sequence"], one["actorid"]) for one in events] == [
        ("quartet.common.consumer.paused.v1", 1, "operator"),
        ("quartet.common.consumer.resumed.v1", 2, "operator"),
        ("quartet.common.consumer.paused.v1", 3, "operator"),
    ]
    for one in events:
        name = one["type"].removeprefix("quartet.common.")
        schema = json.loads((files("quartet_common") / "schemas" / f"{name}.json").read_text())
        Draft202012Validator({**schema, "additionalProperties": False}).validate(one["data"])
