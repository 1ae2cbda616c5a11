"""RabbitMQ goes away: writes go on, and everything arrives exactly once when it is back."""

import pytest

from quartet_cli.stack import Stack
from quartet_testing.bursts import Burst, arrived_exactly_once
from quartet_testing.client import Api
from quartet_testing.faults import kill, paused, pids, stopped

pytestmark = [pytest.mark.local_stack, pytest.mark.usefixtures("whole_stack")]

SERVICES = ("users", "groups", "audit", "metrics")


@pytest.mark.slow
async def test_two_hundred_writes_while_rabbitmq_is_stopped_arrive_exactly_once_when_it_is_back(
    api: Api, stack: Stack
) -> None:
    before = pids(stack)
    async with stopped(stack, "rabbitmq"):
        users = await Burst(api, 200).done()
        assert (await api.get("/users/rabbitmq/outbox")).json()["depth"] >= 200
        assert await api.count("users.user.created") == 0
        for service in SERVICES:  # the apis go on: they do not need it
            assert (await api.get(f"/{service}/health/ready")).status_code == 200
        answer = await api.get("/audit/rabbitmq/queues")
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        assert answer.json()["code"] == "rabbitmq_unavailable"
    await arrived_exactly_once(api, users)
    after = pids(stack)
    assert {name for name in before if before[name] != after[name]} == {"rabbitmq"}


@pytest.mark.slow
async def test_rabbitmq_that_stops_and_comes_back_in_a_burst_loses_and_doubles_nothing(api: Api, stack: Stack) -> None:
    burst = Burst(api, 200)
    await burst.reached(50)
    async with stopped(stack, "rabbitmq"):
        users = await burst.done()
    await arrived_exactly_once(api, users)


async def test_rabbitmq_that_stands_still_for_a_while_loses_and_doubles_nothing(api: Api, stack: Stack) -> None:
    burst = Burst(api, 100)
    await burst.reached(20)
    async with paused(stack, "rabbitmq"):
        users = await burst.done()
    await arrived_exactly_once(api, users)


async def test_rabbitmq_that_is_killed_before_it_confirms_loses_and_doubles_nothing(api: Api, stack: Stack) -> None:
    async with paused(stack, "rabbitmq"):
        users = await Burst(api, 100).done()  # by now the relay has sent the first of them and waits for an answer
        await kill(stack, "rabbitmq")
    await arrived_exactly_once(api, users)
