"""Failures of logging on the whole stack: within a minute there is a metric, a detail of health and of the status, and
begin and end are entries.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest

from quartet_cli.stack import Stack
from quartet_testing.client import Api, TokenFor
from quartet_testing.conditions import eventually
from quartet_testing.faults import back, measured, paused, stopped

pytestmark = [pytest.mark.local_stack, pytest.mark.usefixtures("whole_stack"), pytest.mark.slow]

LIMIT = 60.0
"""Seconds from the failure to its metric, detail and status."""
METRIC = "quartet_logging_failure"


@pytest.mark.parametrize(
    ("fault", "server", "kind"), [(paused, "audit-worker", "receipts"), (stopped, "rabbitmq", "outbox")]
)
async def test_a_failure_is_noticed_within_a_minute_and_recorded_when_it_begins_and_when_it_ends(
    api: Api,
    stack: Stack,
    token_for: TokenFor,
    fault: Callable[[Stack, str], AbstractAsyncContextManager[None]],
    server: str,
    kind: str,
) -> None:
    async def is_shown() -> bool:
        assert await measured(stack, "users-worker", METRIC, kind=kind) == 1
        found = {one.name: one for one in await asyncio.to_thread(stack.status)}["users-worker"]
        return any(text.startswith(f"logging fails ({kind}): ") for text in found.problems)

    async def is_over() -> bool:
        return await measured(stack, "users-worker", METRIC, kind=kind) == 0

    assert await is_over()
    async with fault(stack, server):
        begun = time.monotonic()
        user = await api.create_user()
        await eventually(is_shown, f"{kind} to be shown", LIMIT)
        assert time.monotonic() - begun < LIMIT
    await back(stack)
    await eventually(is_over, "the end of the failure", LIMIT)
    await api.entries_of(user["id"], "users.user.created")
    async with Api(stack.url, await token_for("quartet", "audit:read")) as platform:
        for action in ("users.logging.failed", "users.logging.recovered"):
            entries = await platform.entries_of(kind, action)
            assert len(entries) == 1, "once"
            assert entries[0]["data"]["kind"] == kind
