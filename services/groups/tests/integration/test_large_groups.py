"""Large groups: what they hold up, and that the plans hold for a group that was just filled."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest

from quartet_common.ids import new_id
from quartet_groups import member_store

NUMBER = 60_000
LONGEST = 0.25
"""Seconds of the processor that the event loop may take at a time: to read the body there would take more."""


@pytest.fixture
async def users(own: Any) -> list[UUID]:
    """Known users."""
    ids = [new_id() for _ in range(NUMBER)]
    async with own.service.container.database.transaction() as connection:
        rows = [(own.tenant, one, "Barbara Jensen", 1, False) for one in ids]
        columns = ["tenant_id", "id", "display", "version", "deleted"]
        await connection.copy_records_to_table("known_users", records=rows, columns=columns)
    return ids


@asynccontextmanager
async def never_stopped() -> AsyncIterator[None]:
    """The event loop gets its turn all the time; this thread's processor time counts, not that of other programs."""
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            before = time.thread_time()
            await asyncio.sleep(0)
            longest = max(longest, time.thread_time() - before)

    watching = asyncio.create_task(watch())
    yield
    watching.cancel()
    assert longest < LONGEST


async def test_a_large_group_is_written_read_and_emptied_while_others_are_served(own: Any, users: list[UUID]) -> None:
    group = await own.make()
    async with never_stopped():
        assert (await own.put(group, *users)).status_code == 200
        assert (await own.patch(group, "remove", *users[: NUMBER // 2])).status_code == 200
    assert await own.members(group) == set(users[NUMBER // 2 :])


async def test_to_remove_one_member_reads_no_others(own: Any, users: list[UUID]) -> None:
    group = await own.make(*users)
    statistics = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'members'"
    async with own.service.container.database.transaction() as connection:
        before = await connection.fetchval(statistics)  # what this session did lately counts too
        for one in users[:10]:  # more often than the planner looks at the values
            removed = await member_store.remove_members(connection, own.tenant, group, [one])
            assert removed.users == [one]
        assert await connection.fetchval(statistics) - before < 100
