"""RabbitMQ comes back empty: what it had confirmed is published again from the journal, and arrives exactly once."""

import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import aio_pika
import pytest
from aio_pika import Message
from yarl import URL

from quartet_cli.stack import Stack
from quartet_testing.bursts import Burst, arrived_exactly_once
from quartet_testing.client import Api
from quartet_testing.command_line import quartet
from quartet_testing.conditions import PATIENCE, eventually
from quartet_testing.faults import stopped

pytestmark = [pytest.mark.local_stack, pytest.mark.usefixtures("whole_stack")]

DEAD = "quartet.audit.dead"


@asynccontextmanager
async def wiped(stack: Stack) -> AsyncIterator[None]:
    """RabbitMQ is away inside the block, and back with no data after it."""
    async with stopped(stack, "rabbitmq"):
        yield
        shutil.rmtree(stack.home.data / "rabbitmq/mnesia")


async def has_published_all(api: Api) -> bool:
    """Whether nothing waits in the outbox of users."""
    return bool((await api.get("/users/rabbitmq/outbox")).json()["depth"] == 0)


async def put_dead_letter(stack: Stack) -> None:
    """Put what is no event among the dead letters of audit."""
    url = URL(stack.environment("audit", "worker")["QUARTET_BROKER_URL"])
    password = (stack.home.secrets / "audit/quartet_broker_password").read_text()
    async with await aio_pika.connect(url.with_password(password)) as connection:
        channel = await connection.channel()
        await channel.default_exchange.publish(Message(b"no event"), DEAD)


async def status_names_problems(stack: Stack) -> bool:
    """Whether the command names the dead letter and the queue that nobody consumes."""
    code, output, errors = await quartet(stack, "status")
    assert (code, errors) == (3, "")
    assert "\n  queue without consumer: quartet.audit, in which " in output, output
    assert re.search(rf"\n  dead letters: [1-9]\d* in {DEAD} \(audit-worker\)\n", output), output
    return True


async def status_names_none(stack: Stack) -> bool:
    """Whether all is well by the command."""
    code, output, _ = await quartet(stack, "status")
    return code == 0 and "problems" not in output


@pytest.mark.slow
async def test_after_a_wiped_rabbitmq_a_replay_completes_the_log_of_a_worker_that_was_stopped(
    api: Api, stack: Stack
) -> None:
    begun = datetime.now(UTC) - timedelta(seconds=5)
    async with stopped(stack, "audit-worker"):
        confirmed = await Burst(api, 20).done()
        await eventually(lambda: has_published_all(api), "RabbitMQ to confirm the first users", PATIENCE)
        await api.counted("users.user.created", len(confirmed), PATIENCE)
        await put_dead_letter(stack)
        await eventually(lambda: status_names_problems(stack), "the status to name both problems")
        async with wiped(stack):
            waiting = await Burst(api, 10).done()
        await eventually(lambda: has_published_all(api), "RabbitMQ to confirm the others", PATIENCE)
    await eventually(lambda: api.entries(resource=waiting[-1]["id"]), "what had waited in the outbox", PATIENCE)
    assert await api.entries(resource=confirmed[0]["id"]) == []
    code, output, errors = await quartet(stack, "events", "replay", "--since", begun.isoformat())
    assert (code, errors) == (0, "")
    replayed = {name: int(number) for name, number in re.findall(r"^(\w+) +(\d+)$", output, re.MULTILINE)}
    assert replayed.keys() == {"users", "groups", "audit", "metrics"}
    assert replayed["users"] >= len(confirmed) + len(waiting)
    await arrived_exactly_once(api, [*confirmed, *waiting])
    await eventually(lambda: status_names_none(stack), "the status to name no problem")


async def test_a_replay_that_some_services_cannot_do_is_done_by_the_others_and_names_them(stack: Stack) -> None:
    async with stopped(stack, "metrics-api"):
        code, output, errors = await quartet(stack, "events", "replay", "--since", "0s")
    assert (code, output.split()[::2]) == (1, ["users", "groups", "audit"])
    assert "Repeat the command.\nmetrics: " in errors
    code, output, errors = await quartet(stack, "events", "replay", "--since", "0s", "--service", "metrics")
    assert (code, output.split()[::2], errors) == (0, ["metrics"], "")
