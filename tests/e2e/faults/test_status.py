"""`./quartet status` names what is amiss with events."""

import json

import aio_pika
import pytest
from aio_pika import Message
from yarl import URL

from quartet_cli.stack import Stack
from quartet_testing.command_line import quartet
from quartet_testing.conditions import eventually
from quartet_testing.faults import stopped

pytestmark = [pytest.mark.local_stack, pytest.mark.usefixtures("whole_stack")]

DEAD = "quartet.audit.dead"


async def problems(stack: Stack) -> set[str]:
    """What the command says of the audit worker."""
    _, output, _ = await quartet(stack, "status", "--json")
    return {text for one in json.loads(output) if one["name"] == "audit-worker" for text in one["problems"]}


async def test_a_queue_without_consumer_and_dead_letters_are_named_until_they_are_gone(stack: Stack) -> None:
    settings = stack.environment("audit", "worker")
    password = (stack.home.secrets / "audit/quartet_broker_password").read_text()
    async with await aio_pika.connect(URL(settings["QUARTET_BROKER_URL"]).with_password(password)) as connection:
        channel = await connection.channel()
        await channel.default_exchange.publish(Message(b"no event"), DEAD)
        async with stopped(stack, "audit-worker"):

            async def named() -> bool:
                found = await problems(stack)
                queues = {text.split(",")[0] for text in found}
                assert f"dead letters: 1 in {DEAD}" in found, found
                return {
                    "queue without consumer: quartet.audit",
                    "queue without consumer: quartet.audit.revocations",
                } <= queues

            await eventually(named, "both problems")
            code, output, _ = await quartet(stack, "status")
            assert (code, "docs/operations.md" in output, f"1 in {DEAD} (audit-worker)" in output) == (3, True, True)
        await (await channel.get_queue(DEAD)).purge()

    async def well() -> bool:
        return not await problems(stack)

    await eventually(well, "no problem any more")
    assert (await quartet(stack, "status"))[0] == 0
