"""The ledger: whatever process is killed, what writers were told, the directory, the audit log and the counts agree:
nothing is lost, nothing is doubled.
"""

import asyncio

import pytest

from quartet_cli.stack import Stack
from quartet_testing.client import Api
from quartet_testing.faults import back, kill
from quartet_testing.ledger import Ledger, Outcome

pytestmark = [pytest.mark.local_stack, pytest.mark.usefixtures("whole_stack")]

PROCESSES = (
    *("users-api", "groups-api", "audit-api", "metrics-api"),
    *("users-worker", "groups-worker", "audit-worker", "metrics-worker"),
    *("postgres", "rabbitmq", "redis"),
)


async def test_after_apis_and_workers_are_killed_at_once_everything_agrees(api: Api, stack: Stack) -> None:
    victims = ("users-api", "users-worker", "audit-worker", "metrics-worker")
    ledger = Ledger(api)
    async with ledger.writing():
        await ledger.reached(50)
        await asyncio.gather(*(kill(stack, name) for name in victims))
        await back(stack, *victims)
        await ledger.reached(20)
    assert ledger.outcomes[Outcome.REFUSED] > 0
    assert ledger.outcomes[Outcome.UNKNOWN] > 0
    await ledger.agrees()


@pytest.mark.slow
async def test_after_each_process_is_killed_in_turn_everything_agrees(api: Api, stack: Stack) -> None:
    ledger = Ledger(api)
    async with ledger.writing():
        for name in PROCESSES:
            await ledger.reached(50)
            await kill(stack, name)
            await back(stack, name)
        await back(stack)
        await ledger.reached(50)
    assert ledger.outcomes[Outcome.UNKNOWN] > 0
    await ledger.agrees()
