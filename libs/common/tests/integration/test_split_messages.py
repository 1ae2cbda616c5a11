"""Messages that a consumer splits: acknowledged once each of their events is applied, or confirmed in another queue."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from aio_pika import IncomingMessage, Message

from quartet_common.data.connections import Connection
from quartet_common.messaging.consumer import ENDED_WORKERS
from quartet_common.messaging.envelope import Event, encode
from quartet_common.messaging.publisher import Publisher
from quartet_common.messaging.topology import RETRY_DELAYS
from quartet_testing.conditions import eventually
from quartet_testing.messaging import (
    NAMES,
    Channel,
    Container,
    MakeEvent,
    Recording,
    consumer_of,
    messages_in,
    put_batch,
    running,
)
from quartet_testing.services import new_tenant

SUBJECTS = [*(f"good/{number}" for number in range(9)), "bad"]
QUEUES = (NAMES.main, NAMES.delay(RETRY_DELAYS[0]), NAMES.dead)


class FailingOnce(Recording):
    """As Recording, but accepts a bad event after it has refused one alone."""

    def __init__(self) -> None:
        super().__init__()
        self.has_failed = False

    async def __call__(self, connection: Connection, events: Sequence[Event]) -> None:
        if self.has_failed:
            self.calls.append(list(events))
            return
        self.has_failed = [one.subject for one in events] == ["bad"]
        await super().__call__(connection, events)


@pytest.fixture(params=[0, ENDED_WORKERS], ids=["for-a-bad-event", "since-workers-have-ended"], autouse=True)
async def _batch(request: pytest.FixtureRequest, channel: Channel, event: MakeEvent) -> None:
    """One message waits, which the consumer splits."""
    tenant = new_tenant()
    await put_batch(channel, [encode(event(tenant, subject=one)) for one in SUBJECTS], deliveries=request.param)


async def handle_the_rest(container: Container, handler: FailingOnce, totals: Any) -> None:
    """Consume until no message is left; each event must have had its effect once."""
    async with container.broker.connection("test") as connection:
        channel = await connection.channel()

        async def is_done() -> bool:
            return set(handler.subjects) == set(SUBJECTS) and not any([await messages_in(channel, q) for q in QUEUES])

        async def consume() -> bool:
            """A queue is empty too while its messages are on their way: what comes back is consumed again."""
            async with running(consumer_of(container, handler, totals)):
                await eventually(is_done, "all events to be handled, and all queues to be empty")
            return await is_done()

        await eventually(consume, "no message to come back")
    assert sorted(handler.subjects) == sorted(SUBJECTS)


async def test_a_message_that_was_split_is_not_acknowledged_before_each_copy_is_confirmed(
    container: Container, channel: Channel, totals: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler, publish, is_waiting = FailingOnce(), Publisher.publish, asyncio.Event()

    async def get_no_confirm(publisher: Publisher, message: Message, key: str) -> None:
        if b'"bad"' in message.body:
            is_waiting.set()
            await asyncio.Event().wait()
        await publish(publisher, message, key)

    with monkeypatch.context() as patch:
        patch.setattr(Publisher, "publish", get_no_confirm)
        consuming = asyncio.ensure_future(consumer_of(container, handler, totals).run())
        await asyncio.wait_for(is_waiting.wait(), 20)
        for queue in QUEUES:  # RabbitMQ answers on another connection: an early acknowledgement would be sent by then
            await messages_in(channel, queue)
        consuming.cancel()  # its connection closes, as if the worker were killed
        await asyncio.wait([consuming])
    await handle_the_rest(container, handler, totals)


async def test_an_acknowledgement_on_a_channel_that_is_gone_does_no_harm(
    container: Container, totals: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    handler, ack, late = FailingOnce(), IncomingMessage.ack, list[int | None]()

    async def lose_channel(message: IncomingMessage, multiple: bool = False) -> None:
        if not late:
            late.append(message.delivery_tag)
            await message.channel.connection.close()
        await ack(message, multiple)

    monkeypatch.setattr(IncomingMessage, "ack", lose_channel)
    await handle_the_rest(container, handler, totals)
    assert late
    assert not [record.message for record in caplog.records if record.name == "asyncio"], "an error that nobody took"
