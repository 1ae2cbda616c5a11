"""The relay's statements on an outbox that has grown since they were planned: they read it by its indexes."""

from collections.abc import AsyncIterator, Awaitable
from typing import TypeVar

import pytest

from quartet_common.data.connections import SingleConnection
from quartet_common.messaging.outbox_reader import OutboxReader
from quartet_common.messaging.relay import Relay
from quartet_testing.messaging import Channel, Container, relay_of

T = TypeVar("T")

ROWS = 20_000
PLANNED = 6
"""Executions after which PostgreSQL keeps a statement's plan whatever its parameters are."""
FILL = """
INSERT INTO outbox (tenant_id, actor_id, aggregate, type, event_id, traceparent, event, urgent)
SELECT 'tenant-' || n % 3, 'tester', 'things/' || n, 'common.thing.happened.v1', gen_random_uuid(), NULL,
       convert_to(repeat('x', 100), 'UTF8'), n % 20 = 0
FROM generate_series(1, $1::int) n"""
SCANS = "SELECT seq_scan FROM pg_stat_xact_user_tables WHERE relid = 'outbox'::regclass"


@pytest.fixture
async def relay(container: Container, channel: Channel) -> AsyncIterator[Relay]:
    """A relay that does not run. The statistics are those of an outbox with one row; afterwards it is empty."""
    async with container.database.connection() as connection:
        await connection.execute(FILL, 1)
        await connection.execute("ANALYZE outbox")
    yield relay_of(container)
    async with container.database.connection() as connection:
        await connection.execute("TRUNCATE outbox, published_events")


async def by_index(database: SingleConnection, work: Awaitable[T]) -> T:
    """The result of `work`, whose statements on `database` must not scan the outbox."""
    async with database.transaction():
        before = await database.fetchval(SCANS)
        result = await work
        assert await database.fetchval(SCANS) == before, "a statement scanned the outbox"
    return result


async def test_statements_that_were_planned_for_a_small_outbox_read_a_large_one_by_its_indexes(
    container: Container, relay: Relay
) -> None:
    database, reader = await relay._connect(), OutboxReader(lambda _: True)
    try:
        for _ in range(PLANNED):
            assert len(await reader.waiting(database, None)) + len(await reader.urgent(database)) == 1
            await relay._move(database)
        async with container.database.connection() as connection:
            await connection.execute(FILL, ROWS)
        waiting = await by_index(database, reader.waiting(database, None))
        urgent = await by_index(database, reader.urgent(database))
        relay._confirmed = [*urgent, *waiting[:100]]
        await by_index(database, relay._move(database))
    finally:
        database.terminate()
    assert (len(waiting), len(urgent)) == (999, 1000)
    async with container.database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM outbox") == ROWS + 1 - 1100
