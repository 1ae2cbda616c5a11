"""Several hosts in the URL of RabbitMQ: one that is away, or says nothing, is passed over."""

import asyncio
from typing import Any

import pytest
from aio_pika.exceptions import AMQPConnectionError

from quartet_cli import ports
from quartet_common.config.settings import ServiceConfig
from quartet_common.core.errors import UnavailableError
from quartet_common.messaging import broker
from quartet_common.messaging.broker import Broker
from quartet_common.runtime.container import AppContainer
from quartet_testing.messaging import Thing, add, consumer_of, drained, relay_of, running
from quartet_testing.services import new_tenant
from quartet_testing.sockets import silent_server
from quartet_testing.stopwatch import stopwatch


def at(config: ServiceConfig, *hosts: str) -> ServiceConfig:
    return config.model_copy(update={"broker_url": f"amqp://quartet@{','.join(hosts)}/"})


def host_of(config: ServiceConfig) -> str:
    return config.broker_url.rpartition("@")[2].partition("/")[0]


async def test_events_go_through_the_host_that_answers(
    config: ServiceConfig, channel: object, thing: Thing, totals: Any
) -> None:
    async def ignore(*_: Any) -> None:
        return None

    [closed] = ports.choose(1, set())
    container: AppContainer[ServiceConfig] = AppContainer(at(config, f"127.0.0.1:{closed}", host_of(config)))
    await container.open()
    try:
        async with running(relay_of(container), consumer_of(container, ignore, totals)):
            await add(container, new_tenant(), [thing(str(number)) for number in range(10)])
            await totals.reach(10)
            await drained(container)
    finally:
        await container.close()
    assert totals.results == {"handled": 10}


async def test_a_host_that_does_not_answer_does_not_keep_the_next_one_from_being_used(config: ServiceConfig) -> None:
    async with silent_server() as port:
        async with stopwatch() as watch:
            connection = await Broker(at(config, f"127.0.0.1:{port}", host_of(config))).connect("test")
        await connection.close()
    assert watch.seconds < broker.CONNECT_TIMEOUT


async def test_if_no_host_answers_rabbitmq_is_unavailable(config: ServiceConfig) -> None:
    hosts = [f"127.0.0.1:{port}" for port in ports.choose(2, set())]
    with pytest.raises(UnavailableError, match="rabbitmq"):
        async with Broker(at(config, *hosts)).connection("test"):
            pass
    with pytest.raises((AMQPConnectionError, OSError, asyncio.TimeoutError)):
        await Broker(at(config, *hosts)).connect("test")
