"""RabbitMQ goes away: writes go on, and everything arrives exactly once when it is back."""

import asyncio
import re

import pytest

from quartet_cli.stack import Stack
from quartet_testing.bursts import Burst, arrived_exactly_once
from quartet_testing.client import Api
from quartet_testing.conditions import PATIENCE, eventually
from quartet_testing.faults import alarm, back, forget_log, kill, measured, paused, pids, stopped

pytestmark = [pytest.mark.local_stack, pytest.mark.usefixtures("whole_stack")]

SERVICES = ("users", "groups", "audit", "metrics")
REVOCATIONS = "quartet.groups.revocations"


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


async def test_a_paused_rabbitmq_loses_and_doubles_nothing(api: Api, stack: Stack) -> None:
    burst = Burst(api, 100)
    await burst.reached(20)
    async with paused(stack, "rabbitmq"):
        users = await burst.done()
    await arrived_exactly_once(api, users)


@pytest.mark.slow
async def test_rabbitmq_that_is_killed_before_it_confirms_loses_and_doubles_nothing(api: Api, stack: Stack) -> None:
    async with paused(stack, "rabbitmq"):
        users = await Burst(api, 100).done()  # by now the relay has sent the first of them and waits for an answer
        await kill(stack, "rabbitmq")
    await arrived_exactly_once(api, users)


@pytest.mark.slow
async def test_a_queue_whose_log_rabbitmq_has_lost_is_made_anew(api: Api, stack: Stack) -> None:
    await forget_log(stack, REVOCATIONS)
    await kill(stack, "rabbitmq")

    async def is_consumed() -> bool:
        answer = await api.get("/groups/rabbitmq/queues")
        queues = answer.json()["queues"] if answer.status_code == 200 else []
        return any(one["name"] == REVOCATIONS and one["consumers"] == 1 for one in queues)

    await eventually(is_consumed, f"{REVOCATIONS} to have its consumer", PATIENCE)
    await back(stack)
    await arrived_exactly_once(api, await Burst(api, 20).done())


async def test_an_alarm_of_rabbitmq_is_reported_with_what_waits_and_loses_and_doubles_nothing(
    api: Api, stack: Stack
) -> None:
    check = stack.programs["users-worker"].check
    async with alarm(stack):
        users = await Burst(api, 50).done()

        async def is_reported() -> bool:
            said = await asyncio.to_thread(check) or ""
            waiting = re.search(r"blocks publishing \(memory or disk alarm\): (\d+) events wait", said)
            return waiting is not None and int(waiting[1]) >= 50

        async def is_measured() -> bool:
            return await measured(stack, "users-worker", "quartet_outbox_blocked") == 1

        await eventually(is_reported, "the worker to say that RabbitMQ blocks it", PATIENCE)
        await eventually(is_measured, "the metric to say so", PATIENCE)
        assert await measured(stack, "users-worker", "quartet_outbox_depth") >= 50
        [state] = [one for one in stack.status() if one.name == "users-worker"]
        assert "blocks publishing" in str(state)
        assert (await api.get("/users/health/ready")).status_code == 200
    await back(stack, "users-worker")
    await arrived_exactly_once(api, users)
