"""Queues go away, a worker stands still: nobody goes on as if nothing had happened."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aio_pika
import pytest
from yarl import URL

from quartet_cli.stack import Stack
from quartet_testing.bursts import Burst, arrived_exactly_once
from quartet_testing.client import Api
from quartet_testing.conditions import eventually
from quartet_testing.faults import back, database, paused, somebody_waits

pytestmark = [pytest.mark.local_stack, pytest.mark.usefixtures("whole_stack")]

SERVICES = ("users", "groups", "audit", "metrics")


@asynccontextmanager
async def rabbitmq(stack: Stack) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
    """A channel, as the services have it."""
    url = URL(stack.environment("audit", "worker")["QUARTET_BROKER_URL"])
    password = (stack.home.secrets / "audit/quartet_broker_password").read_text().strip()
    async with await aio_pika.connect(url.with_password(password)) as connection:
        yield await connection.channel()


async def consumers_of(api: Api, service: str, queue: str) -> int:
    """How many consumers a queue has, as the service tells operators; 0 where there is no such queue."""
    queues = (await api.get(f"/{service}/rabbitmq/queues")).json()["queues"]
    return sum(found["consumers"] for found in queues if found["name"] == queue)


@pytest.mark.parametrize(("service", "queue"), [("audit", "quartet.audit"), ("groups", "quartet.groups.revocations")])
async def test_a_queue_that_is_deleted_is_consumed_again_within_seconds(
    api: Api, stack: Stack, service: str, queue: str
) -> None:
    async with rabbitmq(stack) as channel:
        await channel.queue_delete(queue)

    async def is_consumed() -> bool:
        return await consumers_of(api, service, queue) == 1

    await eventually(is_consumed, f"{queue} to have its consumer", 5)
    await back(stack, f"{service}-worker")
    await arrived_exactly_once(api, await Burst(api, 20).done())


@pytest.mark.slow
async def test_a_worker_that_stood_still_longer_than_its_heartbeats_goes_on_exactly_once_and_without_errors(
    api: Api, stack: Stack
) -> None:
    log = stack.home.logs / "audit-worker.log"
    before = len(log.read_bytes())
    async with database(stack, "audit") as connection, connection.transaction():
        await connection.execute("LOCK TABLE logs IN SHARE MODE")
        users = await Burst(api, 20).done()
        await somebody_waits(connection, "lock_logs")  # so the worker has messages in hand
        async with paused(stack, "audit-worker"):

            async def has_lost_its_consumer() -> bool:
                return await consumers_of(api, "audit", "quartet.audit") == 0

            await eventually(has_lost_its_consumer, "RabbitMQ has closed the connection", 90)
    await arrived_exactly_once(api, users)
    await back(stack, "audit-worker")
    told = log.read_bytes()[before:].decode()
    assert "lost RabbitMQ" in told
    assert not re.findall(r"Traceback|\"level\": ?\"ERROR\"|never retrieved", told), told
